"""What learners and the critic see of an observation: its numbers, or features of a game's frames.

The algorithm calls a view and never asks which of the two it is.
"""

import gymnasium as gym
import torch
from torch import Tensor, nn
from torch.func import functional_call

from distilled_envs.envs.real import transformed_space
from distilled_envs.learners.encoder import make_encoder, rounded_state
from distilled_envs.learners.networks import make_policy
from distilled_envs.spec import LearnerSpec, ObservationTransform, TaskSpec
from distilled_envs.training.centering import center, centered, damp_shared_gradient, plain
from distilled_envs.training.critics import QuadraticCritic
from distilled_envs.training.normalization import (
    ObservationNormalizer,
    RewardNormalizer,
    RewardSign,
)
from distilled_envs.training.rollout import Actors, Rollout
from distilled_envs.training.settings import GameSettings, Settings

CENTERING_FRAMES = 256
"""Frames of each rollout whose mean a game's networks are centered on."""


def make_view(
    settings: Settings,
    env: gym.vector.VectorEnv,
    task: TaskSpec,
    env_seed: int,
    other_encoder: nn.Sequential | None = None,
) -> tuple[Actors, "NumbersView"]:
    """The actors of a run and its view, which share the running normalization of observations.

    Args:
        settings: The run's.
        env: ``learners * envs_per_learner`` copies of the environment.
        task: How outputs become actions.
        env_seed: Seed of the environments' first reset.
        other_encoder: The encoder of another dataset of the same game: the run's encoder starts
            with those of its layers that have the same shape.
    """
    space = env.single_observation_space
    assert isinstance(space, gym.spaces.Box)  # as the environment's check has found
    rewards: RewardNormalizer | RewardSign | None = None
    if settings.normalize_rewards:
        rewards = RewardNormalizer(env.num_envs, settings.discount)
    elif isinstance(settings, GameSettings) and settings.reward_sign:
        rewards = RewardSign()
    if not isinstance(settings, GameSettings) or settings.encoder_level is None:
        view = NumbersView(settings, task, space)
        return Actors(env, task, env_seed, view.normalizer, rewards), view
    actors = Actors(env, task, env_seed, None, rewards, settings.end_at_lost_life)
    frames = actors.at_random(settings.horizon)
    return actors, FramesView(settings, task, space, frames, other_encoder)


