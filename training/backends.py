"""The environment of a run, checked before work starts, and copies of it side by side.

Vector environments come from EnvPool where it has the id, for games from ALE, and otherwise from
Gymnasium, which knows cart-pole's own. All of them behave as Gymnasium's NEXT_STEP mode: the step
that ends an episode shows its last observation, and the next step is the reset, with reward 0.
"""

import dataclasses
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from distilled_envs.envs.making import make
from distilled_envs.envs.preprocessing import make_vec
from distilled_envs.errors import SettingsError
from distilled_envs.seeds import small_seed
from distilled_envs.training.distributed import simulator_threads
from distilled_envs.training.replay import ReplayedGames
from distilled_envs.training.settings import QUADRATIC_INPUTS, GameSettings, Settings
from distilled_envs.training.world import World, check_size, say_if_unending, world_of


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

        with warnings.catch_warnings():  # of bounds that EnvPool has in float64
            warnings.filterwarnings("ignore", ".*precision lowered", UserWarning)
            self._pool = envpool.make(
                env_id,
                env_type="gymnasium",
                num_envs=num_envs,
                seed=small_seed(seed),
                num_threads=threads,
            )
            self._dtype = self._pool.action_space.dtype
            _ = self._pool.observation_space  # made, and warned about, when it is first asked for
        self.num_envs = num_envs
        space = make(gym.spec(env_id))
        self.single_observation_space = space.observation_space
        self.single_action_space = space.action_space
        space.close()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """New episodes in all copies; a seed has no effect here."""
        return self._pool.reset()[0], {}

    def reset_some(self, places: np.ndarray) -> np.ndarray:
        """New episodes in some copies: their first observations ``(places, ...)``."""
        return self._pool.reset(places.astype(np.int32))[0]

    def step(self, actions: np.ndarray):
        """One step in every copy, or its reset."""
        observations, rewards, terminated, truncated, _ = self._pool.step(
            actions.astype(self._dtype)
        )
        return observations, rewards, terminated, truncated, {}

    def close(self, **kwargs: Any) -> None:
        """Stop the simulator's threads."""
        self._pool.close()


def make_training_envs(settings: Settings, world: World, seed: int) -> VectorEnv:
    """The vector environment of a run.

    EnvPool is used for ids that it has, unless the settings ask for Gymnasium. Atari games come
    from ALE's vector environment, with the same observations as Gymnasium's Atari wrappers.

    Args:
        settings: The run's settings.
        world: Its environment.
        seed: Seed of EnvPool's environments; Gymnasium's are seeded on resetting.
    """
    count = settings.learners * settings.envs_per_learner
    if not settings.use_envpool and world.preprocessing != "atari":
        return make_vec(world.spec, count, world.preprocessing)
    env = make_vector_env(world, count, seed, simulator_threads(settings.threads))
    if world.preprocessing == "atari":
        return ReplayedGames(env, sticky=world.spec.kwargs["repeat_action_probability"] > 0)
    return env


def make_vector_env(world: World, count: int, seed: int, threads: int) -> VectorEnv:
    """Copies of an environment, EnvPool's if it has the same.

    Args:
        world: It.
        count: Copies.
        seed: Of EnvPool's; Gymnasium's are seeded on resetting.
        threads: Of EnvPool's simulator, or ALE's; 0 leaves its own choice.
    """
    if in_envpool(world):
        return EnvPoolVectorEnv(world.spec.id, count, seed, threads)
    if world.preprocessing == "atari":
        return make_vec(world.spec, count, "atari", threads=threads)
    return make_vec(world.spec, count, world.preprocessing)


def in_envpool(world: World) -> bool:
    """Whether EnvPool is installed, and has the same environment."""
    try:
        import envpool
    except ImportError:
        return False
    spec = world.spec
    registered = world.preprocessing is None and spec == gym.spec(spec.id)
    return registered and spec.id in envpool.list_all_envs()


def checked_world(settings: Settings) -> World:
    """The environment of a run, with the observations that its learners see.

    Raises:
        SettingsError: The environment can't be made or distilled, or settings don't fit it.
        DatasetError: A game's ROM is missing.
    """
    world = world_of(
        settings.env_id, settings.make_kwargs, max_episode_steps=settings.max_episode_steps
    )
    check_size(settings.learner, world)
    shown, env_id = world.task.observation_shape, world.spec.id
    say_if_unending(world)
    frames, level = len(shown) > 1, getattr(settings, "encoder_level", None)
    if frames != (level is not None):
        has = "frames, whose learners are CNNs: give an" if frames else "no frames: leave out the"
        raise SettingsError(f"{env_id} shows learners {has} encoder_level.")
    if settings.coordinates is not None:
        if not all(0 <= place < shown[0] for place in settings.coordinates):
            raise SettingsError(
                f"coordinates must lie in 0..{shown[0] - 1} for {env_id}, "
                f"got {settings.coordinates}."
            )
        shown = (len(settings.coordinates),)
    if settings.critic == "quadratic" and shown[0] > QUADRATIC_INPUTS:
        raise SettingsError(
            f"A quadratic critic is for at most {QUADRATIC_INPUTS} numbers, and {env_id} shows "
            f"learners {shown[0]}: leave out critic, or choose coordinates."
        )
    factors = settings.coordinate_scales
    if factors is not None and (frames or shown[0] % len(factors)):
        raise SettingsError(
            "coordinate_scales can't be repeated over observations of shape "
            f"{shown}, got {factors}."
        )
    constant = isinstance(settings, GameSettings) and settings.constant_start
    if constant and not isinstance(world.actions, spaces.Discrete):
        raise SettingsError(
            f"constant_start is for discrete actions; those of {env_id} are {world.actions}."
        )
    task = dataclasses.replace(world.task, observation_shape=shown)
    return dataclasses.replace(world, task=task)
