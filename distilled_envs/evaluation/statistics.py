"""Interquartile mean and bootstrap intervals, as in rliable (Agarwal et al., 2021), by SciPy.

Its stratified bootstrap resamples the runs of each task by themselves; here one task is one call.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats


def interquartile_mean(units: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean of the middle half along an axis.

    >>> float(interquartile_mean(np.array([0.0, 1.0, 2.0, 30.0])))
    1.5
    """
    return stats.trim_mean(units, 0.25, axis=axis)


def bootstrap_interval(
    units: np.ndarray, statistic: Callable[..., Any] = np.mean
) -> tuple[float, float] | None:
    """A 95% percentile-bootstrap interval.

    Args:
        units: What is resampled, ``(n,)``: runs, learners, or episodes of the only one.
        statistic: Called as ``statistic(units, axis=-1)``.

    Returns:
        Lower and upper bound; None for a single unit.
    """
    if len(units) < 2:
        return None
    if np.ptp(units) == 0:
        return float(units[0]), float(units[0])
    interval = stats.bootstrap(
        (units,), statistic, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(interval.low), float(interval.high)
