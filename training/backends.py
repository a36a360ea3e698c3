"""The environment of a run, checked before work starts, and its vector environment.

Vector environments come from EnvPool where it has the id, for games from ALE, and otherwise from
Gymnasium, which knows cart-pole's own. All of them behave as Gymnasium's NEXT_STEP mode: the step
that ends an episode shows its last observation, and the next step is the reset, with reward 0.
"""

import copy
import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from distilled_envs.envs import atari
from distilled_envs.errors import SettingsError
from distilled_envs.spec import TaskSpec
from distilled_envs.training.settings import GameSettings, Settings


class EnvPoolVectorEnv(VectorEnv):
    """EnvPool's environments, stepped by C++ threads, as a Gymnasium vector environment.

    EnvPool takes its seed when it is made; a seed on resetting has no effect.

    Args:
        env_id: An id that EnvPool knows.
        num_envs: Number of copies.
        seed: Seed of all copies.
        threads: Threads of the simulator; 0 leaves EnvPool's own choice.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, env_id: str, num_envs: int, seed: int, threads: int):
        import envpool

        self._pool = envpool.make(
            env_id, env_type="gymnasium", num_envs=num_envs, seed=seed, num_threads=threads
        )
        self.num_envs = num_envs
        space = gym.make(env_id)
        self.single_observation_space = space.observation_space
        self.single_action_space = space.action_space
        space.close()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._dtype = self._pool.action_space.dtype

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """New episodes in all copies; a seed has no effect here."""
        return self._pool.reset()[0], {}

    def step(self, actions: np.ndarray):
        """One step in every copy, or its reset."""
        observations, rewards, terminated, truncated, _ = self._pool.step(
            actions.astype(self._dtype)
        )
        return observations, rewards, terminated, truncated, {}

    def close(self, **kwargs: Any) -> None:
        """Stop the simulator's threads."""
        self._pool.close()


def make_training_envs(settings: Settings, seed: int, count: int | None = None) -> VectorEnv:
    """The vector environment of a run.

    EnvPool is used for ids that it has, unless the settings ask for Gymnasium. Atari games come
    from ALE's vector environment, with the same observations as Gymnasium's Atari wrappers.

    Args:
        settings: The run's settings.
        seed: Seed of EnvPool's environments; Gymnasium's are seeded on resetting.
        count: Copies; None makes ``learners * envs_per_learner``.
    """
    count = count or settings.learners * settings.envs_per_learner
    if settings.env_id.startswith("ALE/"):
        atari.register(settings.env_id)
        spec = gym.spec(settings.env_id)
        spec = dataclasses.replace(spec, kwargs=spec.kwargs | settings.env_kwargs)
        return atari.make_vec(spec, count, threads=settings.threads or 0)
    if settings.use_envpool and not settings.env_kwargs:
        return make_vector_env(settings.env_id, count, seed, settings.threads or 0)
    return gym.make_vec(settings.env_id, num_envs=count, **settings.env_kwargs)


def make_vector_env(env_id: str, count: int, seed: int, threads: int) -> VectorEnv:
    """Copies of an environment, EnvPool's if it has them.

    Args:
        env_id: A registered id.
        count: Copies.
        seed: Of EnvPool's; Gymnasium's are seeded on resetting.
        threads: Of EnvPool's simulator; 0 leaves its own choice.
    """
    if _in_envpool(env_id):
        return EnvPoolVectorEnv(env_id, count, seed, threads)
    return gym.make_vec(env_id, num_envs=count)


def _in_envpool(env_id: str) -> bool:
    try:
        import envpool
    except ImportError:
        return False
    return env_id in envpool.list_all_envs()


def checked_environment(settings: Settings) -> tuple[EnvSpec, TaskSpec]:
    """The environment's spec and task, before any work starts.

    Raises:
        SettingsError: The environment can't be made, or not be distilled.
        DatasetError: A game's ROM is missing.
    """
    is_atari = settings.env_id.startswith("ALE/")
    if is_atari:
        atari.register(settings.env_id)
    try:
        env = gym.make(settings.env_id, **settings.env_kwargs)  # imports the module of "module:id"
        env_spec = copy.deepcopy(gym.spec(settings.env_id.split(":")[-1]))
        env_spec.kwargs.update(settings.env_kwargs)
    except (gym.error.Error, ImportError, TypeError, ValueError) as error:
        raise SettingsError(f"{settings.env_id} can't be made: {error}") from None
    if is_atari:
        env = atari.preprocess(env)
    observations, actions = env.observation_space, env.action_space
    env.close()
    task = task_of(settings.env_id, observations, actions, 3 if is_atari else 1)
    shown = task.observation_shape
    if settings.coordinates is not None:
        if not all(0 <= place < shown[0] for place in settings.coordinates):
            raise SettingsError(
                f"coordinates must lie in 0..{shown[0] - 1} for {settings.env_id}, "
                f"got {settings.coordinates}."
            )
        shown = (len(settings.coordinates),)
    factors = settings.coordinate_scales
    if factors is not None and (is_atari or shown[0] % len(factors)):
        raise SettingsError(
            "coordinate_scales can't be repeated over observations of shape "
            f"{shown}, got {factors}."
        )
    if task.kind == "gaussian" and isinstance(settings, GameSettings) and settings.constant_start:
        raise SettingsError(
            f"constant_start is for discrete actions; those of {settings.env_id} are {actions}."
        )
    return env_spec, dataclasses.replace(task, observation_shape=shown)


def task_of(
    env_id: str, observations: spaces.Space[Any], actions: spaces.Space[Any], dimensions: int = 1
) -> TaskSpec:
    """What an environment's spaces ask of a learner.

    Args:
        env_id: Its id, for errors.
        observations: What it shows.
        actions: What it takes.
        dimensions: Of an observation: 1, of frames 3.

    Raises:
        SettingsError: The spaces are none that can be distilled.
    """
    if not isinstance(observations, spaces.Box) or len(observations.shape) != dimensions:
        raise SettingsError(
            f"{env_id} can't be distilled: its observations are {observations}, and only "
            "Box spaces with one dimension, and the frames of Atari games (ALE/...), are supported."
        )
    if isinstance(actions, spaces.Discrete) and actions.start == 0:
        return TaskSpec("categorical", observations.shape, int(actions.n))
    if isinstance(actions, spaces.Box) and len(actions.shape) == 1 and actions.is_bounded():
        return TaskSpec("gaussian", observations.shape, actions.shape[0])
    raise SettingsError(
        f"{env_id} can't be distilled: its actions are {actions}, and only Discrete "
        "spaces that start at 0 and bounded Box spaces with one dimension are supported."
    )
