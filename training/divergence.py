"""When a run can't go on: numbers that are no longer finite, or policies that jump."""

import math

from distilled_envs.errors import DistilledEnvsError
from distilled_envs.training.batch import DistilledBatch

DIVERGED_KL = 10.0
"""Nats between a policy and its update, far beyond what clipping leaves a run that learns."""


class DivergedError(DistilledEnvsError, ArithmeticError):
    """A run whose numbers are no longer finite, or whose policies jump."""


def check_divergence(batch: DistilledBatch, metrics: dict[str, float], iteration: int) -> None:
    """Look at an iteration's end.

    Args:
        batch: The batch after it.
        metrics: Means over its minibatches, among them ``kl``.
        iteration: Its number, from 1 on.

    Raises:
        DivergedError: The run can't go on.
    """
    rate, how = batch.learning_rate.item(), None
    if not all(parameter.isfinite().all() for parameter in batch.parameters()):
        how = "the distilled batch is not finite"
    elif not 0 < rate < float("inf"):
        how = f"the inner learning rate is {rate}"
    elif not all(math.isfinite(value) for value in metrics.values()):
        how = "a loss is not finite"
    elif metrics["kl"] > DIVERGED_KL:
        how = f"the policies jump, by a KL divergence of {metrics['kl']:.3g}"
    if how is not None:
        raise DivergedError(f"The run diverged in iteration {iteration}: {how}.")
