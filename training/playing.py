"""A teacher's environment: what it shows and takes, and policies that play in it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from torch import Tensor

from distilled_envs.errors import PolicyError, SettingsError
from distilled_envs.learners.actions import within_bounds
from distilled_envs.spec import TaskSpec
from distilled_envs.training.backends import task_of

COPIES = 16
"""Environments in which a policy plays side by side."""
_MAX_STEPS = 20_000
"""Steps of an episode at most."""


@dataclass(frozen=True)
class World:
    """An environment, and what it takes."""

    spec: EnvSpec
    task: TaskSpec
    observations: spaces.Box
    actions: spaces.Space[Any]

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest actions ``(n_outputs,)``; of choices -1 and 1."""
        if isinstance(self.actions, spaces.Box):
            return torch.from_numpy(self.actions.low), torch.from_numpy(self.actions.high)
        return -torch.ones(self.task.n_outputs), torch.ones(self.task.n_outputs)


class Playing:
    """Plays in an environment, each time from other seeds.

    Args:
        world: The environment.
        steps: To play at least, in all copies together.
        seed: Of the first time.

    Attributes:
        env_steps: Steps that were played so far, in all copies.
    """

    def __init__(self, world: World, steps: int, seed: int):
        self._world, self._steps, self._seed = world, steps, seed
        self.env_steps = 0

    def __call__(
        self, answer: Callable[[Tensor], Tensor], episodes: int = COPIES
    ) -> tuple[Tensor, np.ndarray]:
        """Observations ``(n, n_inputs)``, and undiscounted returns of episodes ``(episodes,)``."""
        choice = self._world.task.kind == "categorical"
        env = gym.make_vec(self._world.spec, num_envs=min(COPIES, episodes))
        rounds = -(-episodes // env.num_envs)
        returns, episode = np.zeros((env.num_envs, rounds + 1)), np.zeros(env.num_envs, dtype=int)
        seen: list[np.ndarray] = []
        self._seed += COPIES  # of copies side by side each takes the next
        observations, _ = env.reset(seed=self._seed)
        steps = 0
        while (episode.min() < rounds and steps < rounds * _MAX_STEPS) or (
            steps * env.num_envs < self._steps
        ):
            seen.append(observations)
            with torch.no_grad():
                given = answer(torch.as_tensor(observations, dtype=torch.float32))
            if not given.isfinite().all():
                raise PolicyError("The teacher's answers are not finite where it plays.")
            actions = (given.argmax(1) if choice else given).numpy()
            actions = within_bounds(env.single_action_space, actions)
            observations, rewards, terminated, truncated, _ = env.step(actions)
            returns[np.arange(env.num_envs), np.minimum(episode, rounds)] += rewards
            episode += terminated | truncated
            steps += 1
        env.close()
        self.env_steps += steps * env.num_envs
        if episode.min() < rounds:
            raise SettingsError(
                f"Episodes of {self._world.spec.id} don't end within {_MAX_STEPS:,} steps: "
                "register it with max_episode_steps."
            )
        return torch.from_numpy(np.concatenate(seen)).float(), returns[:, :rounds].reshape(-1)


def world_of(env: str | EnvSpec | gym.Env) -> World:
    """An environment that rows can be made for.

    Raises:
        SettingsError: It can't be made, has other spaces or wrappers of its own, or is registered
            with a function, which no file can name.
    """
    spec = env.spec if isinstance(env, gym.Env) else env
    if not isinstance(spec, str | EnvSpec):
        raise SettingsError(
            "The environment must be an id, an EnvSpec, or one that gym.make made, got "
            f"{type(env).__name__}."
        )
    if isinstance(spec, EnvSpec) and spec.additional_wrappers:
        wrappers = ", ".join(each.name for each in spec.additional_wrappers)
        raise SettingsError(
            f"A dataset can't name the wrappers around {spec.id} ({wrappers}): register an id "
            "whose entry point applies them."
        )
    name = spec if isinstance(spec, str) else spec.id
    try:
        made = gym.make(spec)
        kept = copy.deepcopy(gym.spec(name.split(":")[-1]))
    except Exception as error:  # whatever an environment's constructor may raise
        raise SettingsError(f"{name} can't be made: {error}") from None
    if isinstance(spec, EnvSpec):
        kept.kwargs.update(spec.kwargs)
        kept.max_episode_steps = spec.max_episode_steps
    kept.kwargs.pop("render_mode", None)
    try:
        kept.to_json()
    except ValueError:
        made.close()
        raise SettingsError(
            f"{name} is registered with a function or class, which a dataset can't name: register "
            'it with entry_point="module:Class".'
        ) from None
    observations, actions = made.observation_space, made.action_space
    made.close()
    task = task_of(name, observations, actions)
    if kept.id == "CartPoleND-v0":  # the number of axes is in the name of a dataset
        kept.kwargs.setdefault("dims", task.observation_shape[0] // 4)
    return World(kept, task, cast(spaces.Box, observations), actions)
