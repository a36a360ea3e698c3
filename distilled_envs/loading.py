"""``load_distilled``: a dataset by its name, from the package, a folder or the Hub.

torch is imported when rows are loaded: a command that only reads files starts at once.
"""

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from distilled_envs.catalog import Entry, Instances, entries, find
from distilled_envs.envs.registering import is_same
from distilled_envs.errors import (
    DatasetError,
    HubError,
    HubUnreachableError,
    MissingExtraError,
    SettingsError,
)
from distilled_envs.storage.files import given_path
from distilled_envs.storage.folder import SPEC_FILE, read_spec
from distilled_envs.storage.source import Source

if TYPE_CHECKING:
    from distilled_envs.dataset import DistilledDataset

NAMESPACE = "DISTILLED_ENVS_NAMESPACE"
"""The environment variable with the Hub user or organization that bare names are fetched from."""

HUB_NAME = r"[A-Za-z0-9][\w.-]*/[\w.-]+(/[\w.-]+)?"
"""A Hub repo, or one of its variants."""

_SEPARATORS = {"/", os.sep}

logger = logging.getLogger(__name__)


def load_distilled(
    name: str | Path,
    *,
    dims: int | None = None,
    instances: Instances = None,
    encoder_level: int | None = None,
    revision: str | None = None,
    namespace: str | None = None,
) -> "DistilledDataset":
    """Load a distilled dataset: bundled, from a folder, or from the Hugging Face Hub.

    Args:
        name: A name of the catalog (``"cartpole_2d"``, ``"CartPoleND-v0"``; case, ``-`` and ``_``
            don't matter), a dataset folder, a Hub repo (``"user/distilled-hopper"``), or one of its
            variants (``"user/distilled-cartpole-nd/2d-min"``).
        dims: Cart-pole axes (default 2).
        instances: Number of rows; ``"min"`` for the fewest, default the set with the highest
            score, or one with more rows whose score lies within its 95% interval.
        encoder_level: Of an Atari game: how many of the network's layers come with the dataset,
            0 to 4; default the variant with the highest score.
        revision: Branch, tag or commit of the Hub repo; default its newest.
        namespace: Hub user or organization: a name of the catalog is then fetched from
            ``<namespace>/distilled-<family>``. The default is the environment variable
            ``DISTILLED_ENVS_NAMESPACE``; without either, or with ``""``, the bundled copy is taken,
            and also when the Hub can't be reached and its cache lacks the dataset.

    Returns:
        The dataset; its ``source`` says where it came from, and so does a log line.

    Raises:
        DatasetError: The name is unknown, or the dataset is damaged.
        HubError: The Hub lacks it, or can't be reached.
        SettingsError: Arguments that don't go together.
    """
    from distilled_envs.dataset import DistilledDataset

    folder, source = locate(
        name,
        dims=dims,
        instances=instances,
        encoder_level=encoder_level,
        revision=revision,
        namespace=namespace,
    )
    dataset = DistilledDataset.load(folder)
    dataset.source = source
    logger.info("%s: %s", dataset.spec.name, source)
    return dataset


def locate(
    name: str | Path,
    *,
    dims: int | None = None,
    instances: Instances = None,
    encoder_level: int | None = None,
    revision: str | None = None,
    namespace: str | None = None,
) -> tuple[Path, Source]:
    """The folder of a dataset on this machine, fetched from the Hub if need be.

    The arguments are those of :func:`load_distilled`.

    Returns:
        The folder, whose content is not checked yet, and where it came from.

    Raises:
        DatasetError: The name is unknown.
        HubError: The Hub lacks it, or can't be reached.
        SettingsError: Arguments that don't go together.
    """
    path = given_path(name)
    is_id = re.fullmatch(r"ALE/\w+(-v\d+)?", str(name), re.IGNORECASE) is not None
    if "/" in str(name):  # else no folder and no repo is meant, and nothing has to be read
        is_id = is_id or name in gym.registry or name in {e.spec.env.id for e in entries()}
    # A bare word is a folder only if a dataset lies in it: halfcheetah/ here may be anything.
    is_path = not isinstance(name, str) or (not is_id and any(s in name for s in _SEPARATORS))
    if path.is_dir() and ((path / SPEC_FILE).exists() or is_path):
        given = (dims, instances, encoder_level, revision, namespace)
        if any(argument is not None for argument in given):
            raise SettingsError(
                f"{name} is a folder with one dataset: leave out dims, instances, encoder_level, "
                "revision and namespace."
            )
        return path, Source("folder", str(path))
    if isinstance(name, str) and re.fullmatch(HUB_NAME, name) and not is_id:
        if namespace is not None:
            raise SettingsError(f"{name} has a namespace already: leave out the argument.")
        choice: dict[str, Any] = {
            "dims": dims,
            "instances": instances,
            "encoder_level": encoder_level,
        }
        if name.count("/") > 1 and any(each is not None for each in choice.values()):
            raise SettingsError(
                f"{name} is one variant: leave out dims, instances and encoder_level."
            )
        return _from_hub(name, choice, revision)
    if is_path:
        raise DatasetError(f"There is no folder {name}.")
    return _fetch(find(str(name), dims, instances, encoder_level), namespace, revision)


def _fetch(entry: Entry, namespace: str | None, revision: str | None) -> tuple[Path, Source]:
    """Where an entry's files lie on this machine, and where they came from."""
    bundled = entry.folder, Source("bundled", f"{entry.family}/{entry.variant}")
    if namespace is None:
        namespace = os.environ.get(NAMESPACE)
    if not namespace:
        if revision is not None:
            raise SettingsError(
                f"A revision is of a Hub repo: give a namespace, or set {NAMESPACE}."
            )
        return bundled
    from distilled_envs.hub import download

    repo_id = f"{namespace}/distilled-{entry.family}"
    try:
        folder, source = download(repo_id, entry.variant, revision=revision)
        theirs, ours = read_spec(folder).env, entry.spec.env
        if not is_same(theirs, ours):
            raise HubError(
                f"{repo_id}/{entry.variant} is of {theirs.id} with the arguments {theirs.kwargs}, "
                f"and not of {ours.id} with {ours.kwargs}: name it in full to load it."
            )
        return folder, source
    except HubUnreachableError as error:
        if revision is not None:  # another revision is another dataset
            raise
        logger.warning("%s The bundled copy is used.", error)
        return bundled
    except HubError as error:
        raise HubError(f"{error} (Without a namespace the bundled copy is taken.)") from None


def _from_hub(name: str, choice: dict[str, Any], revision: str | None) -> tuple[Path, Source]:
    """The files of ``user/name`` or ``user/name/variant``, and where they came from."""
    try:
        from distilled_envs.hub import download
    except MissingExtraError:
        purpose = f"There is no folder {name}, and the Hugging Face Hub"
        raise MissingExtraError("huggingface-hub", purpose, "hub") from None

    user, repo, *variant = name.split("/")
    if variant:
        choice = {"variant": variant[0]}
    try:
        return download(f"{user}/{repo}", **choice, revision=revision)
    except HubError as error:
        raise type(error)(f"There is no folder {name}, and on the Hub: {error}") from None


def locate_model(repo_id: str) -> Path:
    """The zip of a Stable-Baselines3 model on the Hub, in the cache; it is not opened.

    Raises:
        HubError: There is none, or the Hub can't be reached.
        MissingExtraError: The Hub's client is not installed.
    """
    from distilled_envs.hub import download_model

    return download_model(repo_id)
