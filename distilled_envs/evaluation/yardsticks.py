"""What a return is read beside: play at random, and one action all the time."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from distilled_envs.envs.making import ending
from distilled_envs.envs.real import env_spaces, make_ending_vec_env
from distilled_envs.evaluation.episodes import first_episodes
from distilled_envs.formatting import written
from distilled_envs.spaces import Actions
from distilled_envs.spec import DistillationSpec

EPISODES = 20
"""Episodes of play at random, and of the best constant action."""
_TRIED, _TRIAL = 32, 4
"""Constant actions that are tried at most, and episodes of each, before the best plays anew."""
_MAX_STEPS = 2_000
"""Steps after which an episode of a trial is cut, and of a game: what never acts may never end."""


@dataclass(frozen=True)
class Yardsticks:
    """Mean returns over :data:`EPISODES` episodes, cut as in evaluations, games after 2,000 steps.

    Attributes:
        random: Of uniformly random actions.
        constant: Of one action all the time, the best of those tried: all choices, up to 32 of
            them; of a ``Box`` its middle and its two ends.
        action: That action.
        threshold: The return from which the environment counts as solved, where it says so.
    """

    random: float
    constant: float
    action: np.ndarray
    threshold: float | None

    def verdict(self, return_: float) -> str:
        """What a mean return is worth, in one or two lines."""
        action = np.array2string(self.action, precision=2, separator=", ", threshold=8)
        said = (
            f"Random play gets {written(self.random)}, action {action} all the time "
            f"{written(self.constant)}."
        )
        if self.threshold is not None:
            said += f" The environment counts as solved from {self.threshold:g}."
        # A tenth of what lies between the two, since both are means of a few episodes.
        margin = 0.1 * abs(self.constant - self.random)
        for other, doing in (
            (self.constant, f"repeating the action {action}"),
            (self.random, "playing at random"),
        ):
            if return_ <= other + margin:
                return f"{said}\n{written(return_)} is no better than {doing}."
        return said


def yardsticks(spec: DistillationSpec, seed: int = 0) -> Yardsticks:
    """Let players that look at nothing play in a dataset's environment.

    Args:
        spec: The dataset's.
        seed: Of environments and random actions.

    Raises:
        DatasetError: The environment is not registered here.
        MissingExtraError: What it is simulated with is not installed.
    """
    limit = ending(spec.env).max_episode_steps or _MAX_STEPS
    random = random_returns(spec, EPISODES, limit, seed).mean()
    candidates = _constants(env_spaces(spec).action, np.random.default_rng(seed))
    players = np.repeat(candidates, _TRIAL, axis=0)
    longest = min(limit, _MAX_STEPS)
    tried = _returns(spec, lambda copies: players, len(players), longest, seed + 1)
    best = candidates[tried.reshape(len(candidates), _TRIAL).mean(1).argmax()]
    again = np.repeat(best[None], EPISODES, axis=0)
    constant = _returns(spec, lambda copies: again, EPISODES, limit, seed + 2).mean()
    return Yardsticks(float(random), float(constant), best, spec.env.reward_threshold)


def random_returns(spec: DistillationSpec, episodes: int, longest: int, seed: int) -> np.ndarray:
    """Returns ``(episodes,)`` of uniformly random actions.

    Args:
        spec: A dataset's, in whose environment they are taken.
        episodes: How many.
        longest: Steps after which each is cut.
        seed: Of environments and actions.
    """
    space = env_spaces(spec).action
    space.seed(seed)

    def at_random(copies: int) -> np.ndarray:
        return np.stack([space.sample() for _ in range(copies)])

    return _returns(spec, at_random, episodes, longest, seed)


def _constants(space: Actions, chance: np.random.Generator) -> np.ndarray:
    """Actions to try ``(n, ...)``."""
    if isinstance(space, spaces.Box):
        return np.stack([(space.low + space.high) / 2, space.low, space.high]).astype(space.dtype)
    if isinstance(space, spaces.Discrete):
        every = space.start + np.arange(space.n)
        return every if space.n <= _TRIED else chance.permutation(every)[:_TRIED]
    if space.nvec.prod(dtype=float) <= _TRIED:
        return space.start + np.array([*np.ndindex(*space.nvec)])
    return space.start + chance.integers(space.nvec, size=(_TRIED, len(space.nvec)))


def _returns(
    spec: DistillationSpec,
    act: Callable[[int], np.ndarray],
    copies: int,
    longest: int,
    seed: int,
) -> np.ndarray:
    """Returns ``(copies,)`` of the first episode in each copy, of so many steps at most."""
    with contextlib.closing(make_ending_vec_env(spec, copies)) as env:
        return first_episodes(env, lambda seen, going: act(copies), longest, seed).returns
