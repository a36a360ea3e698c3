"""Which distilled datasets there are, by name, and ``load_distilled``."""

import difflib
import functools
import logging
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from distilled_envs.dataset import DistilledDataset, Source
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage import ROWS_FILE, SPEC_FILE

BUNDLED = Path(__file__).parent / "datasets"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One bundled dataset.

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

    @functools.cached_property
    def instances(self) -> int:
        """Number of rows."""
        return pq.read_metadata(self.folder / ROWS_FILE).num_rows

    @property
    def names(self) -> set[str]:
        """The names it is found by, in plain form."""
        family = _plain(self.family)
        names = {family, family + _plain(self.variant), _plain(self.spec.env.id)}
        if self.dims is not None:
            names |= {f"cartpole{self.dims}d", f"cartpole{_plain(self.variant)}"}
        return names


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All bundled datasets: family by family, few axes before many, few rows before many."""
    found = []
    for path in BUNDLED.glob(f"*/*/{SPEC_FILE}"):
        spec = DistillationSpec.from_json(path.read_text(encoding="utf-8"))
        found.append(Entry(path.parent.parent.name, path.parent.name, spec, path.parent))
    return tuple(sorted(found, key=lambda entry: (entry.family, entry.dims or 0, entry.instances)))


def find(
    name: str, dims: int | None = None, instances: int | Literal["min"] | None = None
) -> Entry:
    """The bundled dataset of a name.

    Args:
        name: e.g. ``"cartpole_2d"``, ``"CartPoleND-v0"``, ``"cartpole-nd-5d-min"``; case, ``-``
            and ``_`` don't matter.
        dims: Cart-pole axes; None takes those in the name, else the environment's default, 2.
        instances: Rows; ``"min"`` the fewest, None the most there are under the name.

    Raises:
        DatasetError: There is none; the message lists the nearest names, or what there is.
    """
    if instances not in (None, "min"):
        try:
            instances = operator.index(instances)
        except TypeError:
            raise SettingsError(
                f"instances must be a number of rows or 'min', got {instances!r}."
            ) from None
    named = [entry for entry in entries() if _plain(name) in entry.names]
    if not named:
        known = {entry.spec.name for entry in entries()} | {e.family for e in entries()}
        by_plain = {_plain(each): each for each in known}
        near = difflib.get_close_matches(_plain(name), by_plain, n=3, cutoff=0.4)
        nearest = ", ".join(by_plain[each] for each in near) or ", ".join(sorted(known))
        raise DatasetError(
            f"There is no distilled dataset {name!r}; the nearest: {nearest} "
            "(`distilled-envs list` shows all; the path of a dataset folder works too)."
        )
    if dims is None and len({entry.dims for entry in named}) > 1:
        dims = 2
    fitting = [entry for entry in named if dims in (None, entry.dims)]
    if isinstance(instances, int):
        fitting = [entry for entry in fitting if entry.instances == instances]
    if not fitting:
        there = ", ".join(f"{e.variant} ({e.instances} rows)" for e in named)
        wanted = [f"dims={dims}"] * (dims is not None)
        wanted += [f"instances={instances}"] * (instances is not None)
        raise DatasetError(f"{name!r} has no variant with {', '.join(wanted)}; there are: {there}.")
    return fitting[0] if instances == "min" else fitting[-1]


def load_distilled(
    name: str | Path,
    *,
    dims: int | None = None,
    instances: int | Literal["min"] | None = None,
) -> DistilledDataset:
    """Load a distilled dataset.

    Args:
        name: A name of the catalog (``"cartpole_2d"``, ``"CartPoleND-v0"``; case, ``-`` and ``_``
            don't matter), or a dataset folder.
        dims: Cart-pole axes (default 2).
        instances: Number of rows; ``"min"`` for the fewest, default the most there are.

    Returns:
        The dataset; its ``source`` says where it came from, and so does a log line.

    Raises:
        DatasetError: The name is unknown, or the dataset is damaged.
    """
    path = Path(name)
    if not path.is_dir() and (isinstance(name, Path) or len(path.parts) > 1):
        raise DatasetError(f"There is no folder {name}.")
    # A bare word is a folder only if a dataset lies in it: ./halfcheetah/ may be anything.
    if path.is_dir() and ((path / SPEC_FILE).exists() or len(path.parts) > 1):
        if dims is not None or instances is not None:
            raise SettingsError(
                f"{name} is a folder with one dataset: leave out dims and instances."
            )
        folder, source = path, Source("folder", str(path))
    else:
        folder, source = _fetch(find(str(name), dims, instances))
    dataset = DistilledDataset.load(folder)
    dataset.source = source
    logger.info("%s: %s", dataset.spec.name, source)
    return dataset


def _fetch(entry: Entry) -> tuple[Path, Source]:
    """Where an entry's files lie on this machine, and where they came from."""
    return entry.folder, Source("bundled", f"{entry.family}/{entry.variant}")


def _plain(name: str) -> str:
    """A name without case, ``-``, ``_``, a leading "distilled" and a version."""
    name = re.sub(r"-v\d+$", "", name.strip().lower())
    return re.sub(r"[-_\s]", "", name).removeprefix("distilled")
