"""``DistilledDataset``: the rows, what they say of themselves, and what can be done with them."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import gymnasium as gym
import torch
from torch import Tensor, nn

from distilled_envs import environments, storage
from distilled_envs.encoder import EncodedPolicy, learner_parameters
from distilled_envs.errors import DatasetError, PolicyError
from distilled_envs.inner_step import inner_step, train_one_step
from distilled_envs.learner import Parameters, empty_encoder, initial_parameters, make_policy
from distilled_envs.spec import DistillationSpec, LearnerSpec

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
        observations: ``(k, n_inputs)``, or frames ``(k, stack, height, width)`` of 0 to 255.
        targets: ``(k, n_outputs)``: what a learner's outputs are regressed on.
        spec: What belongs to the rows.
        source: Where they came from.
        encoder: State of the encoder, where the spec's learner has one.

    Attributes:
        observations: float32 tensor on the CPU, of the shape above.
        targets: float32 tensor ``(k, n_outputs)`` on the CPU.
        spec: See :class:`~distilled_envs.spec.DistillationSpec`.
        source: See :class:`Source`.
        encoder: The layers that all learners share, as a module from observations to features
            without gradients of its own; None if there are none.

    Raises:
        DatasetError: Shapes that don't fit each other or the spec, or numbers that aren't finite.
    """

    def __init__(
        self,
        observations: Tensor,
        targets: Tensor,
        spec: DistillationSpec,
        source: Source | None = None,
        encoder: Mapping[str, Tensor] | None = None,
    ):
        self.observations = torch.as_tensor(observations).detach().to("cpu", torch.float32)
        self.targets = torch.as_tensor(targets).detach().to("cpu", torch.float32)
        self.spec = spec
        self.source = source or Source()
        self._check()
        self.encoder = self._build_encoder(encoder)

    def _check(self) -> None:
        shapes = tuple(self.observations.shape), tuple(self.targets.shape)
        if len(shapes[0]) not in (2, 4) or len(shapes[1]) != 2 or shapes[0][0] != shapes[1][0]:
            raise DatasetError(
                f"{self.spec.name}: observations {shapes[0]} and targets {shapes[1]} must be two "
                "matrices, or frames and a matrix, with as many rows."
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
                row, *column = bad[0].tolist()
                raise DatasetError(
                    f"{self.spec.name}: {what} hold {matrix[row, *column]} at row {row}, "
                    f"column {', '.join(map(str, column))}; every number must be finite."
                )
        frames = self.observations
        if (
            frames.dim() == 4
            and not ((frames == frames.round()) & (frames >= 0) & (frames <= 255)).all()
        ):
            raise DatasetError(
                f"{self.spec.name}: frames must hold whole numbers from 0 to 255, as the "
                "environment shows them."
            )

    def _build_encoder(self, state: Mapping[str, Tensor] | None) -> nn.Sequential | None:
        level = self.spec.learner.encoder_level
        if level == 0 and state is None:
            return None
        if level == 0 or state is None:
            raise DatasetError(
                f"{self.spec.name}: encoder level {level} "
                f"{'needs an encoder' if state is None else 'has no encoder'}."
            )
        encoder = empty_encoder(self.spec.learner, self.spec.task.observation_shape)
        wanted = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
        given = {name: tuple(value.shape) for name, value in state.items()}
        if given != wanted:
            raise DatasetError(
                f"{self.spec.name}: an encoder of level {level} has the tensors {wanted}, "
                f"got {given}."
            )
        if not all(value.isfinite().all() for value in state.values()):
            raise DatasetError(f"{self.spec.name}: the encoder is not finite.")
        encoder.to_empty(device="cpu").load_state_dict(dict(state))
        return encoder.requires_grad_(False).eval()

    def __len__(self) -> int:
        return len(self.observations)

    def __repr__(self) -> str:
        return (
            f"DistilledDataset({self.spec.name!r}, {len(self)} rows: "
            f"observation {tuple(self.observations.shape[1:])} -> "
            f"target {tuple(self.targets.shape[1:])}, {self.source})"
        )

    def new_policy(self, *, seed: int | None = None) -> nn.Module:
        """A fresh, untrained network of the kind the dataset was distilled for.

        With an encoder only the layers after it are fresh.

        Args:
            seed: Seed of its initialisation; None draws from torch's global generator.
        """
        task = self.spec.task
        learner = make_policy(self.spec.learner, task.observation_shape, task.n_outputs, seed=seed)
        return learner if self.encoder is None else self.with_encoder(learner)

    def new_learners(
        self,
        population: int,
        learner: LearnerSpec | None = None,
        generator: torch.Generator | None = None,
    ) -> Parameters:
        """Fresh networks side by side, after their one step; see :mod:`distilled_envs.learner`.

        Args:
            population: Number of networks L.
            learner: Their architecture; None takes the one that the dataset was distilled for.
            generator: Source of randomness; None takes torch's global one.

        Returns:
            Stacked parameters; behind an encoder they are for its features.
        """
        task, learner = self.spec.task, learner or self.spec.learner
        shape = task.observation_shape
        initial = initial_parameters(learner, shape, task.n_outputs, population, generator)
        rows = self.observations if self.encoder is None else self.encoder(self.observations)
        return inner_step(learner, initial, rows, self.targets, self.spec.inner.learning_rate)

    @torch.no_grad()
    def with_encoder(self, learner: nn.Module) -> EncodedPolicy:
        """A learner of your own behind a copy of the encoder, as a policy on observations.

        Args:
            learner: Module from the encoder's features ``(n, *features)`` to outputs
                ``(n, n_outputs)``.

        Raises:
            DatasetError: The dataset has no encoder.
            PolicyError: The learner does not fit the encoder or the task.
        """
        if self.encoder is None:
            raise DatasetError(f"{self.spec.name} has no encoder: train the network as it is.")
        if not isinstance(learner, nn.Module):
            raise PolicyError(f"A learner must be a torch.nn.Module, got {type(learner).__name__}.")
        # A copy: what becomes of a policy is nothing to the dataset and to other policies.
        policy, training = EncodedPolicy(copy.deepcopy(self.encoder), learner), learner.training
        features = self.encoder(self.observations[:1])
        try:
            shape = tuple(learner.eval()(features).shape)
        except (RuntimeError, ValueError, TypeError) as error:
            raise PolicyError(
                f"{type(learner).__name__} does not take the encoder's features of shape "
                f"{tuple(features.shape)}: {error}"
            ) from None
        finally:
            learner.train(training)
        if shape != (1, self.spec.task.n_outputs):
            raise PolicyError(
                f"{type(learner).__name__} gives outputs of shape {shape}, and the task needs "
                f"{(1, self.spec.task.n_outputs)}."
            )
        return policy

    def train(self, policy: Policy | None = None, *, seed: int | None = None) -> Policy | nn.Module:
        """Train a policy: one step of gradient descent on the whole dataset.

        Args:
            policy: A ``torch.nn.Module`` that maps observations ``(n, *obs_shape)`` to outputs
                ``(n, n_outputs)``, or a Stable-Baselines3 actor-critic model (PPO, A2C) or policy.
                None makes a fresh network. Where the dataset has an encoder, a module comes from
                :meth:`with_encoder`, and an SB3 ``CnnPolicy`` is given the encoder's weights.
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
            None if self.encoder is None else learner_parameters(policy, self),
        )
        return policy

    def evaluate(self, policy: nn.Module | object | None = None, **kwargs: Any) -> "Evaluation":
        """Play in the real environment; see :func:`distilled_envs.evaluation.evaluate`.

        Args:
            policy: A trained policy; None draws fresh learners, one step each: the dataset's own
                score.
            **kwargs: ``learner``, ``learners``, ``episodes``, ``seed``, ``progress``.
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
        encoder = None if self.encoder is None else self.encoder.state_dict()
        storage.write_folder(Path(folder), self.observations, self.targets, self.spec, encoder)

    @classmethod
    def load(cls, folder: str | Path, *, max_bytes: int = storage.MAX_BYTES) -> "DistilledDataset":
        """Read and check a dataset folder.

        Args:
            folder: Where.
            max_bytes: Bound on the size of the rows in memory.

        Raises:
            DatasetError: A file is missing, damaged or invalid; the message says which and where.
        """
        observations, targets, spec, encoder = storage.read_folder(Path(folder), max_bytes)
        return cls(observations, targets, spec, Source("folder", str(folder)), encoder)
