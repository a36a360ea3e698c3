"""The layers that a policy really uses, in the order in which they are used."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from distilled_envs.learners.policies import policy_module, policy_outputs

Weighted = nn.Linear | nn.Conv2d


class UsedLayer(NamedTuple):
    """A layer, with what it was shown."""

    layer: Weighted
    inputs: Tensor


def used_layers(policy: nn.Module | object, observations: Tensor) -> list[UsedLayer]:
    """The linear layers and convolutions that make a policy's outputs, in order.

    Found by watching one forward pass, so that layers of any module and of any
    Stable-Baselines3 policy are found, and a critic's are not.

    Args:
        policy: What :func:`.policies.policy_module` accepts.
        observations: ``(n, *obs_shape)``, on the CPU.

    Returns:
        The layers, each with its inputs ``(n, ...)``, without gradients.

    Raises:
        PolicyError: The policy does not take these observations.
    """
    module = policy_module(policy)
    used: list[UsedLayer] = []

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        used.append(UsedLayer(cast(Weighted, layer), inputs[0].detach()))

    hooks = [
        each.register_forward_hook(watch)
        for each in module.modules()
        if isinstance(each, nn.Linear | nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            policy_outputs(policy, like_parameters(module, observations))
    finally:
        for hook in hooks:
            hook.remove()
    return used


def like_parameters(module: nn.Module, observations: Tensor) -> Tensor:
    """Observations on the device, and in the precision, of a module's parameters.

    Whole numbers among these, such as an order of inputs, have none.
    """
    numbers = (each for each in module.parameters() if each.is_floating_point())
    parameter = next(numbers, next(module.parameters(), torch.empty(0)))
    return observations.to(parameter.device, parameter.dtype)


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """Put parameters and buffers back as they were, whatever happens."""
    state = [*module.parameters(), *module.buffers()]
    before = [value.detach().clone() for value in state]
    try:
        yield
    finally:
        with torch.no_grad():
            for value, old in zip(state, before, strict=True):
                value.copy_(old)
