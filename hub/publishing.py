"""Publishing a distilled dataset on the Hugging Face Hub: one commit, or none for no change."""

import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from huggingface_hub import DatasetCard, HfApi, errors
from huggingface_hub.hf_api import DatasetInfo
from huggingface_hub.utils import validate_repo_id

from distilled_envs import catalog
from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.registering import is_same
from distilled_envs.errors import DatasetError, HubError
from distilled_envs.formatting import in_a_line
from distilled_envs.hub.cards import make_card, picture_path
from distilled_envs.hub.clients import (
    committed,
    dataset_info,
    explained,
    files_of,
    impatient,
    patiently,
)
from distilled_envs.hub.downloading import VARIANT, variants_among
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage.files import given_path, make_folder, new_folder
from distilled_envs.storage.folder import SPEC_FILE, read_spec


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
        dataset: A dataset, its folder, the folder of a run, or the name of a bundled one.
        repo_id: ``user/name``; by custom ``user/distilled-<family>``.
        private: Whether the repo is private; one that is public stays so, and is refused.
        revision: Branch to commit to; None for ``main``.
        create_pr: Open a pull request instead, also on somebody else's repo.
        license: The Hub's identifier of a license, for the card; None keeps the repo's, and is
            "mit" for a new one.

    Returns:
        Address of the commit, or of the pull request.

    Raises:
        DatasetError: The folder holds no valid dataset.
        HubError: The Hub refuses, or can't be reached.
    """
    dataset = _load(dataset)
    api = HfApi()
    with (
        explained(repo_id, revision, writes=True),
        impatient(),
    ):
        head = _head(repo_id, revision, create_pr)
        if head is not None and private and not head.private:
            raise HubError(f"{repo_id} is public already: publish to another repo.")
        there = {} if head is None else _variants(api, repo_id, head)
        _check_belongs(repo_id, there, dataset.spec)
        before = head.card_data.get("license") if head and head.card_data else None
        contents = _contents(
            dataset,
            repo_id,
            license=license or before or "mit",
            there=there,
            known=files_of(head) if head else (),
        )
        # What the Hub would refuse is found before there is a repo.
        card = DatasetCard(contents["README.md"].decode())
        try:
            patiently(lambda: card.validate(repo_type="dataset"))
        except ValueError as error:
            raise HubError(f"The Hub refuses the card of {repo_id}: {in_a_line(error)}") from None
        if head is None:
            patiently(
                lambda: api.create_repo(
                    repo_id, repo_type="dataset", private=private, exist_ok=True
                )
            )
            head = dataset_info(repo_id, revision)
        done = committed(
            api,
            repo_id,
            contents,
            commit_message=f"Publish {dataset.spec.name}",
            repo_type="dataset",
            revision=revision,
            create_pr=create_pr,
            parent_commit=head.sha,
        )
    return done.pr_url or done.commit_url


def preview(
    dataset: DistilledDataset | str | Path,
    repo_id: str,
    folder: str | Path,
    *,
    license: str | None = None,
) -> list[Path]:
    """Write what :func:`publish` would, into a folder: no token, and nothing is asked of the Hub.

    A repo that is there keeps its other variants, and its card tells of them; a preview is of a new
    one.

    Args:
        dataset: As for :func:`publish`.
        repo_id: ``user/name``.
        folder: A new folder.
        license: The Hub's identifier of a license, for the card; None is "mit".

    Returns:
        The files.

    Raises:
        DatasetError: There is no valid dataset, or the folder holds something already.
        HubError: The names can't be such on the Hub.
        StorageError: The folder can't be written.
    """
    with explained(repo_id, writes=True):
        validate_repo_id(repo_id)
    contents = _contents(_load(dataset), repo_id, license=license or "mit")
    folder = given_path(folder)
    with new_folder(folder) as made:
        for name, content in contents.items():
            make_folder((made / name).parent)
            (made / name).write_bytes(content)
    return [folder / name for name in contents]


def _contents(
    dataset: DistilledDataset,
    repo_id: str,
    *,
    license: str,
    there: Mapping[str, DistillationSpec] = MappingProxyType({}),
    known: Collection[str] = (),
) -> dict[str, bytes]:
    """The files of a commit, by their paths: the dataset's, its pictures and the repo's card.

    Args:
        dataset: It.
        repo_id: Where it goes.
        license: For the card.
        there: Specs of the repo's other variants, by name.
        known: Paths of its other files.
    """
    from distilled_envs.hub.pictures import pictures  # half a second of matplotlib

    variant = dataset.spec.variant
    if not re.fullmatch(VARIANT, variant):
        raise HubError(
            f"{dataset.spec.name!r} can't name a folder on the Hub: use letters, digits, '-', '_' "
            "and '.'."
        )
    with tempfile.TemporaryDirectory() as temporary:
        saved = Path(temporary) / "dataset"
        dataset.save(saved)
        contents = {f"{variant}/{path.name}": path.read_bytes() for path in saved.iterdir()}
    for picture, content in pictures(dataset).items():
        contents[picture_path(variant, picture)] = content
    card = make_card(
        repo_id,
        {**there, variant: dataset.spec},
        len(dataset),
        license=license,
        files={*contents, *known},
    )
    return contents | {"README.md": card.encode()}


def _load(dataset: DistilledDataset | str | Path) -> DistilledDataset:
    """A dataset as it is, from its folder, from that of a run, or the bundled one of a name."""
    if isinstance(dataset, DistilledDataset):
        return dataset
    path = given_path(dataset)
    for folder in (path / "dataset", path):
        if (folder / SPEC_FILE).is_file():
            return DistilledDataset.load(folder)
    if not isinstance(dataset, str) or "/" in dataset:
        if not path.is_dir():
            raise DatasetError(f"There is no folder {dataset}.")
        raise DatasetError(f"{dataset} is no folder of a dataset: it has no {SPEC_FILE}.")
    return DistilledDataset.load(catalog.find(dataset).folder)


def _head(repo_id: str, revision: str | None, must_exist: bool) -> DatasetInfo | None:
    """The repo as it is; None if it is yet to be made."""
    try:
        return dataset_info(repo_id, revision)
    except errors.GatedRepoError:
        raise
    except errors.RepositoryNotFoundError:
        if must_exist:
            raise
        if revision is not None:
            raise HubError(
                f"{repo_id} is not there yet, so it has no revision {revision!r}: publish to "
                "its main branch first."
            ) from None
        return None


def _check_belongs(repo_id: str, there: dict[str, DistillationSpec], new: DistillationSpec) -> None:
    """A repo is of one environment, and a variant takes the place of none of another.

    Raises:
        HubError: It would.
    """
    others = {spec.env.id for spec in there.values()} - {new.env.id}
    if others:
        raise HubError(
            f"{repo_id} holds datasets of {', '.join(sorted(others))}, and {new.name} is one of "
            f"{new.env.id}: give it a repo of its own."
        )
    before = there.get(new.variant)
    if before is not None and not is_same(before.env, new.env):
        raise HubError(
            f"{repo_id} holds a variant {new.variant!r} of {new.env.id} with the arguments "
            f"{before.env.kwargs}, and {new.name} has {new.env.kwargs}: give it another name."
        )


def _variants(api: HfApi, repo_id: str, head: DatasetInfo) -> dict[str, DistillationSpec]:
    """The specs of the variants that a repo holds already."""
    specs = {}
    for variant in variants_among(files_of(head)):
        name = f"{variant}/{SPEC_FILE}"
        local = api.hf_hub_download(repo_id, name, repo_type="dataset", revision=head.sha)
        try:
            specs[variant] = read_spec(Path(local).parent)
        except DatasetError as error:
            raise HubError(f"{repo_id}, {name}: {error}") from None
    return specs
