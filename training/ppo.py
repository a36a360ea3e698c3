"""PPO without distillation: the steps of a rollout, minibatches, probability ratio, clipped loss.

Schulman et al., "Proximal Policy Optimization Algorithms", arXiv 1707.06347.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from distilled_envs.training.distributed import average


@dataclass(frozen=True)
class Steps:
    """Environment steps by learner, ``(L, n, ...)``: a minibatch has equally many of each learner.

    Attributes:
        observations: What the environments showed ``(L, n, *shape)``.
        actions: What was done ``(L, n)``, or ``(L, n, action dimensions)``.
        log_probs: Log-probabilities of those actions under the policy that drew them ``(L, n)``.
        advantages: Generalized advantage estimates ``(L, n)``.
        returns: Advantages plus values, the critic's targets ``(L, n)``.
        valid: 0 where the step was the reset of an environment and no transition, else 1.
        advice: A teacher's outputs ``(L, n, n_outputs)``; None without a teacher.
        totals: Sums over valid steps ``(3,)``, the mean over ranks: how many they are, of their
            advantages and of the squares of these; None sums them up when they are asked for.
    """

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    returns: Tensor
    valid: Tensor
    advice: Tensor | None = None
    totals: Tensor | None = None

    def minibatches(self, count: int) -> Iterator["Steps"]:
        """All steps once, in ``count`` parts, shuffled by torch's global generator."""
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        columns = {name: value for name, value in columns.items() if value is not None}
        parts = torch.randperm(self.valid.shape[1]).chunk(count)
        # One message for all parts: ranks wait for each of them as long as for a gradient.
        sums = [_sums(self.valid[:, chosen], self.advantages[:, chosen]) for chosen in parts]
        for chosen, totals in zip(parts, average(torch.stack(sums)), strict=True):
            part = {name: value[:, chosen] for name, value in columns.items()}
            yield Steps(**part, totals=totals)

    @functools.cached_property
    def moments(self) -> tuple[float, float, float]:
        """Number of valid steps, mean and standard deviation of their advantages.

        They are those of all ranks; the number is the mean, so that the mean of ranks' weighted
        sums is that of all steps.
        """
        totals = self.totals
        if totals is None:
            totals = average(_sums(self.valid, self.advantages))
        number = max(totals[0].item(), 1.0)
        mean, square = (totals[1:] / number).tolist()
        return number, mean, math.sqrt(max(square - mean**2, 0.0))

    @functools.cached_property
    def weights(self) -> Tensor:
        """One over the number of valid steps, and 0 at resets: a weighted sum is a mean."""
        return self.valid / self.moments[0]


def _sums(valid: Tensor, advantages: Tensor) -> Tensor:
    """Number, sum and sum of squares ``(3,)`` of the advantages of valid steps."""
    valid, advantages = valid.cpu().double(), advantages.cpu().double()
    return torch.stack([(advantages**power * valid).sum() for power in (0, 1, 2)])


def log_ratio(log_probs: Tensor, steps: Steps) -> Tensor:
    """Log of the new policy's probability of each action over the old policy's; 0 at resets.

    >>> one = torch.ones(1, 2)
    >>> steps = Steps(one, one, -one, one, one, valid=torch.tensor([[1.0, 0.0]]))
    >>> log_ratio(torch.tensor([[-0.5, 9.0]]), steps)
    tensor([[0.5000, 0.0000]])
    """
    return (log_probs - steps.log_probs).where(steps.valid.bool(), 0)


def clipped_loss(log_ratio: Tensor, steps: Steps, clip: float) -> Tensor:
    """PPO's clipped surrogate, a scalar.

    Args:
        log_ratio: From :func:`log_ratio`, ``(L, n)``.
        steps: The minibatch; its advantages are normalized here.
        clip: How far from 1 the ratio may go before its gradient is cut.
    """
    weights, (_, mean, std) = steps.weights, steps.moments
    advantages = (steps.advantages - mean) / (std + 1e-8)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -(torch.minimum(ratio * advantages, clipped * advantages) * weights).sum()


def approximate_kl(log_ratio: Tensor, steps: Steps) -> Tensor:
    """KL divergence from the old policy to the new one (http://joschu.net/blog/kl-approx.html)."""
    return ((log_ratio.exp() - 1 - log_ratio) * steps.weights).sum()
