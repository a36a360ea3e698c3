"""``ExpandedDataset``: thousands of pairs that teach any network what a batch teaches its own."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from distilled_envs.errors import DatasetError
from distilled_envs.pairs import Pairs
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage import folder as storage
from distilled_envs.storage.files import given_path

if TYPE_CHECKING:
    from distilled_envs.rows import Rows

MAX_BYTES = 8 * 2**30
"""Bound on expanded rows that are read: a hundred times a batch of frames."""


class ExpandedDataset(Pairs, torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Pairs of an observation and a target, for a ``DataLoader`` or for ``dataset.fit``.

    Attributes:
        observations: ``(n, *obs_shape)``, float32, or frames as uint8.
        targets: ``(n, n_outputs)``, float32: logits or action means.
        spec: That of the dataset they come from, with a name of its own; ``provenance`` says how
            they were made.
    """

    def __init__(self, observations: Tensor, targets: Tensor, spec: DistillationSpec):
        self.observations, self.targets, self.spec = observations, targets, spec

    @classmethod
    def of(cls, rows: "Rows", observations: Tensor, targets: Tensor, **how: Any) -> Self:
        """Expanded rows of a dataset; ``how`` says how they were made, for their provenance."""
        spec = rows.spec
        made = {"expanded_from": spec.name, "expansion": {"n": len(targets)} | how}
        learner = dataclasses.replace(spec.learner, encoder_level=0)  # no encoder goes with them
        name = f"{spec.name}-expanded"
        return cls(
            observations,
            targets,
            spec.replace(name=name, learner=learner, provenance=made, evaluation={}, files={}),
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.spec.name!r}, {len(self)} pairs: "
            f"observation {tuple(self.observations.shape[1:])} -> "
            f"target {tuple(self.targets.shape[1:])})"
        )

    to_datasets = Pairs.to_hf  # its name before

    def save(self, folder: str | Path) -> None:
        """Write them as a new folder, whole or not at all: Parquet beside ``distillation.json``.

        Raises:
            DatasetError: The folder exists and is not empty.
        """
        rows = self.observations.numpy(), self.targets.numpy()
        storage.write_folder(given_path(folder), *rows, self.spec)

    @classmethod
    def load(cls, folder: str | Path, *, max_bytes: int = MAX_BYTES) -> Self:
        """Read and check what :meth:`save` wrote.

        Args:
            folder: Where.
            max_bytes: Bound on the size in memory.

        Raises:
            DatasetError: A file is missing, damaged or invalid, or the folder holds a batch.
        """
        observations, targets, spec, _ = storage.read_folder(given_path(folder), max_bytes)
        if "expanded_from" not in spec.provenance:
            raise DatasetError(
                f"{folder} holds a batch, not expanded rows: load it with load_distilled, and "
                "expand it."
            )
        if observations.ndim == 4:
            observations = observations.astype(np.uint8)
        return cls(torch.from_numpy(observations), torch.from_numpy(targets), spec)
