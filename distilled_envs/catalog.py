"""Which distilled datasets there are, by name, and ``load_distilled``."""

import difflib
import functools
import logging
import math
import operator
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from distilled_envs.dataset import DistilledDataset, Source
from distilled_envs.errors import (
    DatasetError,
    HubError,
    HubUnreachableError,
    MissingExtraError,
    SettingsError,
)
from distilled_envs.spec import ENCODER_LEVELS, DistillationSpec
from distilled_envs.storage import SPEC_FILE, count_rows, read_spec

BUNDLED = Path(__file__).parent / "datasets"
NAMESPACE = "DISTILLED_ENVS_NAMESPACE"
"""The environment variable with the Hub user or organisation that bare names are fetched from."""

HUB_NAME = r"[A-Za-z0-9][\w.-]*/[\w.-]+(/[\w.-]+)?"
"""A Hub repo, or one of its variants."""

_SEPARATORS = {"/", os.sep}

Instances = int | Literal["min"] | None

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One dataset of the catalog.

    Attributes:
        family: The environment it stands for; the Hub repo is ``distilled-<family>``.
        variant: Which of the family's datasets.
        spec: Its spec.
        folder: Where it lies.
    """

    family: str
    variant: str
    spec: DistillationSpec
    folder: Path

    @property
    def dims(self) -> int | None:
        """Cart-pole axes, where the environment has them."""
        return self.spec.env.kwargs.get("dims")

    @property
    def score(self) -> float:
        """Mean return of fresh learners with sampled actions, if it was measured."""
        sampled = self.spec.evaluation.get("one_step", {}).get("sampled", {})
        return sampled.get("mean", -math.inf)

    @functools.cached_property
    def instances(self) -> int:
        """Number of rows."""
        return count_rows(self.folder)

    @property
    def names(self) -> set[str]:
        """The names it is found by, in plain form."""
        family = _plain(self.family)
        names = {family, family + _plain(self.variant), _plain(self.spec.env.id)}
        if self.dims is not None:
            names |= {"cartpole", f"cartpole{self.dims}d", f"cartpole{_plain(self.variant)}"}
        return names


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All bundled datasets: family by family, few axes, rows and shared layers before many."""
    found = []
    for path in BUNDLED.glob(f"*/*/{SPEC_FILE}"):
        folder = path.parent
        found.append(Entry(folder.parent.name, folder.name, read_spec(folder), folder))
    return _in_order(found)


def _in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    def place(entry: Entry) -> tuple[str, int, int, int]:
        return entry.family, entry.dims or 0, entry.instances, entry.spec.learner.encoder_level

    return tuple(sorted(entries, key=place))


def find(
    name: str,
    dims: int | None = None,
    instances: Instances = None,
    encoder_level: int | None = None,
) -> Entry:
    """The bundled dataset of a name.

    Args:
        name: e.g. ``"cartpole_2d"``, ``"CartPoleND-v0"``, ``"cartpole-nd-5d-min"``; case, ``-``
            and ``_`` don't matter.
        dims: Cart-pole axes; None takes those in the name, else the environment's default, 2.
        instances: Rows; ``"min"`` the fewest, None the most there are under the name.
        encoder_level: Of an Atari game, 0 to 4; None takes the one with the highest score.

    Raises:
        DatasetError: There is none; the message lists the nearest names, or what there is.
    """
    named = [entry for entry in entries() if _plain(name) in entry.names]
    if not named:
        families = {entry.family for entry in entries()}
        known = {_plain(each): each for each in families | {e.spec.name for e in entries()}}
        near = difflib.get_close_matches(_plain(name), known, n=3, cutoff=0.4)
        there = f"the nearest: {', '.join(known[each] for each in near)}"
        if not near:
            there = f"there are {', '.join(sorted(families))}"
        raise DatasetError(
            f"There is no distilled dataset {name!r}; {there} "
            "(`distilled-envs list` shows all; a dataset folder and a Hub repo's user/name work "
            "too)."
        )
    return choose(named, name, dims, instances, encoder_level)


