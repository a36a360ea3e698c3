"""Learning what differs between frames before what does not.

What games show and what ReLU passes on is positive and hardly changes from frame to frame, so that
a weight's gradient tells mostly how all frames should be answered alike. It is mostly noise, it has
the same sign for all weights of a unit, and Adam follows it until features of all frames are the
same. With inputs minus their mean, weights learn what differs between frames, and the bias what
does not (Schraudolph, "Centering Neural Network Gradient Factors", 1998).
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

ALIKE = 0.1
"""What is left of the gradient that all frames share."""


class Centred(nn.Module):
    """A linear layer or a convolution without padding, the same function of its inputs.

    Args:
        layer: The layer, which is changed; it is around 0 until :meth:`centre` is called.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d):
        super().__init__()
        self.layer = layer
        self.register_buffer("mean", layer.weight.new_zeros(layer.weight.shape[1]))

    @torch.no_grad()
    def centre(self, inputs: Tensor) -> None:
        """Learn around the mean of ``inputs`` from now on, in a convolution that of each channel.

        Args:
            inputs: Examples of what the layer sees, ``(n, *shape)``.
        """
        self.layer.bias -= self._answer_to_mean()
        self.mean = inputs.mean([d for d in range(inputs.dim()) if d != 1])
        self.layer.bias += self._answer_to_mean()

    def forward(self, inputs: Tensor) -> Tensor:
        """What the layer makes of ``(n, *shape)``."""
        if torch.is_autocast_enabled(inputs.device.type):  # rounded, the difference below is lost
            return self.layer(inputs - self.mean.view(-1, *[1] * (inputs.dim() - 2)))
        weight, bias = self.layer.weight, self.layer.bias - self._answer_to_mean()
        if isinstance(self.layer, nn.Linear):
            return functional.linear(inputs, weight, bias)
        return functional.conv2d(inputs, weight, bias, self.layer.stride)

    @torch.no_grad()
    def plain(self) -> nn.Linear | nn.Conv2d:
        """The layer by itself, as a copy."""
        layer = copy.deepcopy(self.layer)
        layer.bias -= self._answer_to_mean()
        return layer

    def _answer_to_mean(self) -> Tensor:
        weight = self.layer.weight
        return (weight.sum((2, 3)) if weight.dim() == 4 else weight) @ self.mean


def centred(network: nn.Sequential) -> nn.Sequential:
    """A network of the same outputs, whose layers are :class:`Centred`; it takes them over."""
    return nn.Sequential(*(Centred(part) if hasattr(part, "weight") else part for part in network))


@torch.no_grad()
def centre(network: nn.Sequential, inputs: Tensor) -> Tensor:
    """Centre a network's layers: what they see moves as those before them learn.

    Args:
        network: Made by :func:`centred`; its outputs stay.
        inputs: Examples of what it sees now, ``(n, *shape)``.

    Returns:
        Its outputs.
    """
    for layer in network:
        if isinstance(layer, Centred):
            layer.centre(inputs)
        inputs = layer(inputs)
    return inputs


def plain(network: nn.Sequential) -> nn.Sequential:
    """A copy of a centred network with ordinary layers."""
    return nn.Sequential(*(part.plain() if isinstance(part, Centred) else part for part in network))


def alike_slowly(values: Tensor) -> Tensor:
    """The same values ``(L, n, ...)``; of their gradient's mean only :data:`ALIKE` is left.

    Applied to the answers that rewards teach it slows what changes them all alike; learners are
    trained from scratch, so that their own weights can't be centred. What another's answers teach
    is not slowed: an error that all frames share would grow faster than it is mended.
    Applied to the features that the critic sees it keeps shared layers from the mean error of its
    values, which outweighed all else that they are to learn.
    """
    mean = values.mean((0, 1))
    return values - (1 - ALIKE) * (mean - mean.detach())
