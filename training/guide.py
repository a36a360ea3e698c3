"""A guide: one network that lasts, leads a run at first, and then teaches learners what it knows.

Through the step of a fresh learner the policy gradient of a game says little. A guide stands behind
the learners' encoder in their place, and is trained by ordinary PPO, while learners follow its
answers (Rusu et al., "Policy Distillation", arXiv 1511.06295). When it gives way, the encoder goes
to the learners, and the guide keeps a copy, so that its answers stay what they were.
"""

import copy

import torch
from torch import Tensor, nn

TEACHING = 100.0
"""Weight of the guide's answers when learners begin to lead, which falls to 0. With a tenth of it
what rewards say through their step, mostly noise, is soon as strong."""


class Guide(nn.Module):
    """A guide, which leads until it is told otherwise.

    Args:
        network: From features to outputs, like a learner.
        encoder: The layers before it, which the run goes on to train.
        critic: The run's, which judges those features.

    Attributes:
        network: From features to outputs.
        kept: The encoder and the critic as they were when the guide gave way.
    """

    def __init__(self, network: nn.Sequential, encoder: nn.Sequential, critic: nn.Sequential):
        super().__init__()
        self.network = network
        self.kept = nn.ModuleList(copy.deepcopy([encoder, critic])).requires_grad_(False)
        self.register_buffer("leading", torch.tensor(True))

    def lead(self, leading: bool, encoder: nn.Sequential, critic: nn.Sequential) -> None:
        """Give way to learners, or lead again, where a run has been made longer.

        Args:
            leading: Whether it leads from now on; so far it was the other way.
            encoder: The run's, kept when the guide gives way and put back when it returns.
            critic: The same.
        """
        for own, run in zip(self.kept, (encoder, critic), strict=True):
            source, target = (own, run) if leading else (run, own)
            target.load_state_dict(source.state_dict())
        self.leading.fill_(leading)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs ``(L, n, n_outputs)`` of features ``(L, n, ...)``."""
        return self.network(features.flatten(0, 1)).unflatten(0, features.shape[:2])
