"""``DistilledDataset``: rows, and what can be done with them."""

import copy
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, Unpack, overload

import gymnasium as gym
import torch
from torch import nn

from distilled_envs.envs import real
from distilled_envs.errors import DatasetError, OneStepWarning, PolicyError, SettingsError
from distilled_envs.evaluation import Evaluation, EvaluationOptions, evaluate
from distilled_envs.evaluation.visits import play
from distilled_envs.expanded import ExpandedDataset
from distilled_envs.formatting import in_a_line
from distilled_envs.learners.acceptance import accept
from distilled_envs.learners.actions import log_deviations
from distilled_envs.learners.diagnosis import Diagnosis, diagnose, take_step
from distilled_envs.learners.encoder import EncodedPolicy, learner_parameters, place_encoder
from distilled_envs.learners.expansion import mean_answers, noise, one_step_learners
from distilled_envs.learners.fitting import RATES, fit
from distilled_envs.learners.initialization import initialize
from distilled_envs.learners.layers import restored
from distilled_envs.learners.networks import make_policy
from distilled_envs.learners.one_step import PLAIN, trainable
from distilled_envs.learners.policies import policy_module, policy_parameters, sb3_policy_kwargs
from distilled_envs.learners.population import Population
from distilled_envs.learners.reference import Reference
from distilled_envs.learners.threads import torch_threads
from distilled_envs.rows import Rows
from distilled_envs.seeds import checked_seed
from distilled_envs.spec import MAX_BYTES, LearnerSpec
from distilled_envs.storage import folder as storage
from distilled_envs.storage.files import given_path
from distilled_envs.storage.source import Source

Policy = TypeVar("Policy")

EXPANDED = 8192
"""Pairs of an expansion, if nothing else is said."""


