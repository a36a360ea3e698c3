"""From a policy's outputs to actions: categorical logits, or the means of a gaussian."""

from typing import Any

import numpy as np
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal

from distilled_envs.spec import TaskSpec


def action_distribution(task: TaskSpec, outputs: Tensor, log_std: Tensor | None) -> Distribution:
    """The policy's distribution over actions.

    Args:
        task: How outputs become actions.
        outputs: Logits, or action means, ``(..., n_outputs)``.
        log_std: Log standard deviations ``(n_outputs,)`` of a gaussian task, else None.

    Returns:
        A distribution with batch shape ``(...)``; gaussian action dimensions are independent, and
        their log-probabilities are summed.
    """
    if task.kind == "categorical":
        return Categorical(logits=outputs, validate_args=False)
    assert log_std is not None
    normal = Normal(outputs, log_std.exp(), validate_args=False)
    return Independent(normal, 1, validate_args=False)


def comparable(task: TaskSpec, outputs: Tensor) -> Tensor:
    """Outputs ``(..., n_outputs)`` as they are, but logits with mean 0.

    A constant on all logits changes no probability.
    """
    return outputs if task.kind == "gaussian" else outputs - outputs.mean(-1, keepdim=True)


def choose_actions(
    task: TaskSpec, outputs: Tensor, log_std: Tensor | None, *, greedy: bool
) -> Tensor:
    """Actions, sampled with torch's global generator, or the most likely ones.

    Args:
        task: How outputs become actions.
        outputs: Logits, or action means, ``(..., n_outputs)``.
        log_std: Log standard deviations ``(n_outputs,)`` of a gaussian task that is sampled.
        greedy: The most likely action instead of a sample.

    Returns:
        Actions ``(...)``, or ``(..., n_outputs)`` for a gaussian task; not clipped to any bounds.
    """
    if greedy:
        return outputs.argmax(-1) if task.kind == "categorical" else outputs
    return action_distribution(task, outputs, log_std).sample()


def within_bounds(space: spaces.Space[Any], actions: np.ndarray) -> np.ndarray:
    """Actions as the environment takes them: clipped to a ``Box``'s bounds, others as they are.

    >>> within_bounds(spaces.Box(-1, 1, (2,)), np.array([0.5, 3.0]))
    array([0.5, 1. ])
    """
    if isinstance(space, spaces.Box):
        return np.clip(actions, space.low, space.high)
    return actions