def choose(
    entries: Iterable[Entry],
    name: str,
    dims: int | None = None,
    instances: Instances = None,
    encoder_level: int | None = None,
) -> Entry:
    """The one of several variants that has the axes, rows and level; see :func:`find`."""
    named = _in_order(entries)
    if encoder_level not in (None, *ENCODER_LEVELS):
        raise SettingsError(f"encoder_level must be 0 to 4, got {encoder_level!r}.")
    if dims is not None:
        dims = _whole(dims, "dims must be a number of axes")
    if instances not in (None, "min"):
        instances = _whole(instances, "instances must be a number of rows or 'min'")
    if dims is None and len({entry.dims for entry in named}) > 1:
        dims = 2
    fitting = [entry for entry in named if dims in (None, entry.dims)]
    if isinstance(instances, int):
        fitting = [entry for entry in fitting if entry.instances == instances]
    if encoder_level is not None:
        level = encoder_level
        fitting = [entry for entry in fitting if entry.spec.learner.encoder_level == level]
    if not fitting:
        there = ", ".join(f"{e.variant} ({e.instances} rows)" for e in named)
        wanted = [f"dims={dims}"] * (dims is not None)
        wanted += [f"instances={instances}"] * (instances is not None)
        wanted += [f"encoder_level={encoder_level}"] * (encoder_level is not None)
        raise DatasetError(f"{name!r} has no variant with {', '.join(wanted)}; there are: {there}.")
    if instances == "min" or fitting[0].spec.preprocessing is None:  # of games levels differ more
        rows = fitting[0 if instances == "min" else -1].instances
        fitting = [entry for entry in fitting if entry.instances == rows]
    return max(fitting, key=lambda entry: entry.score)


def _whole(value: object, wanted: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise SettingsError(f"{wanted}, got {value!r}.") from None


def load_distilled(
    name: str | Path,
    *,
    dims: int | None = None,
    instances: Instances = None,
    encoder_level: int | None = None,
    revision: str | None = None,
    namespace: str | None = None,
) -> DistilledDataset:
    """Load a distilled dataset: bundled, from a folder, or from the Hugging Face Hub.

    Args:
        name: A name of the catalog (``"cartpole_2d"``, ``"CartPoleND-v0"``; case, ``-`` and ``_``
            don't matter), a dataset folder, a Hub repo (``"user/distilled-hopper"``), or one of its
            variants (``"user/distilled-cartpole-nd/2d-min"``).
        dims: Cart-pole axes (default 2).
        instances: Number of rows; ``"min"`` for the fewest, default the most there are. Of sets
            with as many rows the one with the highest score is taken.
        encoder_level: Of an Atari game: how many of the network's layers come with the dataset,
            0 to 4; default the variant with the highest score.
        revision: Branch, tag or commit of the Hub repo; default its newest.
        namespace: Hub user or organisation: a name of the catalog is then fetched from
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
    path = Path(name)
    is_game = re.fullmatch(r"ALE/\w+(-v\d+)?", str(name), re.IGNORECASE) is not None
    # A bare word is a folder only if a dataset lies in it: halfcheetah/ here may be anything.
    is_path = not isinstance(name, str) or (not is_game and any(s in name for s in _SEPARATORS))
    if path.is_dir() and ((path / SPEC_FILE).exists() or is_path):
        given = (dims, instances, encoder_level, revision, namespace)
        if any(argument is not None for argument in given):
            raise SettingsError(
                f"{name} is a folder with one dataset: leave out dims, instances, encoder_level, "
                "revision and namespace."
            )
        folder, source = path, Source("folder", str(path))
    elif isinstance(name, str) and re.fullmatch(HUB_NAME, name) and not is_game:
        if namespace is not None:
            raise SettingsError(f"{name} has a namespace already: leave out the argument.")
        choice = {"dims": dims, "instances": instances, "encoder_level": encoder_level}
        if name.count("/") > 1 and any(each is not None for each in choice.values()):
            raise SettingsError(
                f"{name} is one variant: leave out dims, instances and encoder_level."
            )
        folder, source = _from_hub(name, choice, revision)
    elif is_path:
        raise DatasetError(f"There is no folder {name}.")
    else:
        entry = find(name, dims, instances, encoder_level)
        folder, source = _fetch(entry, namespace, revision)
    dataset = DistilledDataset.load(folder)
    dataset.source = source
    logger.info("%s: %s", dataset.spec.name, source)
    return dataset


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
        return download(repo_id, entry.variant, revision=revision)
    except HubUnreachableError as error:
        if revision is not None:  # another revision is another dataset
            raise
        logger.warning("%s The bundled copy is used.", error)
        return bundled
    except HubError as error:
        raise HubError(f"{error} (Without a namespace the bundled copy is taken.)") from None


def _from_hub(
    name: str, choice: dict[str, int | str | None], revision: str | None
) -> tuple[Path, Source]:
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


def _plain(name: str) -> str:
    """A name without case, ``-``, ``_``, and what our own ids add.

    The version of the real environment stays: Hopper-v4 is another task than Hopper-v5.
    """
    name = name.strip().lower().removeprefix("ale/")
    if name.startswith("distilled"):
        name = name.removeprefix("distilled").removesuffix("-v0")
    return re.sub(r"[-_\s]", "", name)
