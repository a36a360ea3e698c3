"""The distilled batch while it is being learned: the outer loop's parameters."""

import math

import torch
from gymnasium import spaces
from torch import Tensor, nn


class DistilledBatch(nn.Module):
    """Observations, targets and inner learning rate as parameters of the outer loop.

    Args:
        space: The environment's observation space; observations are kept inside it.
        instances: Rows k.
        n_outputs: Outputs of the learner.
        inner_learning_rate: Where the inner learning rate starts.
    """

    def __init__(
        self, space: spaces.Box, instances: int, n_outputs: int, inner_learning_rate: float
    ):
        super().__init__()
        self.observations = nn.Parameter(torch.randn(instances, *space.shape))
        self.targets = nn.Parameter(torch.randn(instances, n_outputs))
        # In log space it stays positive, and can grow a hundredfold within minutes.
        self.log_learning_rate = nn.Parameter(torch.tensor(math.log(inner_learning_rate)))
        self.register_buffer("low", torch.from_numpy(space.low), persistent=False)
        self.register_buffer("high", torch.from_numpy(space.high), persistent=False)
        self.project()

    @property
    def learning_rate(self) -> Tensor:
        """The inner learning rate."""
        return self.log_learning_rate.exp()

    @torch.no_grad()
    def project(self) -> None:
        """Put every observation back inside the environment's bounds."""
        self.observations.clamp_(self.low, self.high)
