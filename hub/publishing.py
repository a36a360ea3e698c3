"""Publishing a distilled dataset on the Hugging Face Hub: one commit, or none for no change."""

import re
import tempfile
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from distilled_envs.catalog import load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DatasetError, HubError
from distilled_envs.hub.cards import make_card, picture_path
from distilled_envs.hub.clients import explained, patiently
from distilled_envs.hub.downloading import VARIANT, variants_among
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage import ROWS_FILE, SPEC_FILE


def publish(
    dataset: DistilledDataset | str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    license: str | None = None,
) -> str:
    """Publish a dataset as a variant of a Hub repo, beside those that are there.

    The repo is made if there is none. Its card is written anew, over all of its variants.

    Args:
        dataset: A dataset, the folder of a run, or what ``load_distilled`` takes.
        repo_id: ``user/name``; by custom ``user/distilled-<family>``.
        private: Whether the repo is private; one that is public stays so, and is refused.
        revision: Branch to commit to; None for ``main``.
        create_pr: Open a pull request instead, also on somebody else's repo.
        license: The Hub's identifier of a licence, for the card; None keeps the repo's, and is
            "mit" for a new one.

    Returns:
        Address of the commit, or of the pull request.

    Raises:
        DatasetError: The folder holds no valid dataset.
        HubError: The Hub refuses, or can't be reached.
    """
    from distilled_envs.hub.pictures import pictures  # half a second of matplotlib

    if not isinstance(dataset, DistilledDataset):
        inner = Path(dataset) / "dataset"
        dataset = load_distilled(inner if inner.is_dir() else dataset)
    if not re.fullmatch(VARIANT, dataset.spec.variant):
        raise HubError(
            f"{dataset.spec.name!r} can't name a folder on the Hub: use letters, digits, '-', '_' "
            "and '.'."
        )
    api = HfApi()
    with explained(repo_id, revision):
        if not create_pr:
            patiently(
                lambda: api.create_repo(
                    repo_id, repo_type="dataset", private=private, exist_ok=True
                )
            )
        head = patiently(lambda: api.dataset_info(repo_id, revision=revision))
        if private and not head.private:
            raise HubError(f"{repo_id} is public already: publish to another repo.")
        there = _variants(api, repo_id, head)
        others = {spec.family for spec in there.values()} - {dataset.spec.family}
        if others:
            raise HubError(
                f"{repo_id} holds {', '.join(sorted(others))}, and {dataset.spec.name} is another "
                "environment: give it a repo of its own."
            )
        there[dataset.spec.variant] = dataset.spec
        with tempfile.TemporaryDirectory() as temporary:
            saved = Path(temporary) / "dataset"
            dataset.save(saved)
            contents = {f"{dataset.spec.variant}/{n}": saved / n for n in (ROWS_FILE, SPEC_FILE)}
            for picture, content in pictures(dataset).items():
                contents[picture_path(dataset.spec.variant, picture)] = content
            card = make_card(
                repo_id,
                there,
                len(dataset),
                license=license or (head.card_data or {}).get("license") or "mit",
                files={file.rfilename for file in head.siblings} | contents.keys(),
            )
            contents["README.md"] = card.encode()
            commit = api.create_commit(
                repo_id,
                [CommitOperationAdd(path, content) for path, content in contents.items()],
                commit_message=f"Publish {dataset.spec.name}",
                repo_type="dataset",
                revision=revision,
                create_pr=create_pr,
                parent_commit=head.sha,
            )
    return commit.pr_url or commit.commit_url


def _variants(api: HfApi, repo_id: str, head) -> dict[str, DistillationSpec]:
    """The specs of the variants that a repo holds already."""
    specs = {}
    for variant in variants_among(file.rfilename for file in head.siblings):
        name = f"{variant}/{SPEC_FILE}"
        local = patiently(
            lambda name=name: api.hf_hub_download(
                repo_id, name, repo_type="dataset", revision=head.sha
            )
        )
        try:
            specs[variant] = DistillationSpec.from_json(Path(local).read_text(encoding="utf-8"))
        except DatasetError as error:
            raise HubError(f"{repo_id}, {name}: {error}") from None
    return specs
