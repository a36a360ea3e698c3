"""The best player that repeats one action.

In some games rewards come late and at random, and the policy gradient of a random player is almost
only noise. A player that repeats one action is easy to evaluate, and can be far better (Bellemare
et al., "The Arcade Learning Environment", 2013, baseline "Const").
"""

import contextlib
from typing import NamedTuple

import numpy as np

from distilled_envs.bars import tqdm
from distilled_envs.evaluation.episodes import first_episodes
from distilled_envs.learners.actions import as_taken
from distilled_envs.training.backends import make_vector_env
from distilled_envs.training.world import World

EPISODES = 8
"""Episodes of each action in the first round of the trial, side by side."""
STEPS = 2000
"""Steps after which an episode of the trial is cut, for games that one action never ends."""
_FAR = 3.0
"""How many times what random play gets is far more."""
_RANDOM = -1


class ConstantAction(NamedTuple):
    """The best of them.

    Attributes:
        action: What it repeats, by number.
        mean_return: In the environment's rewards.
        at_random: That of random play.
        steps: Environment steps of the trial.
    """

    action: int
    mean_return: float
    at_random: float
    steps: int

    @property
    def is_far_better(self) -> bool:
        """Whether it gets far more than random play."""
        return self.mean_return > self.at_random + (_FAR - 1) * abs(self.at_random)


def best_constant_action(
    world: World, seed: int, *, threads: int = 0, progress: bool = True
) -> ConstantAction:
    """The action that pays best when it is repeated through whole episodes.

    Each round plays as many episodes as the one before, with the best quarter of its actions, so
    that the good ones are told apart by more episodes each (Karnin et al., "Almost Optimal
    Exploration in Multi-Armed Bandits", 2013: successive halving, here quartering).

    Args:
        world: The environment, of discrete actions.
        seed: Of everything.
        threads: Of the simulator; 0 leaves its own choice.
        progress: Whether to show a progress bar.
    """
    n_actions = world.task.n_outputs
    candidates, steps = np.arange(_RANDOM, n_actions), 0
    means, at_random = np.zeros(0), 0.0
    while len(candidates) > 1:
        each = EPISODES * n_actions // (len(candidates) - (_RANDOM in candidates))
        players = np.repeat(candidates, each)
        returns, taken = _returns(world, players, seed, threads, progress)
        steps += taken
        seed += len(players)  # each copy has a seed of its own, and no game is played twice
        means = returns.reshape(len(candidates), -1).mean(1)
        if _RANDOM in candidates:
            at_random, means, candidates = float(means[0]), means[1:], candidates[1:]
        best = (-means).argsort(kind="stable")[: max(1, len(candidates) // 4)]
        means, candidates = means[best], candidates[best]
    return ConstantAction(int(candidates[0]), float(means[0]), at_random, steps)


def _returns(
    world: World, actions: np.ndarray, seed: int, threads: int, progress: bool
) -> tuple[np.ndarray, int]:
    """Returns ``(n,)`` of players that repeat one action each, and the environment steps taken."""
    rng = np.random.default_rng(seed)
    bar = tqdm(total=STEPS, desc="players of one action", leave=False, disable=not progress)

    def act(seen: np.ndarray, going: np.ndarray) -> np.ndarray:
        bar.update()
        drawn = rng.integers(world.task.n_outputs, size=len(actions))
        return as_taken(world.actions, np.where(actions == _RANDOM, drawn, actions))

    env = make_vector_env(world, len(actions), seed, threads)
    with bar, contextlib.closing(env):
        returns, lengths = first_episodes(env, act, STEPS, seed)
    return returns, int(lengths.max()) * len(actions)
