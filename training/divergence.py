"""When a run can't go on: numbers that are no longer finite, or policies that jump."""

import math

from distilled_envs.errors import DistilledEnvsError
from distilled_envs.training.batch import DistilledBatch

DIVERGED_KL = 10.0
"""Nats between a policy and its update, far beyond what clipping leaves a run that learns."""


class DivergedError(DistilledEnvsError, ArithmeticError):
    """A run whose numbers are no longer finite, or whose policies jump."""


def check_divergence(batch: DistilledBatch, metrics: dict[str, float]) -> None:
    """Look at an iteration's end.

    Args:
        batch: The batch after it.
        metrics: Means over its minibatches, among them ``kl``.

    Raises:
        DivergedError: The run can't go on.
    """
    rate = batch.learning_rate.item()
    if not all(parameter.isfinite().all() for parameter in batch.parameters()):
        raise DivergedError("the distilled batch is not finite")
    if not 0 < rate < float("inf"):
        raise DivergedError(f"the inner learning rate is {rate}")
    if not all(math.isfinite(value) for value in metrics.values()):
        raise DivergedError("a loss is not finite")
    if metrics["kl"] > DIVERGED_KL:
        raise DivergedError(f"the policies jump, by a KL divergence of {metrics['kl']:.3g}")
