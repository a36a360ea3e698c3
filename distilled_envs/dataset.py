"""``DistilledDataset``: the rows, what they say of themselves, and what can be done with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import gymnasium as gym
import torch
from torch import Tensor, nn

from distilled_envs import environments, storage
from distilled_envs.errors import DatasetError
from distilled_envs.inner_step import train_one_step
from distilled_envs.learner import make_policy
from distilled_envs.spec import DistillationSpec

if TYPE_CHECKING:
    from distilled_envs.evaluation import Evaluation

Policy = TypeVar("Policy")


@dataclass(frozen=True)
class Source:
    """Where a dataset came from.

    Attributes:
        kind: ``"bundled"`` with the package, a ``"folder"``, the ``"hub"``, or ``"memory"``.
        location: Folder, or repo and variant as ``load_distilled`` takes them; empty for memory.
        revision: Commit of the Hub repo, else None.
    """

    kind: Literal["bundled", "folder", "hub", "memory"] = "memory"
    location: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.kind} {self.location}{revision}".strip()


class DistilledDataset:
    """A distilled environment: one batch of rows that trains a policy in one gradient step.

    Wilhelm & Ventura, "Distilling Reinforcement Learning into Single-Batch Datasets", arXiv
    2508.09283.

    Args:
        observations: ``(k, n_inputs)``.
        targets: ``(k, n_outputs)``: what a learner's outputs are regressed on.
        spec: What belongs to the rows.
        source: Where they came from.

    Attributes:
        observations: float32 tensor ``(k, n_inputs)`` on the CPU.
        targets: float32 tensor ``(k, n_outputs)`` on the CPU.
        spec: See :class:`~distilled_envs.spec.DistillationSpec`.
        source: See :class:`Source`.

    Raises:
        DatasetError: Shapes that don't fit each other or the spec, or numbers that aren't finite.
    """

    def __init__(
        self,
        observations: Tensor,
        targets: Tensor,
        spec: DistillationSpec,
        source: Source | None = None,
    ):
        self.observations = torch.as_tensor(observations).detach().to("cpu", torch.float32)
        self.targets = torch.as_tensor(targets).detach().to("cpu", torch.float32)
        self.spec = spec
        self.source = source or Source()
        self._check()

    def _check(self) -> None:
        shapes = tuple(self.observations.shape), tuple(self.targets.shape)
        if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][0] != shapes[1][0]:
            raise DatasetError(
                f"{self.spec.name}: observations {shapes[0]} and targets {shapes[1]} must be two "
                "matrices with as many rows."
            )
        if not len(self):
            raise DatasetError(f"{self.spec.name}: there are no rows.")
        task = self.spec.task
        if shapes[0][1:] != task.observation_shape:
            raise DatasetError(
                f"{self.spec.name}: observations have shape {shapes[0][1:]}, but the task has "
                f"{task.observation_shape}."
            )
        if task.kind == "gaussian" and task.target_log_std is None:
            raise DatasetError(f"{self.spec.name}: a gaussian task needs its target_log_std.")
        if shapes[1][1] != task.n_outputs:
            raise DatasetError(
                f"{self.spec.name}: targets have {shapes[1][1]} columns, but the task has "
                f"{task.n_outputs} outputs."
            )
        for what, matrix in (("observations", self.observations), ("targets", self.targets)):
            bad = (~matrix.isfinite()).nonzero()
            if len(bad):
                row, column = bad[0].tolist()
                raise DatasetError(
                    f"{self.spec.name}: {what} hold {matrix[row, column]} at row {row}, "
                    f"column {column}; every number must be finite."
                )

    def __len__(self) -> int:
        return len(self.observations)

    def __repr__(self) -> str:
        return (
            f"DistilledDataset({self.spec.name!r}, {len(self)} rows: "
            f"observation {tuple(self.observations.shape[1:])} -> "
            f"target {tuple(self.targets.shape[1:])}, {self.source})"
        )

    def new_policy(self, *, seed: int | None = None) -> nn.Sequential:
        """A fresh, untrained network of the kind the dataset was distilled for.

        Args:
            seed: Seed of its initialisation; None draws from torch's global generator.
        """
        n_inputs, n_outputs = self.observations.shape[1], self.targets.shape[1]
        return make_policy(self.spec.learner, n_inputs, n_outputs, seed=seed)

    def train(self, policy: Policy | None = None, *, seed: int | None = None) -> Policy | nn.Module:
        """Train a policy: one step of gradient descent on the whole dataset.

        Args:
            policy: A ``torch.nn.Module`` that maps observations ``(n, n_inputs)`` to outputs
                ``(n, n_outputs)``, or a Stable-Baselines3 actor-critic model (PPO, A2C) or policy.
                None makes a fresh network.
            seed: Seed of the fresh network; only without ``policy``.

        Returns:
            The policy itself, trained in place.

        Raises:
            PolicyError: The policy does not fit the dataset.
        """
        if policy is None:
            policy = self.new_policy(seed=seed)
        elif seed is not None:
            raise ValueError("seed is for a fresh network: leave it out when you give a policy.")
        log_std = self.spec.task.target_log_std
        train_one_step(
            policy,
            self.observations,
            self.targets,
            self.spec.inner.learning_rate,
            None if log_std is None else torch.tensor(log_std),
        )
        return policy

    def evaluate(self, policy: nn.Module | object | None = None, **kwargs: Any) -> "Evaluation":
        """Play in the real environment; see :func:`distilled_envs.evaluation.evaluate`.

        Args:
            policy: A trained policy; None draws fresh learners, one step each: the dataset's own
                score.
            **kwargs: ``learner``, ``learners``, ``episodes``, ``seed``.
        """
        from distilled_envs.evaluation import evaluate

        return evaluate(self, policy, **kwargs)

    def make_env(self, **kwargs: Any) -> gym.Env:
        """The real environment as the dataset saw it; ``kwargs`` go to ``gym.make``."""
        return environments.make_env(self.spec, **kwargs)

    def make_vec_env(self, num_envs: int, **kwargs: Any) -> gym.vector.VectorEnv:
        """Copies of the real environment; ``kwargs`` go to ``gym.make_vec``."""
        return environments.make_vec_env(self.spec, num_envs, **kwargs)

    def save(self, folder: str | Path) -> None:
        """Write the dataset as a new folder, whole or not at all.

        Raises:
            DatasetError: The folder exists and is not empty.
        """
        storage.write_folder(Path(folder), self.observations, self.targets, self.spec)

    @classmethod
    def load(cls, folder: str | Path, *, max_bytes: int = storage.MAX_BYTES) -> "DistilledDataset":
        """Read and check a dataset folder.

        Args:
            folder: Where.
            max_bytes: Bound on the size of the rows in memory.

        Raises:
            DatasetError: A file is missing, damaged or invalid; the message says which and where.
        """
        observations, targets, spec = storage.read_folder(Path(folder), max_bytes)
        return cls(observations, targets, spec, Source("folder", str(folder)))
