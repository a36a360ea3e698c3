"""One step of gradient descent on a distilled batch, for any policy, in place.

A whole population takes the same step in :meth:`.population.Population.step`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distilled_envs.errors import PolicyError
from distilled_envs.learners.layers import like_parameters, used_layers
from distilled_envs.learners.policies import (
    check_gradient,
    finish_training,
    policy_module,
    policy_regression,
    read_policy,
)


@dataclass(frozen=True)
class StepSize:
    """How long a network's one step is, in units of the dataset's inner learning rate.

    Attributes:
        weights: Of all parameters but one.
        output_bias: Of the output layer's bias. Its share of a step is the same in every network,
            while that of the weights depends on depth and gains. Below 0 it takes back what a
            constant among the hidden features adds, such as ReLU's.
    """

    weights: float = 1.0
    output_bias: float = 1.0


PLAIN = StepSize()


def inner_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error over rows and outputs: ``(..., k, n_outputs)`` to ``(...)``.

    >>> inner_loss(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    tensor(1.)
    """
    return (outputs - targets).square().mean((-2, -1))


def trainable(
    policy: nn.Module | object, parameters: list[nn.Parameter] | None
) -> list[nn.Parameter]:
    """What a step trains of a policy, after a check that it can.

    Args:
        policy: What :func:`.policies.read_policy` accepts.
        parameters: What of it is trained; None for all that makes its outputs.

    Raises:
        PolicyError: It has nothing to train, there can be no gradients, or it explores by gSDE.
    """
    kind = read_policy(policy)
    if kind.explores_by_sde:
        raise PolicyError(
            f"{type(policy).__name__} explores by gSDE, whose deviations depend on the state, and "
            "the dataset has one for each action dimension: make it without use_sde."
        )
    if parameters is None:
        parameters = kind.parameters
    if not parameters:
        raise PolicyError(f"{type(policy).__name__} has no parameters that require a gradient.")
    if torch.is_inference_mode_enabled() or any(p.is_inference() for p in parameters):
        raise PolicyError(
            "A step needs gradients, which torch.inference_mode rules out: make and train the "
            "policy outside of it."
        )
    return parameters


def train_one_step(
    policy: nn.Module | object,
    observations: Tensor,
    targets: Tensor,
    learning_rate: float,
    target_log_std: Tensor | None = None,
    parameters: list[nn.Parameter] | None = None,
    size: StepSize = PLAIN,
) -> None:
    """One SGD step of any policy on the distilled batch, in place.

    Args:
        policy: A module that maps observations ``(k, *shape)`` to outputs ``(k, n_outputs)``, or
            a model or policy of Stable-Baselines3 or sb3-contrib, by the rules of
            :mod:`.policies`.
        observations: Distilled observations ``(k, *shape)``.
        targets: Distilled targets ``(k, n_outputs)``.
        learning_rate: The inner learning rate.
        target_log_std: Log standard deviations ``(n_outputs,)`` of a gaussian task: set on a policy
            that has a ``log_std``, as Stable-Baselines3's do.
        parameters: What of the policy is trained; None for all that requires a gradient.
        size: Factors on the learning rate.

    Raises:
        PolicyError: The policy does not take these observations, its outputs don't have the
            targets' shape, it has nothing to train, there can be no gradients, or the step would
            make it non-finite.
    """
    module, parameters = policy_module(policy), trainable(policy, parameters)
    seen = like_parameters(module, observations)
    output_bias = None
    if size.output_bias != size.weights:
        trained = {id(each) for each in parameters}
        used = [layer for layer, _ in used_layers(policy, observations[:1])]
        biases = [layer.bias for layer in used if id(layer.weight) in trained]
        output_bias = biases[-1] if biases else None
    with torch.enable_grad():
        outputs, wanted = policy_regression(policy, seen, targets.to(seen))
        check_gradient(policy, outputs)
        loss = inner_loss(outputs, wanted)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        # SB3's critic gets no gradient: only what makes the outputs is trained.
        stepped = [
            (
                parameter,
                parameter
                - learning_rate
                * (size.output_bias if parameter is output_bias else size.weights)
                * gradient,
            )
            for parameter, gradient in zip(parameters, gradients, strict=True)
            if gradient is not None
        ]
        if not all(value.isfinite().all() for _, value in stepped):
            raise PolicyError(
                f"The step would make {type(policy).__name__} not finite, so it was left as it "
                "was: check its parameters for NaN or infinity, and the inner learning rate "
                f"({learning_rate:g})."
            )
        for parameter, value in stepped:
            parameter.copy_(value)
    finish_training(policy, target_log_std)
