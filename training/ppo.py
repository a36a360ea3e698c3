"""PPO without distillation: the steps of a rollout, minibatches, probability ratio, clipped loss.

Schulman et al., "Proximal Policy Optimization Algorithms", arXiv 1707.06347.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from distilled_envs.training.distributed import average, world_size


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
            advantages and of the squares of these. A process that works alone needs none.
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
        totals: Iterable[Tensor | None] = [None] * len(parts)
        if world_size() > 1:
            # One message for all parts: ranks wait for each of them as long as for a gradient.
            sums = [_sums(self.valid[:, chosen], self.advantages[:, chosen]) for chosen in parts]
            totals = average(torch.stack(sums))
        for chosen, total in zip(parts, totals, strict=True):
            part = {name: value[:, chosen] for name, value in columns.items()}
            yield Steps(**part, totals=total)

    @functools.cached_property
    def weights(self) -> Tensor:
        """One over the number of valid steps, and 0 at resets: a weighted sum is a mean.

        The number is the mean over ranks, so that the mean of their sums is that of all steps.
        """
        number = average(self.valid.sum()) if self.totals is None else self.totals[0]
        return self.valid / number.clamp(min=1).to(self.valid)

    def normalized_advantages(self) -> Tensor:
        """Advantages of mean 0 and standard deviation 1 over the valid steps of all ranks."""
        if self.totals is None:
            mean = average((self.advantages * self.weights).sum())
            std = average(((self.advantages - mean).square() * self.weights).sum()).sqrt()
        else:
            mean, square = (self.totals[1:] / self.totals[0].clamp(min=1)).to(self.advantages)
            std = (square - mean.square()).clamp(min=0).sqrt()
        return (self.advantages - mean) / (std + 1e-8)


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
    advantages = steps.normalized_advantages()
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -(torch.minimum(ratio * advantages, clipped * advantages) * steps.weights).sum()


def approximate_kl(log_ratio: Tensor, steps: Steps) -> Tensor:
    """KL divergence from the old policy to the new one (http://joschu.net/blog/kl-approx.html)."""
    return ((log_ratio.exp() - 1 - log_ratio) * steps.weights).sum()
