"""Mean returns from as many episodes as it takes to tell policies apart.

Blackjack's returns deviate by 1 where policies differ by 0.05, and are played in no time: of 32
episodes one teacher got -0.344, of 60,000 -0.047.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from distilled_envs.dataset import DistilledDataset
from distilled_envs.evaluation import EVALUATION_SEED, one_step_returns
from distilled_envs.training.playing import Playing
from distilled_envs.training.teachers import as_teacher
from distilled_envs.training.world import World

NETWORKS = 32
"""Fresh networks, or episodes of a teacher, at least."""
_SURE, _SECONDS, _EVALUATION = 0.01, 10.0, 30.0
"""Standard error of a mean, as a share of it, that is small enough; seconds after which no more is
played; and those of more than one episode in the evaluation at the end."""


def score(dataset: DistilledDataset, learners: int) -> tuple[float, float, int]:
    """Mean return of networks after one step, that of the worst, and episodes for the end.

    The imitation has played one, with networks of which there are others in each round here; the
    worst is of the last round. At the end so many ``learners`` play as many as were needed here, in
    both action modes, if that takes no more than half a minute.
    """
    found = dataset.spec.provenance["imitation"]
    least = found["least"]

    def play(count: int) -> np.ndarray:
        nonlocal least
        # Other networks than those of the evaluation at the end.
        seed = EVALUATION_SEED + 1_000 * (1 + count)
        returns = one_step_returns(dataset, NETWORKS, count // NETWORKS, seed)
        least = float(returns.mean(1).min())
        return returns

    mean, count, spent = _sure_mean(play, found["return"], found["std"] ** 2, NETWORKS)
    episodes, pace = count // NETWORKS, (count - NETWORKS) / spent if spent else 0.0
    affordable = int(_EVALUATION * pace / (2 * learners))
    return mean, least, max(1, min(episodes, affordable))


def own_return(teacher: Any, world: World, seed: int) -> float:
    """Mean return of a teacher's likeliest actions."""
    play, answer = Playing(world, 1, seed), as_teacher(teacher, world).answer
    first = play(answer, NETWORKS).returns
    mean, variance = float(first.mean()), float(first.var())
    return _sure_mean(lambda count: play(answer, count).returns, mean, variance, len(first))[0]


def _sure_mean(
    play: Callable[[int], np.ndarray], mean: float, variance: float, count: int
) -> tuple[float, int, float]:
    """A mean return, from as many episodes as it needs, or as time allows.

    Args:
        play: So many more episodes, to their returns.
        mean: Of those that were played.
        variance: Of them.
        count: Their number.

    Returns:
        The mean, the number of episodes, and the seconds that it took.
    """
    started, spent = time.monotonic(), 0.0
    while math.sqrt(variance / count) > _SURE * abs(mean) and spent < _SECONDS:
        returns = play(count)  # as many again
        apart = float(returns.mean()) - mean
        variance = (variance + float(returns.var())) / 2 + apart**2 / 4
        mean, count = mean + apart / 2, 2 * count
        spent = time.monotonic() - started
    return mean, count, spent
