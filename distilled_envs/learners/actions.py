"""From a policy's outputs to actions: categorical logits, or the means of a gaussian."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal, kl_divergence
from torch.distributions.kl import register_kl
from torch.nn.functional import one_hot

from distilled_envs.spec import TaskSpec


class Choices(Distribution):
    """Several independent choices side by side, each by its own logits.

    Args:
        logits: Of all choices, in order ``(..., sum of parts)``.
        parts: Alternatives of each.

    Attributes:
        each: The choices one by one.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, logits: Tensor, parts: tuple[int, ...]):
        self.each = [
            Categorical(logits=part, validate_args=False) for part in logits.split(parts, -1)
        ]
        event = torch.Size([len(parts)])
        super().__init__(logits.shape[:-1], event, validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """One alternative of each choice, ``(..., choices)``."""
        return torch.stack([each.sample(sample_shape) for each in self.each], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Of alternatives ``(..., choices)`` together, ``(...)``."""
        chosen = zip(self.each, value.unbind(-1), strict=True)
        return torch.stack([each.log_prob(part) for each, part in chosen]).sum(0)

    def entropy(self) -> Tensor:
        """Of all choices together, ``(...)``."""
        return torch.stack([each.entropy() for each in self.each]).sum(0)


@register_kl(Choices, Choices)
def _divergence(one: Choices, other: Choices) -> Tensor:
    pairs = zip(one.each, other.each, strict=True)
    return torch.stack([kl_divergence(first, second) for first, second in pairs]).sum(0)


def action_distribution(task: TaskSpec, outputs: Tensor, log_std: Tensor | None) -> Distribution:
    """The policy's distribution over actions.

    Args:
        task: How outputs become actions.
        outputs: Logits, or action means, ``(..., n_outputs)``.
        log_std: Log standard deviations ``(n_outputs,)`` of a gaussian task, else None.

    Returns:
        A distribution with batch shape ``(...)``; gaussian action dimensions are independent, and
        so are several choices, and their log-probabilities are summed.
    """
    if task.choices is not None:
        return Choices(outputs, task.choices)
    if task.kind == "categorical":
        return Categorical(logits=outputs, validate_args=False)
    assert log_std is not None
    normal = Normal(outputs, log_std.exp(), validate_args=False)
    return Independent(normal, 1, validate_args=False)


def log_deviations(task: TaskSpec) -> Tensor | None:
    """The log standard deviations ``(n_outputs,)`` of a gaussian task; None of a categorical."""
    log_std = task.target_log_std
    return None if log_std is None else torch.tensor(log_std, dtype=torch.float32)


def comparable(task: TaskSpec, outputs: Tensor) -> Tensor:
    """Outputs ``(..., n_outputs)`` as they are, but the logits of each choice with mean 0.

    A constant on all logits of a choice changes no probability.
    """
    if task.kind == "gaussian":
        return outputs
    parts = outputs.split(task.parts, -1)
    return torch.cat([part - part.mean(-1, keepdim=True) for part in parts], -1)


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
        Numbers of actions ``(...)`` from 0, or one for each choice ``(..., choices)``; for a
        gaussian task values ``(..., n_outputs)``, not clipped to any bounds. :func:`as_taken`
        makes of them what the environment takes.
    """
    if not greedy:
        return action_distribution(task, outputs, log_std).sample()
    if task.kind == "gaussian":
        return outputs
    likeliest = [part.argmax(-1) for part in outputs.split(task.parts, -1)]
    return likeliest[0] if task.choices is None else torch.stack(likeliest, -1)


def logits_of(task: TaskSpec, actions: Tensor, logit: float) -> Tensor:
    """Logits ``(n, n_outputs)`` of actions by number, as :func:`choose_actions` gives them.

    >>> logits_of(TaskSpec("categorical", (1,), 3), torch.tensor([2]), 8.0)
    tensor([[0., 0., 8.]])
    """
    chosen = [actions] if task.choices is None else actions.unbind(-1)
    parts = zip(chosen, task.parts, strict=True)
    return logit * torch.cat([one_hot(each.long(), n) for each, n in parts], -1).float()


def as_taken(space: spaces.Space[Any], actions: np.ndarray) -> np.ndarray:
    """Actions of :func:`choose_actions` as the environment takes them.

    Numbers from 0 count from the first action of the space, and values are clipped.

    >>> as_taken(spaces.Discrete(3, start=-1), np.array([0, 2]))
    array([-1,  1])
    """
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return actions + space.start
    return within_bounds(space, actions)


def by_number(space: spaces.Space[Any], actions: np.ndarray) -> np.ndarray:
    """The other way round: choices that an environment takes, by number from 0."""
    return (
        actions - space.start
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
        else actions
    )


def within_bounds(space: spaces.Space[Any], actions: np.ndarray) -> np.ndarray:
    """Actions as the environment takes them: clipped to a ``Box``'s bounds, others as they are.

    >>> within_bounds(spaces.Box(-1, 1, (2,)), np.array([0.5, 3.0]))
    array([0.5, 1. ])
    """
    if isinstance(space, spaces.Box):
        return np.clip(actions, space.low, space.high)
    return actions
