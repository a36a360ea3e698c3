"""Running normalization of observations and rewards during a distillation.

Observations: the statistics are frozen into the dataset at the end. Rewards: only the outer loop
sees them normalized; scores are always real returns.
"""

from typing import Any

import numpy as np
from gymnasium.wrappers.utils import RunningMeanStd

from distilled_envs.envs.real import transform_function
from distilled_envs.spec import ObservationTransform
from distilled_envs.training.distributed import moments


class ObservationNormalizer:
    """Observations under their running mean and standard deviation, clipped and scaled.

    The statistics change only between rollouts, so that within an iteration learners see the same
    transform all the time.

    Args:
        n_inputs: Observation coordinates that learners see.
        scale: Factor after normalizing. Small inputs keep tanh networks in their linear range,
            where all draws of a network learn nearly the same from a batch.
        coordinates: Places in the real observation that they are taken from; None for all.
        around_zero: Whether observations are only scaled, by their root mean square, so that a
            real observation and its negative stay mirror images.
        factors: Further factors on the coordinates ``(n_inputs,)``; None leaves all alike.
        clip: Bound, in standard deviations over the factor.
    """

    def __init__(
        self,
        n_inputs: int,
        scale: float,
        coordinates: tuple[int, ...] | None = None,
        around_zero: bool = False,
        factors: tuple[float, ...] | None = None,
        clip: float = 10.0,
    ):
        self._scale, self._coordinates, self._clip = scale, coordinates, clip
        self._around_zero = around_zero
        self._factors = np.ones(n_inputs) if factors is None else np.array(factors)
        self._statistics = RunningMeanStd(shape=(n_inputs,))
        self._apply = transform_function(self.frozen())

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Real observations, transformed: ``(..., n_inputs)``, float32."""
        return self._apply(observations)

    def update(self, observations: np.ndarray) -> None:
        """Take in real observations ``(n, coordinates)``, those of all ranks."""
        if self._coordinates is not None:
            observations = observations[:, list(self._coordinates)]
        self._statistics.update_from_moments(*moments(observations))
        self._apply = transform_function(self.frozen())

    def frozen(self) -> ObservationTransform:
        """The transform as it stands."""
        mean, variance = self._statistics.mean, self._statistics.var
        if self._around_zero:
            mean, variance = np.zeros_like(mean), variance + mean**2
        std = np.sqrt(variance + 1e-8) / self._factors
        return ObservationTransform(
            tuple(mean.tolist()), tuple(std.tolist()), self._scale, self._clip, self._coordinates
        )

    def get_state(self) -> dict[str, Any]:
        """The statistics."""
        return _moments(self._statistics)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`get_state`."""
        _set_moments(self._statistics, state)
        self._apply = transform_function(self.frozen())


class RewardNormalizer:
    """Rewards divided by the running standard deviation of the discounted return.

    It changes with each step, for which ranks don't wait for each other: each has its own.

    Args:
        num_envs: Number of environments.
        discount: Gamma.
        clip: Bound on what comes out.
    """

    def __init__(self, num_envs: int, discount: float, clip: float = 10.0):
        self._discount, self._clip = discount, clip
        self._statistics = RunningMeanStd()
        self._returns = np.zeros(num_envs)

    def __call__(self, rewards: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Take in one step's rewards ``(num_envs,)`` and ends of episodes, and normalize them."""
        self._returns = self._returns * self._discount + rewards
        self._statistics.update(self._returns)
        self._returns[done] = 0
        return np.clip(rewards / np.sqrt(self._statistics.var + 1e-8), -self._clip, self._clip)

    def get_state(self) -> dict[str, Any]:
        """The statistics; the returns of running episodes start anew."""
        return _moments(self._statistics)

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`get_state`."""
        _set_moments(self._statistics, state)


class RewardSign:
    """The sign of each reward, as is usual for Atari, whose games count in units of their own."""

    def __call__(self, rewards: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Signs of one step's rewards ``(num_envs,)``."""
        return np.sign(rewards)

    def get_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing to go on from."""


def _moments(statistics: RunningMeanStd) -> dict[str, Any]:
    return {name: getattr(statistics, name) for name in ("mean", "var", "count")}


def _set_moments(statistics: RunningMeanStd, state: dict[str, Any]) -> None:
    for name, value in state.items():
        setattr(statistics, name, value)
