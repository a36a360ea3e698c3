"""``DistilledDataset``: rows, and what can be done with them."""

import copy
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

import gymnasium as gym
import torch
from torch import nn

from distilled_envs.envs import real
from distilled_envs.errors import DatasetError, PolicyError
from distilled_envs.evaluation import Evaluation, EvaluationOptions, evaluate
from distilled_envs.learners.encoder import EncodedPolicy, learner_parameters
from distilled_envs.learners.networks import make_policy
from distilled_envs.learners.one_step import train_one_step
from distilled_envs.learners.policies import check_action_space
from distilled_envs.learners.population import Population
from distilled_envs.rows import Rows
from distilled_envs.spec import LearnerSpec
from distilled_envs.storage import folder as storage
from distilled_envs.storage.source import Source

Policy = TypeVar("Policy")


class DistilledDataset(Rows):
    """A distilled environment: one batch of rows that trains a policy in one gradient step.

    Wilhelm & Ventura, "Distilling Reinforcement Learning into Single-Batch Datasets", arXiv
    2508.09283. Arguments and attributes are those of :class:`~distilled_envs.rows.Rows`.
    """

    def new_policy(self, *, seed: int | None = None) -> nn.Module:
        """A fresh, untrained network of the kind the dataset was distilled for.

        With an encoder only the layers after it are fresh.

        Args:
            seed: Seed of its initialization; None draws from torch's global generator.
        """
        task = self.spec.task
        learner = make_policy(self.spec.learner, task.observation_shape, task.n_outputs, seed=seed)
        return learner if self.encoder is None else self.with_encoder(learner)

    def new_learners(
        self,
        population: int,
        learner: LearnerSpec | None = None,
        generator: torch.Generator | None = None,
    ) -> Population:
        """Fresh networks side by side, after their one step.

        Args:
            population: Number of networks L.
            learner: Their architecture; None takes the one that the dataset was distilled for.
            generator: Source of randomness; None takes torch's global one.

        Returns:
            The population; behind an encoder it takes the encoder's features.
        """
        learner = learner or self.spec.learner
        fresh = Population.draw(learner, self.spec.task, population, generator)
        return fresh.step(self.features, self.targets, self.spec.inner.learning_rate)

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

    @overload
    def train(self, policy: None = None, *, seed: int | None = None) -> nn.Module: ...

    @overload
    def train(self, policy: Policy, *, seed: None = None) -> Policy: ...

    def train(
        self, policy: Policy | nn.Module | None = None, *, seed: int | None = None
    ) -> Policy | nn.Module:
        """Train a policy: one step of gradient descent on the whole dataset.

        Args:
            policy: A ``torch.nn.Module`` that maps observations ``(n, *obs_shape)`` to outputs
                ``(n, n_outputs)``, or a model or policy of Stable-Baselines3 or sb3-contrib, by
                the rules of :mod:`distilled_envs.learners.policies`. None makes a fresh network.
                Where the dataset has an encoder, a module comes from :meth:`with_encoder`, and an
                SB3 ``CnnPolicy`` is given the encoder's weights.
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
        check_action_space(policy, self.spec.task, self.spec.name)
        log_std = self.spec.task.target_log_std
        train_one_step(
            policy,
            self.observations,
            self.targets,
            self.spec.inner.learning_rate,
            None if log_std is None else torch.tensor(log_std),
            self._trained_parameters(policy),
        )
        return policy

    def _trained_parameters(self, policy: nn.Module | object) -> list[nn.Parameter] | None:
        """What the step trains; None for all that can be trained."""
        if self.encoder is None:
            return None
        return learner_parameters(policy, self.encoder, self.spec.name)

    def evaluate(
        self, policy: nn.Module | object | None = None, **kwargs: Unpack[EvaluationOptions]
    ) -> Evaluation:
        """Play in the real environment; see :func:`distilled_envs.evaluation.evaluate`.

        Args:
            policy: A trained policy; None draws fresh learners, one step each: the dataset's own
                score.
            **kwargs: ``learner``, ``learners``, ``episodes``, ``seed``, ``progress``.
        """
        return evaluate(self, policy, **kwargs)

    def make_env(self, **kwargs: Any) -> gym.Env:
        """The real environment as the dataset saw it; ``kwargs`` go to ``gym.make``."""
        return real.make_env(self.spec, **kwargs)

    def make_vec_env(self, num_envs: int, **kwargs: Any) -> gym.vector.VectorEnv:
        """Copies of the real environment; ``kwargs`` go to ``gym.make_vec``."""
        return real.make_vec_env(self.spec, num_envs, **kwargs)

    def save(self, folder: str | Path) -> None:
        """Write the dataset as a new folder, whole or not at all.

        Raises:
            DatasetError: The folder exists and is not empty.
        """
        encoder = None
        if self.encoder is not None:
            encoder = {name: value.numpy() for name, value in self.encoder.state_dict().items()}
        rows = self.observations.numpy(), self.targets.numpy()
        storage.write_folder(Path(folder), *rows, self.spec, encoder)

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
        state = None
        if encoder is not None:
            state = {name: torch.from_numpy(value) for name, value in encoder.items()}
        return cls(observations, targets, spec, Source("folder", str(folder)), state)
