"""What networks tend to as they get wide and their inputs small: linear maps, without any network.

After one step on k rows (x_j, y_j) orthogonal tanh networks of L hidden layers of gain g and A
outputs answer ``rate * 2 / (k A) * sum_j y_j (g^(2 L) <x_j, x> + 1)``, up to what their outputs
were before, tanh's curvature and the move of their hidden layers (see
:mod:`distilled_envs.training.closed_form`). That is one linear map for all of them.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from distilled_envs.learners.mixture import Mixture
from distilled_envs.spec import LearnerSpec, TaskSpec


@dataclass(frozen=True)
class LimitPopulation:
    """L networks in that limit, which are all the same; used as a ``Population`` is.

    Attributes:
        network: The networks whose limit it is.
        size: L.
        weights: ``(n_outputs, n_inputs)``.
        bias: ``(n_outputs,)``.
    """

    network: LearnerSpec
    size: int
    weights: Tensor
    bias: Tensor

    @classmethod
    def draw(
        cls, network: LearnerSpec, task: TaskSpec, size: int, device: torch.device | str = "cpu"
    ) -> Self:
        """Networks before their step, whose outputs are 0.

        Args:
            network: Orthogonal tanh layers.
            task: Its observation shape and number of outputs.
            size: Number of networks L.
            device: Where they are put.
        """
        zeros = torch.zeros(task.n_outputs, *task.observation_shape, device=device)
        return cls(network, size, zeros, zeros[:, 0])

    def __len__(self) -> int:
        return self.size

    def __call__(self, observations: Tensor) -> Tensor:
        """Outputs ``(L, n, n_outputs)`` for observations ``([L,] n, n_inputs)``."""
        seen = observations.expand(self.size, *observations.shape[-2:])
        return seen @ self.weights.mT + self.bias

    def step(
        self,
        observations: Tensor,
        targets: Tensor,
        learning_rate: Tensor | float,
        *,
        keep_graph: bool = False,
    ) -> Self:
        """After their one step; see :meth:`.population.Population.step`."""
        gain = self.network.initialization.hidden_gain ** (2 * len(self.network.hidden_sizes))
        with torch.set_grad_enabled(keep_graph):
            rate = learning_rate * 2 / targets.numel()
            weights, bias = rate * gain * targets.mT @ observations, rate * targets.sum(0)
        return dataclasses.replace(self, weights=weights, bias=bias)

    def is_finite(self) -> bool:
        """Whether every weight is a finite number."""
        return bool(self.weights.isfinite().all() and self.bias.isfinite().all())


Learners = Mixture | LimitPopulation
"""What takes the step in a distillation."""
