"""A population: L networks side by side, so that one batched matrix product serves them all.

Parameters keep the names of the single network's ``state_dict`` and gain a leading dimension L.
Convolutions go one network after the other: grouped ones are slower.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from distilled_envs.learners.networks import ACTIVATIONS, CONVOLUTIONS, draw_parameters
from distilled_envs.learners.one_step import inner_loss
from distilled_envs.spec import LearnerSpec, TaskSpec


@dataclass(frozen=True)
class Population:
    """L networks of one architecture, before or after their one step.

    Attributes:
        network: Their architecture.
        parameters: Weights ``(L, out, in)`` or ``(L, out, in, k, k)``, biases ``(L, out)``.
    """

    network: LearnerSpec
    parameters: dict[str, Tensor]

    @classmethod
    def draw(
        cls,
        network: LearnerSpec,
        task: TaskSpec,
        size: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Fresh networks.

        Args:
            network: Architecture and initialization.
            task: Its observation shape and number of outputs.
            size: Number of networks L.
            generator: Source of randomness, on the CPU; None takes torch's global one.
            device: Where the networks are put.
        """
        drawn = draw_parameters(network, task.observation_shape, task.n_outputs, size, generator)
        return cls(network, {name: value.to(device) for name, value in drawn.items()})

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))

    @property
    def input_dim(self) -> int:
        """Dimensions of one input: 1 of numbers, 3 of an image."""
        return next(iter(self.parameters.values())).dim() - 2

    def __call__(self, observations: Tensor) -> Tensor:
        """Outputs of every network.

        Args:
            observations: ``(L, n, *shape)``, or ``(n, *shape)`` to show all of them the same, where
                shape is that of an observation, or of an encoder's features.

        Returns:
            Outputs ``(L, n, n_outputs)``.
        """
        activation = ACTIVATIONS[self.network.activation][1]
        weights = [value for name, value in self.parameters.items() if name.endswith("weight")]
        biases = [value for name, value in self.parameters.items() if name.endswith("bias")]
        hidden = observations.expand(len(self), *observations.shape[-self.input_dim - 1 :])
        if self.network.architecture == "nature-cnn" and self.network.encoder_level == 0:
            hidden = hidden / 255
        strides = {size: stride for _, size, stride in CONVOLUTIONS}
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if weight.dim() == 5:
                stride, networks = strides[weight.shape[-1]], zip(hidden, weight, bias, strict=True)
                hidden = torch.stack([functional.conv2d(*each, stride) for each in networks])
            else:
                hidden = torch.baddbmm(bias.unsqueeze(1), hidden.flatten(2), weight.mT)
            if layer < len(weights) - 1:
                hidden = activation(hidden)
        return hidden

    def each_at_its_own(self, inputs: Tensor) -> Tensor:
        """Outputs ``(L, n_outputs)`` of every network at an input of its own ``(L, *shape)``."""
        return self(inputs.unsqueeze(1)).squeeze(1)

    def step(
        self,
        observations: Tensor,
        targets: Tensor,
        learning_rate: Tensor | float,
        *,
        keep_graph: bool = False,
    ) -> Self:
        """Every network after one SGD step on the distilled batch; these stay as they are.

        Args:
            observations: Distilled observations ``(k, *shape)``, behind an encoder its features.
            targets: Distilled targets ``(k, n_outputs)``.
            learning_rate: The inner learning rate.
            keep_graph: Whether the result can be differentiated with respect to observations,
                targets and learning rate (the paper's meta-gradient).
        """
        with torch.enable_grad():
            leaves = {n: value.detach().requires_grad_() for n, value in self.parameters.items()}
            # Networks don't share parameters: the sum's gradient is each one's own.
            loss = inner_loss(type(self)(self.network, leaves)(observations), targets).sum()
            gradients = torch.autograd.grad(loss, list(leaves.values()), create_graph=keep_graph)
        stepped = {
            name: value - learning_rate * gradient
            for (name, value), gradient in zip(leaves.items(), gradients, strict=True)
        }
        if not keep_graph:
            stepped = {name: value.detach() for name, value in stepped.items()}
        return type(self)(self.network, stepped)

    def is_finite(self) -> bool:
        """Whether every parameter is a finite number."""
        return all(bool(value.isfinite().all()) for value in self.parameters.values())
