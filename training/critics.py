"""A critic without gradient steps: values as a quadratic function of observations.

The usual critic is a network of its own, whose backward pass takes most of an iteration where
learners are linear maps. Features with a fit by least squares are an old baseline in its place
(Duan et al., "Benchmarking Deep Reinforcement Learning for Continuous Control", 2016).
"""

import torch
from torch import Tensor, nn

from distilled_envs.training.distributed import average
from distilled_envs.training.ppo import Steps

FORGET = 0.8
"""Weight of what an iteration has seen in the next iteration's fit: policies change slowly."""
_RIDGE = 1e-6
"""Added to the diagonal of the normal equations, where it is 1. Of coordinates that hardly move the
products are nearly the same."""


class QuadraticCritic(nn.Module):
    """Values ``c + <s, x> + <x, Q x>``, by weighted least squares on recent returns.

    Args:
        inputs: Numbers of an observation, ``n``.

    Attributes:
        coefficients: ``c``, ``s`` and the upper triangle of ``Q``, which no gradient moves.
    """

    _gram: Tensor
    _moments: Tensor

    def __init__(self, inputs: int):
        super().__init__()
        self._inputs = inputs
        count = 1 + inputs + inputs * (inputs + 1) // 2
        self.coefficients = nn.Parameter(torch.zeros(count), requires_grad=False)
        self.register_buffer("_gram", torch.zeros(count, count))
        self.register_buffer("_moments", torch.zeros(count))

    def forward(self, observations: Tensor) -> Tensor:
        """Observations ``(..., n)`` to values ``(..., 1)``."""
        offset, slope = self.coefficients[0], self.coefficients[1 : self._inputs + 1]
        products = observations.new_zeros(self._inputs, self._inputs)
        row, column = torch.triu_indices(*products.shape, device=products.device)
        products[row, column] = self.coefficients[self._inputs + 1 :]
        linear = (observations @ products + slope) * observations
        return linear.sum(-1, keepdim=True) + offset

    @torch.no_grad()
    def fit(self, steps: Steps) -> None:
        """Learn from an iteration's returns, and less and less from those of former ones."""
        seen, returns = steps.observations.flatten(0, 1), steps.returns.flatten()
        products = (seen[:, i : i + 1] * seen[:, i:] for i in range(self._inputs))
        features = torch.cat([torch.ones_like(seen[:, :1]), seen, *products], 1)
        weighted = (features * steps.weights.flatten().unsqueeze(1)).T
        self._gram.mul_(FORGET).add_(average(weighted @ features))
        self._moments.mul_(FORGET).add_(average(weighted @ returns))
        # Features differ by orders of magnitude: solve for them as if all had a mean square of 1.
        size = self._gram.diagonal().sqrt().clamp(min=1e-12).double()
        gram = self._gram / size / size.unsqueeze(1) + _RIDGE * torch.eye(len(size)).to(size)
        self.coefficients.copy_(torch.linalg.solve(gram, self._moments / size) / size)
