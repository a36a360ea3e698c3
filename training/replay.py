"""Atari games that go on, after a run was stopped, from the very step that it had come to.

ALE's vector environment tells nobody its state. But a copy of a game follows from the seed it was
given, the number of its resets since then and the actions of its episode: these are kept, and
played again on resuming, which takes seconds. With sticky actions, whose draws depend on all that
was played since the seed, each episode has a seed of its own.
"""

from typing import Any

import gymnasium as gym
import numpy as np

_EPISODES = 32
"""Of one seed. A seed costs ALE 130 ms and a reset 10 ms: fewer episodes would slow Breakout, where
they are short, and more would slow resuming."""
_LARGEST = 2**31 - 1
"""Of ALE's seeds."""


class ReplayedGames(gym.vector.VectorWrapper):
    """ALE's vector environment, which can be brought back to where it was.

    Args:
        env: It, in NEXT_STEP autoreset mode.
        sticky: Whether actions are repeated at random.
    """

    def __init__(self, env: gym.vector.VectorEnv, *, sticky: bool):
        super().__init__(env)
        self._episodes = 1 if sticky else _EPISODES
        self._seeds = np.zeros(env.num_envs, dtype=np.int64)
        self._resets = np.zeros(env.num_envs, dtype=np.int64)
        self._ended = np.zeros(env.num_envs, dtype=bool)
        self._actions: list[list[int]] = [[] for _ in self._ended]

    def reset(self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None):
        """New episodes in all copies, with seeds drawn from one."""
        self._seeds = np.random.default_rng(seed).integers(0, _LARGEST, self.num_envs)
        self._resets[:] = 0
        self._ended[:] = False
        self._actions = [[] for _ in self._ended]
        return self._seeded(np.ones(self.num_envs, dtype=bool))

    def step(self, actions: np.ndarray):
        """One step in every copy, or its reset."""
        again = self._ended
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        for copy in np.flatnonzero(~again):
            self._actions[copy].append(int(actions[copy]))
        for copy in np.flatnonzero(again):
            self._actions[copy] = []
        self._resets += again
        used_up = self._resets == self._episodes
        if used_up.any():
            self._seeds[used_up] = [_following(seed) for seed in self._seeds[used_up]]
            self._resets[used_up] = 0
            observations, infos = self._seeded(used_up)
        self._ended = terminated | truncated
        return observations, rewards, terminated, truncated, infos

    def get_state(self) -> dict[str, Any]:
        """What the copies follow from, as arrays."""
        return {
            "seeds": self._seeds.copy(),
            "resets": self._resets.copy(),
            "steps": np.array([len(each) for each in self._actions]),
            "actions": np.array([a for each in self._actions for a in each], dtype=np.int8),
            "over": self._ended.copy(),
        }

    def set_state(self, saved: dict[str, Any]) -> np.ndarray:
        """Play again what :meth:`get_state` tells of.

        Returns:
            The observations there, ``(copies, 4, 84, 84)``.

        Raises:
            ValueError: It is of other games.
        """
        self._check(saved)
        steps, ends = saved["steps"], np.cumsum(saved["steps"])
        begins = ends - steps
        self._seeds, self._resets = saved["seeds"].copy(), saved["resets"].copy()
        self._ended = saved["over"].copy()
        episodes = zip(begins, ends, strict=True)
        self._actions = [saved["actions"][begin:end].tolist() for begin, end in episodes]
        # Copies begin one after the other, so that all come to their last step at once; whatever
        # they did before is forgotten when they begin.
        lasts = steps.max()
        observations, _ = self.env.reset()
        for t in range(lasts + 1):
            beginning = steps == lasts - t
            if beginning.any():
                observations = self._begin(beginning)
            if t < lasts:
                playing = steps >= lasts - t
                actions = np.zeros(self.num_envs, dtype=np.int64)
                actions[playing] = saved["actions"][(ends - (lasts - t))[playing]]
                observations = self.env.step(actions)[0]
        return observations

    def _seeded(self, which: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """The first episodes of the seeds of some copies; the observations of all."""
        seeds: Any = self._seeds[which]
        options = None if which.all() else {"reset_mask": which}
        return self.env.reset(seed=seeds, options=options)

    def _begin(self, which: np.ndarray) -> np.ndarray:
        """The present episodes of some copies, from their seeds; the observations of all."""
        observations, _ = self._seeded(which)
        for count in range(self._resets[which].max()):
            fewer = which & (self._resets > count)
            observations, _ = self.env.reset(options={"reset_mask": fewer})
        return observations

    def _check(self, saved: dict[str, Any]) -> None:
        for name, own in self.get_state().items():
            given = np.asarray(saved[name])
            if given.dtype != own.dtype or given.ndim != 1:
                raise ValueError(f"{name} must be an array of {own.dtype}.")
            if name != "actions" and given.shape != own.shape:
                raise ValueError(f"{name} must have a place for each of {self.num_envs} games.")
        actions: Any = self.env.single_action_space
        bounds = {"seeds": _LARGEST, "resets": self._episodes, "actions": actions.n}
        for name, bound in bounds.items():
            if ((saved[name] < 0) | (saved[name] >= bound)).any():
                raise ValueError(f"{name} must lie in 0..{bound - 1}.")
        if (saved["steps"] < 0).any() or saved["steps"].sum() != len(saved["actions"]):
            raise ValueError("steps must count the actions of each game.")


def _following(seed: int) -> int:
    """The next seed of the same copy."""
    return int(np.random.default_rng(seed).integers(0, _LARGEST))