def to_device(network: nn.Sequential, device: torch.device | str) -> nn.Sequential:
    """A network on a device, its convolutions in the memory format in which they are fastest."""
    # torch's stubs lack memory_format, which its documentation of Module.to has.
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class NumbersView(nn.Module):
    """Vectors of numbers, plain or normalized; normalizing them is the actors' work.

    Args:
        settings: The run's.
        task: Its observation shape.
        space: The environment's observation space.

    Attributes:
        critic_network: The critic's architecture.
        normalizer: The running normalization of observations; None shows them as they are.
        first_rows: Where the distilled observations start ``(k, *shape)``; None draws them from a
            normal distribution.
    """

    def __init__(self, settings: Settings, task: TaskSpec, space: gym.spaces.Box):
        super().__init__()
        self._settings, self._task, self._space = settings, task, space
        self.critic_network = LearnerSpec()
        self.normalizer: ObservationNormalizer | None = None
        self.first_rows: Tensor | None = None
        if settings.observation_scale is not None:
            (n_inputs,) = task.observation_shape
            factors = settings.coordinate_scales
            self.normalizer = ObservationNormalizer(
                n_inputs,
                settings.observation_scale,
                settings.coordinates,
                around_zero=settings.mirrored,
                factors=factors and factors * (n_inputs // len(factors)),
            )

    def forward(self, observations: Tensor) -> Tensor:
        """Observations ``(..., *shape)`` to features, on the run's device."""
        return observations.to(self._settings.device)

    def without_gradient(self, observations: Tensor) -> Tensor:
        """The same features; gradients reach the observations, and not the view's own layers."""
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        return functional_call(self, fixed, observations)

    @property
    def space(self) -> gym.spaces.Box:
        """The space of distilled observations, which moves with the running normalization."""
        transform = self.transform()
        return self._space if transform is None else transformed_space(transform, self._space)

    def transform(self) -> ObservationTransform | None:
        """The normalization as it is now, for the dataset."""
        return None if self.normalizer is None else self.normalizer.frozen()

    def encoder_state(self) -> dict[str, Tensor] | None:
        """The layers that are shipped with the rows, as the file keeps them; None without any."""
        return None

    def critic(self) -> nn.Module:
        """A fresh critic, from features to one value."""
        if self._settings.critic == "quadratic":
            critic = QuadraticCritic(*self._task.observation_shape)
            return critic.to(self._settings.device)
        return self.persistent(make_policy(self.critic_network, self._task.observation_shape, 1))

    def persistent(self, network: nn.Sequential) -> nn.Sequential:
        """Prepare a network on features that is trained through the whole run, unlike learners."""
        return network.to(self._settings.device)

    def parameter_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """The view's own layers, with their learning rate."""
        return []

    def damped(self, values: Tensor) -> Tensor:
        """The same values ``(L, n, ...)``; a view may scale a part of their gradient down."""
        return values

    def recenter(self, rollout: Rollout, *networks: nn.Module) -> None:
        """Called after each rollout with the networks that :meth:`persistent` has prepared."""


class FramesView(NumbersView):
    """A game's frames behind an encoder: the layers that all learners share; at level 0 none.

    Args:
        settings: The run's.
        task: Its observation shape ``(stack, height, width)``.
        space: The environment's observation space.
        frames: What a random player sees ``(n, stack, height, width)``: the encoder is scaled to
            it, and the distilled observations start as the first of these frames.
        other_encoder: See :func:`make_view`.
    """

    _settings: GameSettings

    def __init__(
        self,
        settings: GameSettings,
        task: TaskSpec,
        space: gym.spaces.Box,
        frames: Tensor,
        other_encoder: nn.Sequential | None,
    ):
        super().__init__(settings, task, space)
        self.critic_network = settings.learner  # so that both need the same features
        encoder = centered(make_encoder(settings.learner, frames, other_encoder))
        self.encoder = to_device(encoder, settings.device)
        self.first_rows = frames[torch.arange(settings.instances) % len(frames)].float()

    def forward(self, observations: Tensor) -> Tensor:
        """Frames ``(..., stack, height, width)`` to features."""
        observations = observations.to(self._settings.device)
        if not self.encoder:
            return observations
        shape, device = observations.shape[:-3], observations.device.type
        with torch.autocast(device, torch.bfloat16, self._settings.bfloat16):
            features = self.encoder(observations.flatten(end_dim=-4))
        return features.float().unflatten(0, shape)

    def encoder_state(self) -> dict[str, Tensor] | None:
        """The encoder's layers, rounded to half precision, as the file keeps them."""
        if not self.encoder:
            return None
        return rounded_state(plain(self.encoder))

    def persistent(self, network: nn.Sequential) -> nn.Sequential:
        """Its layers are centered on the mean of their inputs; see :mod:`.centering`."""
        return to_device(centered(network), self._settings.device)

    def parameter_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """The encoder's layers, with their learning rate."""
        parameters = [*self.encoder.parameters()]
        return [(self._settings.encoder_learning_rate, parameters)] if parameters else []

    def damped(self, values: Tensor) -> Tensor:
        """The gradient that all frames share is scaled down; see :func:`.damp_shared_gradient`."""
        return damp_shared_gradient(values) if values.requires_grad else values

    def recenter(self, rollout: Rollout, *networks: nn.Module) -> None:
        """Center the encoder, and the networks behind it, on frames of the rollout."""
        frames = rollout.observations.flatten(0, 1)
        chosen = torch.randperm(len(frames))[:CENTERING_FRAMES]
        features = center(self.encoder, frames[chosen].to(self._settings.device))
        for network in networks:
            assert isinstance(network, nn.Sequential)  # as persistent has made it
            center(network, features)
