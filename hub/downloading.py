"""Fetching a distilled dataset from the Hugging Face Hub, through its client's cache."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.hf_api import RepoSibling

from distilled_envs.catalog import Entry, Instances, choose
from distilled_envs.errors import HubError
from distilled_envs.hub.clients import dataset_info, explained, files_of, unreachable
from distilled_envs.spec import MAX_BYTES
from distilled_envs.storage.files import sha256
from distilled_envs.storage.folder import (
    ENCODER_FILE,
    ROWS_FILE,
    SPEC_FILE,
    data_files,
    read_spec,
)
from distilled_envs.storage.source import Source

VARIANT = r"[A-Za-z0-9][\w.-]*"
"""Names of variants: one folder below the repo's root, and nowhere else."""


def download(
    repo_id: str,
    variant: str | None = None,
    *,
    dims: int | None = None,
    instances: Instances = None,
    encoder_level: int | None = None,
    revision: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> tuple[Path, Source]:
    """Fetch one variant of a Hub repo: the files of a dataset and no others; nothing of it is run.

    ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` work as everywhere.

    Args:
        repo_id: ``user/name``.
        variant: Which of the repo's folders; None chooses by the three that follow.
        dims: Cart-pole axes; None takes the environment's default, 2, if variants differ in them.
        instances: Rows; ``"min"`` the fewest, None takes the highest score.
        encoder_level: Of an Atari game; None takes the one with the highest score.
        revision: Branch, tag or commit; None for the newest.
        max_bytes: Bound on what is fetched.

    Returns:
        The folder in the cache, and where it came from, with the commit.

    Raises:
        DatasetError: No variant has these axes and rows, or one is damaged.
        HubError: It can't be fetched.
    """
    if variant is not None and not re.fullmatch(VARIANT, variant):
        raise HubError(f"{variant!r} can't be the name of a variant.")
    with explained(repo_id, revision):
        try:
            listing = files_of(dataset_info(repo_id, revision, files_metadata=True))
            there = variants_among(listing)
        except Exception as error:
            if not unreachable(error):
                raise
            listing = None  # the cache serves
            there = _cached(repo_id, revision) if variant is None else [variant]
    if not there:
        raise HubError(f"{repo_id} holds no distilled dataset.")
    if variant is not None and variant not in there:
        raise HubError(f"{repo_id} has no variant {variant!r}, only {', '.join(there)}.")
    wanted = there if variant is None else [variant]
    if listing is not None:
        _check(repo_id, wanted, listing, max_bytes)
    with explained(repo_id, revision):
        fetched = {each: _fetch(repo_id, each, revision, listing) for each in wanted}
    if variant is None:  # known by its files: the names of variants are free
        entries = []
        for each, (folder, _) in fetched.items():
            spec = read_spec(folder)
            entries.append(Entry(spec.family, each, spec, folder))
        variant = choose(entries, repo_id, dims, instances, encoder_level).variant
    return fetched[variant]


def variants_among(paths: Iterable[str]) -> list[str]:
    """The variants of a repo, by the paths of its files."""
    folders = [path.parent for path in map(PurePosixPath, paths) if path.name == SPEC_FILE]
    return sorted(str(folder) for folder in folders if re.fullmatch(VARIANT, str(folder)))


def _cached(repo_id: str, revision: str | None) -> list[str]:
    """The variants of which the cache has something."""
    folder = Path(
        snapshot_download(repo_id, repo_type="dataset", revision=revision, local_files_only=True)
    )
    return variants_among(str(path.relative_to(folder)) for path in folder.glob("*/*"))


def _check(
    repo_id: str, wanted: list[str], listing: dict[str, RepoSibling], max_bytes: int
) -> None:
    """Refuse variants that are not whole, or too large, before anything is fetched."""
    files = [f"{each}/{file}" for each in wanted for file in (SPEC_FILE, ROWS_FILE)]
    for file in files:
        if file not in listing:
            raise HubError(f"{repo_id} lacks {file}: its variant is not whole.")
    files += [file for each in wanted if (file := f"{each}/{ENCODER_FILE}") in listing]
    size = sum(listing[file].size or 0 for file in files)
    if size > max_bytes:
        raise HubError(
            f"{repo_id}, {', '.join(wanted)}: {size / 2**20:.0f} MiB are more than the limit of "
            f"{max_bytes / 2**20:.0f} MiB (hub.download takes a larger max_bytes)."
        )


def _fetch(
    repo_id: str, variant: str, revision: str | None, listing: dict[str, RepoSibling] | None
) -> tuple[Path, Source]:
    """Fetch a variant's files; without the repo's listing take what the cache has, unasked."""

    def fetch(file: str, revision: str | None) -> Path:
        name = f"{variant}/{file}"
        if listing is not None and name not in listing:
            raise HubError(f"{repo_id} lacks {name}: its variant is not whole.")

        def attempt(**how: Any) -> Path:
            path = hf_hub_download(repo_id, name, repo_type="dataset", revision=revision, **how)
            return Path(path)

        if listing is None:
            return attempt(local_files_only=True)
        path = attempt()  # the client has patience of its own here
        if not _intact(path, listing[name]):  # not to be kept in the cache
            path = attempt(force_download=True)
            if not _intact(path, listing[name]):
                raise HubError(f"{repo_id}: {name} arrives damaged, or just changed: try again.")
        return path

    # By branch first, since only then the cache notes which commit the branch is at.
    folder = fetch(SPEC_FILE, revision).parent
    # It keeps files as <repo>/snapshots/<commit>/<variant>/<file>; all of one commit.
    commit = folder.parent.name
    for file in data_files(read_spec(folder)):
        fetch(file, commit)
    return folder, Source("hub", f"{repo_id}/{variant}", commit)


def _intact(path: Path, promised: RepoSibling) -> bool:
    """Whether a file has the hash that the Hub lists: git's, or sha256 for large files."""
    if promised.lfs is not None:
        return sha256(path) == promised.lfs.sha256
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == promised.blob_id
