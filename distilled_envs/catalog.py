"""Which distilled datasets there are, and which of them a name means."""

import difflib
import functools
import math
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym

from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.spec import ENCODER_LEVELS, DistillationSpec
from distilled_envs.storage.folder import SPEC_FILE, count_rows, read_spec

BUNDLED = Path(__file__).parent / "datasets"
Instances = int | Literal["min"] | None


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
    def for_any_initialization(self) -> bool:
        """Whether it was distilled for several families of networks."""
        return len(self.spec.families) > 1

    @property
    def must_be_named(self) -> bool:
        """Whether nobody gets it who has not asked for it, where there is one for usual networks.

        It is for any network, for wide ones of ReLU, or comes with an encoder. A game's encoder is
        the usual thing, and its level is chosen by another rule.
        """
        other = self.spec.is_for_relu or self.has_encoder_for_vectors
        return other or self.for_any_initialization

    @property
    def has_encoder_for_vectors(self) -> bool:
        """Whether hidden layers come with it, though it is no game."""
        return self.spec.learner.encoder_level > 0 and not self.spec.has_frames

    @property
    def score(self) -> float:
        """Mean return of fresh learners, if it was measured: of choices sampled, of means as is."""
        return self._one_step.get("mean", -math.inf)

    @property
    def least_score(self) -> float:
        """Lower end of the 95% interval of :attr:`score`."""
        return self._one_step.get("ci95", (self.score,))[0]

    @property
    def _one_step(self) -> dict[str, Any]:
        return self.spec.evaluation.get("one_step", {}).get(self.spec.task.scored_by, {})

    @functools.cached_property
    def instances(self) -> int:
        """Number of rows."""
        return count_rows(self.folder, self.spec)

    @property
    def full_names(self) -> set[str]:
        """Names that mean this one alone, in plain form."""
        variant = _plain(self.variant)
        names = {_plain(self.family) + variant}
        return names if self.dims is None else names | {f"cartpole{variant}"}

    @property
    def short_names(self) -> set[str]:
        """Names of its environment, in plain form."""
        names = {_plain(self.family), _plain(self.spec.env.id)}
        return names if self.dims is None else names | {"cartpole", f"cartpole{self.dims}d"}


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All bundled datasets: family by family, few axes, rows and shared layers before many.

    Those with an encoder for vectors, which are a kind of their own, come last.
    """
    found = []
    for path in BUNDLED.glob(f"*/*/{SPEC_FILE}"):
        folder = path.parent
        found.append(Entry(folder.parent.name, folder.name, read_spec(folder), folder))
    return _in_order(found)


def _in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    def place(entry: Entry) -> tuple[str, int, bool, int, int]:
        last, level = entry.has_encoder_for_vectors, entry.spec.learner.encoder_level
        return entry.family, entry.dims or 0, last, entry.instances, level

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
            Without axes "cartpole" is Gymnasium's CartPole-v1.
        instances: Rows; ``"min"`` the fewest; None takes the dataset with the highest score, or
            one with more rows whose score lies within its 95% interval.
        encoder_level: Of an Atari game, 0 to 4; None takes the one with the highest score.

    Where nothing else decides, no dataset is taken that teaches one action whatever is seen, while
    there are others.

    Raises:
        DatasetError: There is none; the message lists the nearest names, or what there is.

    >>> find("cartpole_2d", instances="min").spec.name
    'cartpole-nd-2d-min'
    >>> find("Hopper-v5").instances
    4
    """
    wanted = _plain(name)
    meant = [entry for entry in entries() if wanted in entry.short_names]
    named = [entry for entry in entries() if wanted in entry.full_names]
    named = named or [entry for entry in meant if not entry.must_be_named] or meant
    if not named:
        families = {entry.family for entry in entries()}
        known = {_plain(each): each for each in families | {e.spec.name for e in entries()}}
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
        there = f"the nearest: {', '.join(known[each] for each in near)}"
        if not near:
            there = f"there are {', '.join(sorted(families))}"
        if name in gym.registry or name.startswith("ALE/"):  # which are registered when asked for
            raise DatasetError(
                f"There is no distilled dataset of {name}: make one by `distilled-envs distill "
                f"{name}` ({there})."
            )
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
        # "cartpole" is Gymnasium's, as long as nobody asks for axes; of others it is the usual one.
        others = [entry for entry in named if entry.dims is None]
        has_as_many = not isinstance(instances, int) or instances in {e.instances for e in others}
        dims = None if others and has_as_many else 2
        fitting = [entry for entry in named if entry.dims == dims]
    else:
        fitting = [entry for entry in named if dims in (None, entry.dims)]
    if isinstance(instances, int):
        fitting = [entry for entry in fitting if entry.instances == instances]
    if encoder_level is not None:
        level = encoder_level
        fitting = [entry for entry in fitting if entry.spec.learner.encoder_level == level]
    if not fitting:
        there = ", ".join(f"{e.spec.name} ({e.instances} rows)" for e in named)
        wanted = [f"dims={dims}"] * (dims is not None)
        wanted += [f"instances={instances}"] * (instances is not None)
        wanted += [f"encoder_level={encoder_level}"] * (encoder_level is not None)
        raise DatasetError(f"{name!r} has no variant with {', '.join(wanted)}; there are: {there}.")
    fitting = [entry for entry in fitting if not entry.must_be_named] or fitting
    fitting = [entry for entry in fitting if entry.spec.one_action is None] or fitting
    if instances == "min":
        fitting = [entry for entry in fitting if entry.instances == fitting[0].instances]
    best = max(fitting, key=lambda entry: entry.score)
    # More rows serve other training better, and a hair's breadth of the one step's score does not.
    as_good = [entry for entry in fitting if entry.score >= best.least_score]
    return max(as_good, key=lambda entry: (entry.instances, entry.score))


def _whole(value: Any, wanted: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise SettingsError(f"{wanted}, got {value!r}.") from None


def _plain(name: str) -> str:
    """A name without case, ``-``, ``_``, and what our own ids add.

    The version of the real environment stays: Hopper-v4 is another task than Hopper-v5.
    """
    name = name.strip().lower().removeprefix("ale/")
    if name.startswith("distilled"):
        name = name.removeprefix("distilled").removesuffix("-v0")
    return re.sub(r"[-_\s]", "", name)
