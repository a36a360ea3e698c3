"""Kinds of parameters that commands have in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

from distilled_envs.catalog import Instances
from distilled_envs.loading import load_distilled, locate
from distilled_envs.storage.source import Source

if TYPE_CHECKING:
    from distilled_envs.dataset import DistilledDataset

T = TypeVar("T")

Given = Annotated[T, tyro.conf.Fixed, tyro.conf.Suppress]
"""A command's parameter that is no flag: ``main`` gives it."""


@dataclass(frozen=True)
class _Choice:
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """A name from `distilled-envs list`, a dataset folder, or a Hub repo."""
    dims: int | None = None
    """Cart-pole axes."""
    instances: Instances = None
    """Number of rows, or "min"."""
    encoder_level: int | None = None
    """Of an Atari game, 0 to 4; the one with the highest score, if not given."""
    revision: str | None = None
    """Branch, tag or commit of the Hub repo."""
    namespace: str | None = None
    """Hub user or organization that a name is fetched from."""

    def load(self) -> "DistilledDataset":
        """The dataset; see :func:`~distilled_envs.loading.load_distilled`."""
        return load_distilled(**vars(self))

    def locate(self) -> tuple[Path, Source]:
        """Where it lies, without torch; see :func:`~distilled_envs.loading.locate`."""
        return locate(**vars(self))


Choice = Annotated[_Choice, tyro.conf.OmitArgPrefixes, tyro.conf.arg(name="dataset")]
"""Which dataset a command is about, as flags of its own."""
