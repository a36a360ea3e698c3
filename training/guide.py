"""A guide: one network that lasts, leads a run at first, and then teaches learners what it knows.

Through the step of a fresh learner the policy gradient of a game says little. A guide stands behind
the learners' encoder in their place, and is trained by ordinary PPO, while learners follow its
answers (Rusu et al., "Policy Distillation", arXiv 1511.06295). When it gives way, the encoder goes
to the learners, and the guide keeps a copy, so that it still answers as it did.
"""

import copy

import torch
from torch import Tensor, nn

FOLLOWING = 10.0
"""Weight of following the guide when learners begin to lead; it falls to 0 as their rates do. With
less of it, what rewards say through their step, mostly noise, leads them away at once."""


class Guide(nn.Module):
    """A guide, which leads until it is told otherwise.

    Args:
        network: From features to outputs, like a learner.
        encoder: The layers before it, which the run goes on to train.
    """

    def __init__(self, network: nn.Sequential, encoder: nn.Sequential):
        super().__init__()
        self.network, self._encoder = network, copy.deepcopy(encoder)
        self.register_buffer("leading", torch.tensor(True))

    def lead(self, leading: bool, encoder: nn.Sequential) -> None:
        """Give way to learners, or lead again, where a run has been made longer.

        Args:
            leading: Whether it leads from now on.
            encoder: The run's, kept when the guide gives way and put back when it returns.
        """
        if self.leading and not leading:
            self._encoder.load_state_dict(encoder.state_dict())
        elif leading and not self.leading:
            encoder.load_state_dict(self._encoder.state_dict())
        self.leading.fill_(leading)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs ``(L, n, n_outputs)`` of features ``(L, n, ...)`` while it leads."""
        return self.network(features.flatten(0, 1)).unflatten(0, features.shape[:2])

    def advice(self, observations: Tensor) -> Tensor:
        """Outputs ``(n, n_outputs)`` of observations ``(n, *shape)`` since it gave way."""
        return self.network(self._encoder(observations.to(self.leading.device)))
