"""A teacher's environments for Stable-Baselines3: ALE's, EnvPool's, or Gymnasium's."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from distilled_envs.envs import atari
from distilled_envs.envs.checked import Checked
from distilled_envs.envs.making import make
from distilled_envs.envs.preprocessing import preprocess
from distilled_envs.studies.drop_in import counting_from_zero
from distilled_envs.training.backends import EnvPoolVectorEnv, in_envpool
from distilled_envs.training.world import World


def teacher_envs(world: World, count: int, seed: int) -> VecEnv:
    """Copies of an environment with vectors, or of a game with frames of half the size.

    Args:
        world: It.
        count: Copies, of a game at least 2.
        seed: Of the first; each takes the next.
    """
    if world.preprocessing == "atari":
        return _Games(world, count, seed)
    if in_envpool(world):
        return VecMonitor(_EnvPoolCopies(EnvPoolVectorEnv(world.spec.id, count, seed, threads=0)))
    return make_vec_env(partial(teacher_env, world), count, seed=seed)


def teacher_env(world: World) -> gym.Env:
    """One copy of an environment with vectors, which tells of its faults in one sentence."""
    return counting_from_zero(preprocess(Checked(make(world.spec)), world.preprocessing))


class _Copies(VecEnv):
    """Copies that are one object, as Stable-Baselines3 has them: an end resets at once."""

    def step_async(self, actions: np.ndarray) -> None:
        """Take actions ``(copies, ...)`` in."""
        self._actions = actions

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, once for each copy."""
        return [getattr(self, attr_name, None) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: all copies are one object."""
        raise NotImplementedError("Copies that are one object have no attributes of their own.")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refused: all copies are one object."""
        raise NotImplementedError("Copies that are one object have no methods of their own.")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is."""
        return [False for _ in self._get_indices(indices)]


class _EnvPoolCopies(_Copies):
    """EnvPool's environments.

    A thread steps 16 copies of BipedalWalker-v3 2.5 times, and of Hopper-v5 1.6 times as fast as
    Gymnasium's own (means of 4 s).

    Args:
        env: The copies.
    """

    def __init__(self, env: EnvPoolVectorEnv):
        self._env = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        """New episodes in all copies."""
        return self._env.reset()[0]

    def step_wait(self) -> Any:
        """One step in every copy, and a reset of those whose episodes it ends."""
        observations, rewards, terminated, truncated, _ = self._env.step(self._actions)
        ended = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in ended]
        if ended.any():
            places = np.flatnonzero(ended)
            for place in places:
                infos[place]["terminal_observation"] = observations[place].copy()
                infos[place]["TimeLimit.truncated"] = bool(truncated[place] & ~terminated[place])
            observations[places] = self._env.reset_some(places)
        return observations, rewards, ended, infos

    def close(self) -> None:
        """Stop the simulator's threads."""
        self._env.close()


class _Games(_Copies):
    """Games in ALE's own vector environment, with frames of half the size.

    For what is learned a lost life ends an episode, and the game goes on; ``episode`` in the infos
    is of whole games.

    Args:
        world: The game.
        count: Copies, of which half have sticky actions, so that what is learned holds with and
            without.
        seed: Of the first.
    """

    def __init__(self, world: World, count: int, seed: int):
        asked = world.spec.kwargs["repeat_action_probability"]
        halves = ((count - count // 2, asked), (count // 2, max(asked, atari.STICKY)))
        self._envs = [_half_size(world, copies, sticky) for copies, sticky in halves]
        env = self._envs[0]
        super().__init__(count, env.single_observation_space, env.single_action_space)
        self._seed: int | None = seed
        self._lives, self._returns, self._lengths = (np.zeros(count) for _ in range(3))

    def reset(self) -> np.ndarray:
        """New games in all copies."""
        first = self._envs[0].num_envs
        seeds = [None, None] if self._seed is None else [self._seed, self._seed + first]
        self._seed = None  # later games go on from the generators that are there
        frames, infos = self._both(lambda half, env: env.reset(seed=seeds[half]))
        self._lives = infos["lives"]
        self._returns[:], self._lengths[:] = 0, 0
        return frames

    def step_wait(self) -> Any:
        """One step in every copy; new games where one has ended."""
        parts = np.split(self._actions, [self._envs[0].num_envs])
        found = self._both(lambda half, env: env.step(parts[half]))
        frames, rewards, terminated, truncated, several = found
        self._returns += rewards
        self._lengths += 1
        over = terminated | truncated
        ended = over | (several["lives"] < self._lives)
        self._lives = several["lives"]
        infos: list[dict[str, Any]] = [{} for _ in ended]
        for place in np.flatnonzero(ended):
            last = several["final_obs"] if over[place] else frames
            infos[place]["terminal_observation"] = last[place].copy()
            infos[place]["TimeLimit.truncated"] = bool(truncated[place] & ~terminated[place])
        for place in np.flatnonzero(over):
            returns, length = float(self._returns[place]), int(self._lengths[place])
            infos[place]["episode"] = {"r": returns, "l": length}
            self._returns[place] = self._lengths[place] = 0
        return frames, rewards.astype(np.float32), ended, infos

    def close(self) -> None:
        """Stop the simulators' threads."""
        for env in self._envs:
            env.close()

    def _both(self, call: Callable[[int, gym.vector.VectorEnv], Any]) -> Any:
        """What both halves give, one after the other; of infos what both have."""
        first, second = (call(half, env) for half, env in enumerate(self._envs))
        shown = [np.concatenate(each) for each in zip(first[:-1], second[:-1], strict=True)]
        one, other = first[-1], second[-1]
        empty = np.zeros_like(shown[0])
        infos = {"lives": np.concatenate([one["lives"], other["lives"]])}
        if "final_obs" in one or "final_obs" in other:
            cut = self._envs[0].num_envs
            final = [one.get("final_obs", empty[:cut]), other.get("final_obs", empty[cut:])]
            infos["final_obs"] = np.concatenate(final)
        return (*shown, infos)


def _half_size(world: World, copies: int, sticky: float) -> gym.vector.VectorEnv:
    spec = atari.with_sticky_actions(world.spec, sticky)
    return atari.make_vec(
        spec, copies, size=atari.SIZE // 2, autoreset_mode=AutoresetMode.SAME_STEP
    )
