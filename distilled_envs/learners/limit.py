"""What networks tend to as they get wide and their inputs small: linear maps, without any network.

After one step on k rows (x_j, y_j) orthogonal tanh networks of L hidden layers of gain g and A
outputs answer ``rate * 2 / (k A) * sum_j y_j (g^(2 L) <x_j, x> + 1)``, up to what their outputs
were before, tanh's curvature and the move of their hidden layers (see
:mod:`distilled_envs.training.closed_form`). That is one linear map for all of them. Each learner
here has that map with a small error of its own, as networks of a finite width have.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from distilled_envs.learners.mixture import Mixture
from distilled_envs.spec import LearnerSpec, TaskSpec

SPREAD = 0.01
"""Standard deviation of the part of each coordinate that leaks into every other one, and into the
bias. Of networks with two layers of 64 units it is 0.006 (sets of cart-pole); without any, what
solves 2-D cart-pole keeps carts near the middle by chance, and networks get 470 of 500."""


@dataclass(frozen=True)
class LimitPopulation:
    """L networks near that limit; used as a ``Population`` is.

    Attributes:
        network: The networks whose limit it is.
        leaks: What leaks from each coordinate into each, and into the bias
            ``(L, n_inputs, n_inputs + 1)``.
        weights: ``(L, n_outputs, n_inputs)``.
        bias: ``(L, 1, n_outputs)``.
    """

    network: LearnerSpec
    leaks: Tensor
    weights: Tensor
    bias: Tensor

    @classmethod
    def draw(
        cls,
        network: LearnerSpec,
        task: TaskSpec,
        size: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Networks before their step, whose outputs are 0.

        Args:
            network: Orthogonal tanh layers.
            task: Its observation shape and number of outputs.
            size: Number of networks L.
            generator: Source of randomness, on the CPU; None takes torch's global one.
            device: Where they are put.
        """
        (inputs,) = task.observation_shape
        leaks = SPREAD * torch.randn(size, inputs, inputs + 1, generator=generator).to(device)
        weights = torch.zeros(size, task.n_outputs, inputs, device=device)
        return cls(network, leaks, weights, weights[:, None, :, 0])

    def __len__(self) -> int:
        return len(self.leaks)

    def __call__(self, observations: Tensor) -> Tensor:
        """Outputs ``(L, n, n_outputs)`` for observations ``([L,] n, n_inputs)``."""
        seen = observations.expand(len(self), *observations.shape[-2:])
        return torch.baddbmm(self.bias, seen, self.weights.mT)

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
            leaked = weights @ self.leaks
            weights, bias = weights + leaked[..., :-1], bias + leaked[:, None, :, -1]
        return dataclasses.replace(self, weights=weights, bias=bias)

    def is_finite(self) -> bool:
        """Whether every weight is a finite number."""
        return bool(self.weights.isfinite().all() and self.bias.isfinite().all())


Learners = Mixture | LimitPopulation
"""What takes the step in a distillation."""
