"""The first episode in each copy of a vectorized environment."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv

from distilled_envs.seeds import small_seed


class Episodes(NamedTuple):
    """What one episode in each copy came to.

    Attributes:
        returns: Undiscounted returns ``(num_envs,)``.
        lengths: Steps ``(num_envs,)``.
    """

    returns: np.ndarray
    lengths: np.ndarray


def first_episodes(
    env: VectorEnv,
    act: Callable[[np.ndarray, np.ndarray], np.ndarray],
    longest: int,
    seed: int | None = None,
) -> Episodes:
    """Reset all copies and play until each has ended an episode.

    Args:
        env: The copies; what they do after their first episode does not count.
        act: Observations ``(num_envs, *obs_shape)``, and which copies are still in their first
            episode ``(num_envs,)``, to actions of all copies.
        longest: Steps after which episodes are cut.
        seed: Of the environments; None goes on with their own generators.
    """
    observations, _ = env.reset(seed=None if seed is None else small_seed(seed))
    returns, lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, dtype=int)
    going = np.ones(env.num_envs, dtype=bool)
    for _ in range(longest):
        observations, rewards, terminated, truncated, _ = env.step(act(observations, going))
        returns += rewards * going
        lengths += going
        going &= ~(terminated | truncated)
        if not going.any():
            break
    return Episodes(returns, lengths)
