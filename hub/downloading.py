"""Fetching a distilled dataset from the Hugging Face Hub, through its client's cache."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, hf_hub_download

from distilled_envs.dataset import Source
from distilled_envs.errors import HubError
from distilled_envs.hub.clients import UNREACHABLE, explained, patiently
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage import MAX_BYTES, ROWS_FILE, SPEC_FILE, sha256

VARIANT = r"[A-Za-z0-9][\w.-]*"
"""Names of variants: one folder below the repo's root, and nowhere else."""


def download(
    repo_id: str,
    variant: str | None = None,
    *,
    revision: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> tuple[Path, Source]:
    """Fetch one variant of a Hub repo; nothing of it is run, and only its two files are fetched.

    ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` work as everywhere.

    Args:
        repo_id: ``user/name``.
        variant: Which of the repo's folders; None if there is one only.
        revision: Branch, tag or commit; None for the newest.
        max_bytes: Bound on what is fetched.

    Returns:
        The folder in the cache, and where it came from, with the commit.

    Raises:
        HubError: It can't be fetched.
    """
    if variant is not None and not re.fullmatch(VARIANT, variant):
        raise HubError(f"{variant!r} can't be the name of a variant.")
    with explained(repo_id, revision):
        try:
            info = patiently(
                lambda: HfApi().dataset_info(repo_id, revision=revision, files_metadata=True)
            )
        except UNREACHABLE:
            return _fetch(repo_id, variant, revision)  # what the cache has
    sizes = {file.rfilename: file.size or 0 for file in info.siblings}
    variants = variants_among(sizes)
    if not variants:
        raise HubError(f"{repo_id} holds no distilled dataset.")
    if variant is None and len(variants) > 1:
        raise HubError(f"{repo_id} has several variants, choose one of: {', '.join(variants)}.")
    if variant is None:
        variant = variants[0]
    elif variant not in variants:
        raise HubError(f"{repo_id} has no variant {variant!r}, only {', '.join(variants)}.")
    size = sum(sizes.get(f"{variant}/{file}", 0) for file in (SPEC_FILE, ROWS_FILE))
    if size > max_bytes:
        raise HubError(
            f"{repo_id}, {variant}: {size / 2**20:.0f} MiB are more than the limit of "
            f"{max_bytes / 2**20:.0f} MiB (raise max_bytes)."
        )
    with explained(repo_id, revision):
        return _fetch(repo_id, variant, revision)


def variants_among(paths: Iterable[str]) -> list[str]:
    """The variants of a repo, by the paths of its files."""
    folders = [path.parent for path in map(PurePosixPath, paths) if path.name == SPEC_FILE]
    return sorted(str(folder) for folder in folders if re.fullmatch(VARIANT, str(folder)))


def _fetch(repo_id: str, variant: str | None, revision: str | None) -> tuple[Path, Source]:
    if variant is None:
        raise HubError(f"The Hub can't be reached: say which variant of {repo_id} you want.")

    def fetch(file: str, revision: str | None, again: bool = False) -> Path:
        name, kind = f"{variant}/{file}", "dataset"
        return Path(
            hf_hub_download(repo_id, name, repo_type=kind, revision=revision, force_download=again)
        )

    folder = patiently(lambda: fetch(SPEC_FILE, revision)).parent
    # The cache keeps files as <repo>/snapshots/<commit>/<variant>/<file>; both of one commit.
    commit = folder.parent.name
    rows = patiently(lambda: fetch(ROWS_FILE, commit))
    spec = DistillationSpec.from_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    if sha256(rows) != spec.files.get(ROWS_FILE):  # a byte changed on its way: not to be kept
        patiently(lambda: fetch(ROWS_FILE, commit, again=True))
    return folder, Source("hub", f"{repo_id}/{variant}", commit)
