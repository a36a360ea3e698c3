"""What counts as a policy, and by which rule its outputs are read and trained.

Outputs are logits (categorical task), or actions in the environment's units (gaussian task):

| policy | outputs | what a step regresses on the targets | after training |
|---|---|---|---|
| any ``nn.Module`` | what it gives | the same | its parameter ``log_std``, if any, is set |
| PPO, A2C, TRPO, MaskablePPO | logits or means | the same | ``log_std`` is set |
| DQN | Q-values: logits at temperature 1 | the same | the target network is a copy |
| QR-DQN | means over N quantiles, times sqrt(N) | the same | the target network is a copy |
| SAC, TQC | tanh(mean), rescaled to the Box | means before tanh | deviations are set |
| TD3, DDPG | as SAC | as SAC | the target actor is a copy |

The deviations of SAC and TQC become those of the dataset in units of the Box, the same everywhere:
weights 0 and a bias. Recurrent policies, gSDE and ``squash_output`` of PPO are refused.

The likeliest action is the same by outputs and by SB3's ``predict(deterministic=True)``.

The mean before tanh is regressed on targets in units of the Box, times 1.3 and not clipped: see
:class:`~distilled_envs.learners.sb3_policies.SquashedPolicy`. That is for the one step. What is
trained to convergence has outputs of its own to fit, :func:`policy_outputs` to actions in the Box.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from distilled_envs.errors import PolicyError
from distilled_envs.formatting import in_a_line
from distilled_envs.learners.networks import ACTIVATIONS
from distilled_envs.learners.sb3_policies import (
    PlainPolicy,
    inside_model,
    is_sb3_policy,
    read_sb3_policy,
)
from distilled_envs.spec import LearnerSpec


def sb3_policy_for(space: spaces.Space[Any]) -> str:
    """The name of Stable-Baselines3's policy for observations: of frames its CNN, else its MLP."""
    return "CnnPolicy" if len(space.shape or ()) == 3 else "MlpPolicy"


def sb3_policy_kwargs(learner: LearnerSpec) -> dict[str, Any]:
    """What makes networks of Stable-Baselines3 like those that a dataset was distilled for.

    >>> sb3_policy_kwargs(LearnerSpec())
    {'net_arch': [64, 64], 'activation_fn': <class 'torch.nn.modules.activation.Tanh'>}
    """
    sizes = list(learner.hidden_sizes)
    if learner.architecture == "nature-cnn":  # SB3's CnnPolicy has the convolutions
        return {"net_arch": [], "features_extractor_kwargs": {"features_dim": sizes[0]}}
    return {"net_arch": sizes, "activation_fn": ACTIVATIONS[learner.activation][0]}


def read_policy(policy: nn.Module | object) -> PlainPolicy:
    """A policy as one of the kinds of the table above.

    Raises:
        PolicyError: It is neither a module nor a model or policy of Stable-Baselines3 or
            sb3-contrib, or one that a dataset can't train; or its parameters hold no numbers.
    """
    module, name = inside_model(policy), type(policy).__name__
    if not isinstance(module, nn.Module):
        raise PolicyError(
            f"A policy must be a torch.nn.Module or a Stable-Baselines3 model, got {name}."
        )
    for key, parameter in module.named_parameters():
        if parameter.is_meta:
            raise PolicyError(
                f"{name}'s parameter {key} is on torch's meta device, which holds no numbers: make "
                "the policy on a real one."
            )
    if is_sb3_policy(module):
        return read_sb3_policy(module, name)
    return PlainPolicy(module)


def policy_module(policy: nn.Module | object) -> nn.Module:
    """The module that holds all of a policy, its critics and targets too.

    Raises:
        PolicyError: As :func:`read_policy`.
    """
    return read_policy(policy).module


def policy_parameters(policy: nn.Module | object) -> list[nn.Parameter]:
    """What makes a policy's outputs and requires a gradient.

    Of an actor-critic it may hold the critic's parameters, which get no gradient from the outputs.

    Raises:
        PolicyError: As :func:`read_policy`.
    """
    return read_policy(policy).parameters


def policy_outputs(policy: nn.Module | object, observations: Tensor) -> Tensor:
    """A policy's outputs at a batch of observations.

    Args:
        policy: What :func:`read_policy` accepts.
        observations: ``(n, *obs_shape)``, on the policy's device.

    Returns:
        Logits, or actions in the environment's units, ``(n, n_outputs)``.

    Raises:
        PolicyError: The policy does not take observations of this shape, or gives no tensor.
    """
    return _called(policy, read_policy(policy).outputs, observations)


def policy_regression(
    policy: nn.Module | object, observations: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """What the one step on rows compares: for most policies outputs and targets as they are.

    Args:
        policy: What :func:`read_policy` accepts.
        observations: ``(n, *obs_shape)``, on the policy's device.
        targets: ``(n, n_outputs)``, on the policy's device.

    Returns:
        Both in the terms of the table above, ``(n, n_outputs)`` each if the policy fits.

    Raises:
        PolicyError: The policy does not take observations of this shape, gives no tensor, or has
            another number of outputs.
    """
    kind = read_policy(policy)
    regressed = _called(policy, kind.regressed, observations)
    if regressed.shape != targets.shape:
        raise PolicyError(
            f"{type(policy).__name__} maps the observations {tuple(observations.shape)} to "
            f"outputs of shape {tuple(regressed.shape)}, but the targets have shape "
            f"{tuple(targets.shape)}: the policy needs {targets.shape[-1]} outputs."
        )
    return regressed, kind.regression_targets(targets)


@torch.no_grad()
def finish_training(policy: nn.Module | object, target_log_std: Tensor | None) -> None:
    """Set deviations and target networks as the table above says, once the outputs are trained.

    Args:
        policy: What :func:`read_policy` accepts.
        target_log_std: Log standard deviations ``(n_outputs,)`` of a gaussian task, in the
            environment's units; None leaves the policy's own.
    """
    read_policy(policy).finish(target_log_std)


def check_gradient(policy: nn.Module | object, outputs: Tensor) -> None:
    """Refuse outputs that were made with gradients on, and yet have none.

    Raises:
        PolicyError: They are such.
    """
    if not outputs.requires_grad:
        raise PolicyError(
            f"{type(policy).__name__} gives outputs without gradients, as under torch.no_grad, "
            "torch.inference_mode or detach in its forward: training needs them."
        )


def _called(policy: object, outputs: Any, observations: Tensor) -> Tensor:
    """Outputs, where any failure names the policy that was given."""
    try:
        given = outputs(observations)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise PolicyError(
            f"{type(policy).__name__} does not take {observations.dtype} observations of shape "
            f"{tuple(observations.shape)}: {in_a_line(error)}"
        ) from error
    if not isinstance(given, Tensor):
        raise PolicyError(
            f"{type(policy).__name__} must map observations to one tensor, "
            f"got {type(given).__name__}."
        )
    if not given.is_floating_point():
        raise PolicyError(
            f"{type(policy).__name__} gives outputs of {given.dtype}, and they must be real "
            "numbers of a floating-point type."
        )
    return given


@contextmanager
def evaluating(module: nn.Module | None) -> Iterator[None]:
    """Evaluation mode (dropout off, batch statistics fixed) inside the block, then as before."""
    before = {} if module is None else {each: each.training for each in module.modules()}
    for each in before:
        each.training = False
    try:
        yield
    finally:
        for each, training in before.items():
            each.training = training
