"""The vector environments that learners are trained in: EnvPool's where it has the id, ALE's own.

All of them behave as Gymnasium's NEXT_STEP mode: the step that ends an episode shows its last
observation, and the next step is the reset, with reward 0. A vectorised implementation of an
environment's own (cart-pole) comes through Gymnasium too.
"""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from distilled_envs import atari
from distilled_envs.training.settings import Settings


class EnvPoolVectorEnv(VectorEnv):
    """EnvPool's environments, stepped by C++ threads, as a Gymnasium vector environment.

    Its autoreset is NEXT_STEP's. Its seed is given when it is made, not on resetting.

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
    """The environments of a run.

    EnvPool is used for ids that it has, unless the settings ask for Gymnasium. Atari games come
    from ALE's vector environment, which shows what Gymnasium's wrappers show.

    Args:
        settings: The run's settings.
        seed: Seed of EnvPool's environments; Gymnasium's are seeded on resetting.
        count: Copies; None makes ``learners * envs_per_learner``.
    """
    count = count or settings.learners * settings.envs_per_learner
    if settings.encoder_level is not None:
        atari.register(settings.env_id)
        spec = gym.spec(settings.env_id)
        spec = dataclasses.replace(spec, kwargs=spec.kwargs | settings.env_kwargs)
        return atari.make_vec(spec, count, threads=settings.threads or 0)
    if settings.use_envpool and _in_envpool(settings.env_id) and not settings.env_kwargs:
        return EnvPoolVectorEnv(settings.env_id, count, seed, settings.threads or 0)
    return gym.make_vec(settings.env_id, num_envs=count, **settings.env_kwargs)


def _in_envpool(env_id: str) -> bool:
    try:
        import envpool
    except ImportError:
        return False
    return env_id in envpool.list_all_envs()
