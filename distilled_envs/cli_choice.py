"""Which dataset a command is about: the arguments that commands have in common."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from distilled_envs.catalog import Instances, load_distilled
from distilled_envs.dataset import DistilledDataset


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
    """Hub user or organisation that a name is fetched from."""

    def load(self) -> DistilledDataset:
        """The dataset; see :func:`~distilled_envs.catalog.load_distilled`."""
        return load_distilled(**vars(self))


Choice = Annotated[_Choice, tyro.conf.OmitArgPrefixes, tyro.conf.arg(name="dataset")]
"""A command's parameter, as flags of its own."""
