"""What counts as a policy: any ``nn.Module`` from observations to outputs, or SB3's actor-critics.

Outputs are logits (categorical task) or action means (gaussian task).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

from gymnasium import spaces
from torch import Tensor, nn

from distilled_envs.errors import PolicyError


def sb3_policy_for(space: spaces.Space[Any]) -> str:
    """The name of Stable-Baselines3's policy for observations: of frames its CNN, else its MLP."""
    return "CnnPolicy" if len(space.shape or ()) == 3 else "MlpPolicy"


def policy_module(policy: nn.Module | object) -> nn.Module:
    """The module that holds a policy's parameters.

    Raises:
        PolicyError: It is neither a module nor a Stable-Baselines3 actor-critic, or one whose
            actions are not its outputs.
    """
    if _is_sb3(policy, "common.base_class", "BaseAlgorithm"):
        policy = policy.policy
    if not isinstance(policy, nn.Module):
        raise PolicyError(
            f"A policy must be a torch.nn.Module or a Stable-Baselines3 model, "
            f"got {type(policy).__name__}."
        )
    is_sb3_policy = _is_sb3(policy, "common.policies", "BasePolicy")
    if is_sb3_policy and not _is_sb3(policy, "common.policies", "ActorCriticPolicy"):
        raise PolicyError(
            f"Of Stable-Baselines3's policies, the ones of PPO and A2C can be trained on a "
            f"distilled dataset, not {type(policy).__name__}."
        )
    if is_sb3_policy and policy.squash_output:
        raise PolicyError(
            "A policy's outputs are its action means as they are: make the Stable-Baselines3 model "
            "without squash_output."
        )
    return policy


def policy_outputs(policy: nn.Module | object, observations: Tensor) -> Tensor:
    """A policy's outputs at a batch of observations.

    Args:
        policy: What :func:`policy_module` accepts.
        observations: ``(n, *obs_shape)``, on the policy's device.

    Returns:
        Logits or action means ``(n, n_outputs)``.

    Raises:
        PolicyError: The policy does not take observations of this shape, or gives no tensor.
    """
    module = policy_module(policy)
    try:
        if _is_sb3(module, "common.policies", "ActorCriticPolicy"):
            features = module.extract_features(observations, module.pi_features_extractor)
            outputs = module.action_net(module.mlp_extractor.forward_actor(features))
        else:
            outputs = module(observations)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise PolicyError(
            f"{type(policy).__name__} does not take {observations.dtype} observations of shape "
            f"{tuple(observations.shape)}: {error}"
        ) from error
    if not isinstance(outputs, Tensor):
        raise PolicyError(
            f"{type(policy).__name__} must map observations to one tensor, "
            f"got {type(outputs).__name__}."
        )
    return outputs


@contextmanager
def evaluating(policy: nn.Module | object) -> Iterator[None]:
    """Evaluation mode (dropout off, batch statistics fixed) inside the block, then as before."""
    before = {each: each.training for each in policy_module(policy).modules()}
    for each in before:
        each.training = False
    try:
        yield
    finally:
        for each, training in before.items():
            each.training = training


def _is_sb3(instance: object, module: str, name: str) -> TypeGuard[Any]:
    """Whether it is an instance of a class of Stable-Baselines3, which is never imported here."""
    loaded = sys.modules.get(f"stable_baselines3.{module}")
    return loaded is not None and isinstance(instance, getattr(loaded, name))