class DistilledDataset(Rows):
    """A distilled environment: one batch of rows that trains a policy in one gradient step.

    Wilhelm & Ventura, "Distilling Reinforcement Learning into Single-Batch Datasets", arXiv
    2508.09283. Arguments and attributes are those of :class:`~distilled_envs.rows.Rows`.
    """

    @torch_threads(1)
    def new_policy(self, *, seed: int | None = None) -> nn.Module:
        """A fresh, untrained network of the kind the dataset was distilled for.

        With an encoder only the layers after it are fresh.

        Args:
            seed: Seed of its initialization; None draws from torch's global generator.
        """
        task = self.spec.task
        learner = make_policy(self.spec.learner, task.observation_shape, task.n_outputs, seed=seed)
        return learner if self.encoder is None else self.with_encoder(learner)

    @torch_threads(1)
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

    def sb3_policy_kwargs(self) -> dict[str, Any]:
        """Stable-Baselines3's ``policy_kwargs`` for networks like those it was distilled for.

        As in ``PPO("MlpPolicy", env, policy_kwargs=dataset.sb3_policy_kwargs())``. Actor-critics
        are drawn as the rows expect it; models of DQN, SAC and TD3 need :meth:`initialize`, too.
        """
        return sb3_policy_kwargs(self.spec.learner)

    @torch_threads(1)
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
                f"{tuple(features.shape)}: {in_a_line(error)}"
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

    @torch_threads(1)
    def train(
        self, policy: Policy | nn.Module | None = None, *, seed: int | None = None
    ) -> Policy | nn.Module:
        """Train a policy: one step of gradient descent on the whole dataset.

        Args:
            policy: A ``torch.nn.Module`` that maps observations ``(n, *obs_shape)`` to outputs
                ``(n, n_outputs)``, or a model or policy of Stable-Baselines3 or sb3-contrib, by
                the rules of :mod:`distilled_envs.learners.policies`. None makes a fresh network.
                Where the dataset has an encoder, a module comes from :meth:`with_encoder`, and an
                SB3 model whose first layers are like it is given the encoder's weights.
            seed: Seed of the fresh network; only without ``policy``.

        Returns:
            The policy itself, trained in place.

        Raises:
            PolicyError: The policy does not fit the dataset.
        """
        if policy is None:
            policy = self.new_policy(seed=seed)
            take_step(policy, self, self._trained_parameters(policy), PLAIN)
            return policy
        if seed is not None:
            raise ValueError("seed is for a fresh network: leave it out when you give a policy.")
        diagnosis, parameters = self._diagnosed(policy)
        if not diagnosis.learns:
            warnings.warn(
                f"{type(policy).__name__} {diagnosis}. Three ways out: draw it anew with "
                "dataset.initialize(policy) before the step; train it with dataset.fit(policy), "
                "which needs more than one step; or train it yourself on dataset.expand().",
                OneStepWarning,
                stacklevel=3,  # the decorator's is between
            )
        self._place_encoder(policy)
        take_step(policy, self, parameters, diagnosis.step)
        return policy

    @torch_threads(1)
    def diagnose(self, policy: nn.Module | object) -> Diagnosis:
        """Whether a policy learns from one step; it is left as it was.

        Nothing is played. Policies with an encoder, and those of games, are compared at the rows.

        Args:
            policy: As in :meth:`train`, before its step.

        Raises:
            PolicyError: The policy does not fit the dataset.
        """
        return self._diagnosed(policy)[0]

    @torch_threads(1)
    def initialize(self, policy: Policy, *, seed: int | None = None) -> Policy:
        """Draw a policy's layers anew, so that it learns from one step; see :mod:`.initialization`.

        For networks of ``nn.Linear`` and ``nn.Conv2d`` layers of any depth, width and usual
        activation, those of Stable-Baselines3 among them; other layers stay as they are.

        Args:
            policy: As in :meth:`train`. What it had learned is lost.
            seed: Seed of the draw; None takes torch's global generator.

        Returns:
            The policy itself.

        Raises:
            PolicyError: The policy does not fit the dataset, or has no such layer.
        """
        accept(policy, self)
        parameters = self._trained_parameters(policy)
        trained = {*(policy_parameters(policy) if parameters is None else parameters)}
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(checked_seed(seed))
            self._place_encoder(policy)
            initialize(policy, self, self._reference, trained)
        return policy

    @torch_threads(1)
    def expand(
        self,
        n: int = EXPANDED,
        *,
        seed: int = 0,
        source: Literal["noise", "play"] | None = None,
        progress: bool = False,
    ) -> ExpandedDataset:
        """Many inputs with the mean answer of one-step learners: a dataset for ordinary training.

        Args:
            n: Pairs.
            seed: Seed of inputs and learners.
            source: ``"noise"`` draws inputs of the size of observations, and needs no simulator;
                ``"play"`` takes what one-step learners meet in the real environment. None takes
                noise, but play where there is an encoder, for games, and where observations are
                flattened from what is no vector.
            progress: Whether to show a bar while they play.

        Raises:
            SettingsError: n below 1, or noise for a game, whose frames it is not like.
            MissingExtraError: The simulator is not installed.
        """
        if n < 1:
            raise SettingsError(f"n must be at least 1, got {n}.")
        seed = checked_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        if source is None:
            source = self._usual_source
        if source == "play":
            observations, targets = play(self, n, seed, progress=progress)
        elif source != "noise":
            raise SettingsError(f"source must be 'noise' or 'play', got {source!r}.")
        elif self.observations.dim() > 2:
            raise SettingsError(
                f"{self.spec.name} is of frames, which noise is not like: give source='play'."
            )
        else:
            observations = noise(self, n, generator)
            targets = mean_answers(self, one_step_learners(self, generator), observations)
        return ExpandedDataset.of(self, observations, targets, seed=seed, source=source)

    def fit(
        self,
        policy: Policy,
        pairs: ExpandedDataset | None = None,
        *,
        steps: int = 1_500,
        batch_size: int = 512,
        learning_rate: float | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> Policy:
        """Train any policy on expanded rows with Adam: ordinary training, not the one step.

        Args:
            policy: As in :meth:`train`, of any initialization and architecture that maps
                observations ``(n, *obs_shape)`` to outputs ``(n, n_outputs)``, such as recurrent
                ones and ones with attention.
            pairs: What to train on; None expands the dataset with the seed.
            steps: Batches at most; training ends earlier when hardly any loss is left.
            batch_size: Pairs in each.
            learning_rate: Adam's, which falls linearly to 0; None takes 1e-2, for frames 5e-4.
            seed: Seed of batches, and of the expansion.
            progress: Whether to show a bar.

        Returns:
            The policy itself, trained in place.

        Raises:
            PolicyError: The policy does not fit the dataset, or its loss is not finite.
            SettingsError: Numbers below 1, or pairs of another task.
        """
        accept(policy, self)
        if pairs is None:
            pairs = self.expand(seed=seed, progress=progress)
        elif pairs.spec.task != self.spec.task:
            raise SettingsError(f"{pairs.spec.name} is of another task than {self.spec.name}.")
        if learning_rate is None:
            learning_rate = RATES[self.observations.dim() > 2]
        fit(
            policy,
            self.spec.task,
            pairs.observations,
            pairs.targets,
            log_deviations(self.spec.task),
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            progress=progress,
        )
        return policy

    @property
    def _usual_source(self) -> Literal["noise", "play"]:
        """What an encoder makes of noise says little of play, and noise is no frame, nor one-hot.

        On HalfCheetah with an encoder ReLU networks get 2,568 from noise, and 10,223 from play.
        """
        return "noise" if self.is_plain and self.spec.preprocessing is None else "play"

    @cached_property
    def _reference(self) -> Reference:
        return Reference.of(self)

    def _diagnosed(self, policy: nn.Module | object) -> tuple[Diagnosis, list[nn.Parameter]]:
        """The diagnosis, and what the step trains."""
        accept(policy, self)
        parameters = trainable(policy, self._trained_parameters(policy))
        with restored(policy_module(policy)):
            self._place_encoder(policy)
            return diagnose(policy, self, self._reference, parameters), parameters

    def _trained_parameters(self, policy: nn.Module | object) -> list[nn.Parameter] | None:
        """What the step trains; None for all that can be trained."""
        if self.encoder is None:
            return None
        return learner_parameters(policy, self.encoder, self.observations[:2], self.spec.name)

    def _place_encoder(self, policy: nn.Module | object) -> None:
        """Put the encoder into a model that has a place for it."""
        if self.encoder is not None:
            place_encoder(policy, self.encoder, self.observations[:2])

    def evaluate(
        self,
        policy: nn.Module | object | Sequence[nn.Module | object] | None = None,
        **kwargs: Unpack[EvaluationOptions],
    ) -> Evaluation:
        """Play in the real environment; see :func:`distilled_envs.evaluation.evaluate`.

        Args:
            policy: A trained policy, or several, which are scored together; None draws fresh
                learners, one step each: the dataset's own score.
            **kwargs: ``learner``, ``learners``, ``episodes``, ``seed``, ``sticky``, ``progress``.
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
        storage.write_folder(given_path(folder), *rows, self.spec, encoder)

    @classmethod
    def load(cls, folder: str | Path, *, max_bytes: int = MAX_BYTES) -> "DistilledDataset":
        """Read and check a dataset folder.

        Args:
            folder: Where.
            max_bytes: Bound on the size of the rows in memory.

        Raises:
            DatasetError: A file is missing, damaged or invalid; the message says which and where.
        """
        observations, targets, spec, encoder = storage.read_folder(given_path(folder), max_bytes)
        if "expanded_from" in spec.provenance:
            raise DatasetError(
                f"{folder} holds expanded rows, which are no batch for one step: load them with "
                "ExpandedDataset.load."
            )
        state = None
        if encoder is not None:
            state = {name: torch.from_numpy(value) for name, value in encoder.items()}
        return cls(observations, targets, spec, Source("folder", str(folder)), state)
