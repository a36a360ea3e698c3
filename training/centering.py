"""Gradient centering for networks on game frames.

Pixels, and features behind ReLU, are positive and hardly change from frame to frame. A weight's
gradient is then dominated by one direction, which moves the outputs for all frames together. That
part is mostly noise and has the same sign for all weights of a unit; Adam follows it until the
features of all frames are the same. A layer that sees its inputs minus their mean learns in its
weights what differs between frames, and in its bias what all share (Schraudolph, "Centering Neural
Network Gradient Factors", 1998).
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from distilled_envs.training.distributed import average

SHARED_GRADIENT = 0.1
"""Factor on the gradient that all frames share."""


class Centered(nn.Module):
    """A linear layer or a convolution without padding, parameterized around a mean input.

    It computes ``weight @ (x - mean) + bias``. Changing the mean with :meth:`center` corrects the
    bias, so that outputs stay as they are, and only gradients change.

    Args:
        layer: The layer, which is taken over and changed. Its mean starts at 0.

    Attributes:
        mean: Of the inputs ``(features,)``, of a convolution one for each channel.
    """

    mean: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d):
        super().__init__()
        self.layer = layer
        self.register_buffer("mean", layer.weight.new_zeros(layer.weight.shape[1]))

    @torch.no_grad()
    def center(self, inputs: Tensor) -> None:
        """Take the mean of these inputs from now on; outputs stay as they are.

        Args:
            inputs: Examples of what the layer sees, ``(n, *shape)``.
        """
        bias = self.layer.bias
        assert bias is not None
        bias.sub_(self._output_of_mean())
        self.mean = average(inputs.mean([d for d in range(inputs.dim()) if d != 1]))
        bias.add_(self._output_of_mean())

    def forward(self, inputs: Tensor) -> Tensor:
        """The layer's outputs for ``(n, *shape)``."""
        assert self.layer.bias is not None
        if torch.is_autocast_enabled(inputs.device.type):
            # In bfloat16 the shorter way below, a difference of two large biases, loses its digits.
            return self.layer(inputs - self.mean.view(-1, *[1] * (inputs.dim() - 2)))
        weight, bias = self.layer.weight, self.layer.bias - self._output_of_mean()
        if isinstance(self.layer, nn.Linear):
            return functional.linear(inputs, weight, bias)
        return functional.conv2d(inputs, weight, bias, self.layer.stride)

    @torch.no_grad()
    def plain(self) -> nn.Linear | nn.Conv2d:
        """An ordinary layer of the same outputs, as a copy."""
        layer = copy.deepcopy(self.layer)
        assert layer.bias is not None
        layer.bias.sub_(self._output_of_mean())
        return layer

    def _output_of_mean(self) -> Tensor:
        weight = self.layer.weight
        return (weight.sum((2, 3)) if weight.dim() == 4 else weight) @ self.mean


def centered(network: nn.Sequential) -> nn.Sequential:
    """A network of the same outputs, whose layers are :class:`Centered`; it takes them over."""
    layers = nn.Linear, nn.Conv2d
    return nn.Sequential(
        *(Centered(part) if isinstance(part, layers) else part for part in network)
    )


@torch.no_grad()
def center(network: nn.Sequential, inputs: Tensor) -> Tensor:
    """Center each layer of a network anew, on its inputs as they are now.

    Args:
        network: Made by :func:`centered`. Its outputs stay as they are.
        inputs: Examples of the network's inputs ``(n, *shape)``.

    Returns:
        The network's outputs for them.
    """
    for layer in network:
        if isinstance(layer, Centered):
            layer.center(inputs)
        inputs = layer(inputs)
    return inputs


def plain(network: nn.Sequential) -> nn.Sequential:
    """A copy of a centered network with ordinary layers."""
    return nn.Sequential(
        *(part.plain() if isinstance(part, Centered) else part for part in network)
    )


def damp_shared_gradient(values: Tensor) -> Tensor:
    """The same values ``(L, n, ...)``, the mean of their gradient times :data:`SHARED_GRADIENT`.

    Meta-PPO applies it to the outputs in PPO's loss, since learners start afresh in each iteration
    and can't be centered themselves. It does not apply it to outputs that imitate a teacher, whose
    shared error has to be corrected at full speed.
    It applies it also to the features that the critic sees: the mean error of its values, the same
    for all frames, outweighed everything else that the encoder was to learn.
    """
    mean = values.mean((0, 1))
    return values - (1 - SHARED_GRADIENT) * (mean - mean.detach())
