"""How the policies of Stable-Baselines3 and sb3-contrib are read, one class for each kind.

Neither library is ever imported here: whoever has such a policy has imported it already.
"""

import math
import sys
from typing import Any, TypeGuard, cast

import torch
from gymnasium import spaces
from torch import Tensor, nn

from distilled_envs.errors import PolicyError

_SB3, _CONTRIB = "stable_baselines3", "sb3_contrib"
SHARPNESS = 1.3
"""How much larger a mean is made before tanh than where actions are clipped.

tanh(1.3 m) is nearest to clip(m, -1, 1) in the least squares over m ~ N(0, 1.5). One step gets
with 1 / 1.15 / 1.3 / 1.5 on Hopper 650 / 978 / 3,190 / 1,069, on HalfCheetah 3,663 / 4,224 /
2,631 / 532, on Walker2d 1,416 / 2,242 / 2,951 / 2,441 (tanh layers of 256, 8 networks): on average
45 / 60 / 79 / 39% of what the same networks get clipped.
"""
_TRAINABLE = "PPO, A2C, TRPO, MaskablePPO, DQN, QR-DQN, SAC, TQC, TD3 and DDPG"


class PlainPolicy:
    """Any module: its outputs are what it gives, and all of it is trained.

    Args:
        module: It.

    Attributes:
        module: The whole policy.
        actor: What of it makes the outputs.
    """

    def __init__(self, module: nn.Module):
        self.module = self.actor = module

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What of the actor requires a gradient."""
        return [p for p in self.actor.parameters() if p.requires_grad]

    @property
    def explores_by_sde(self) -> bool:
        """Whether deviations depend on the state."""
        return bool(getattr(self.actor, "use_sde", False))

    def outputs(self, observations: Tensor) -> Tensor:
        """Logits, or actions in the environment's units, ``(n, n_outputs)``."""
        return self.actor(observations)

    def regressed(self, observations: Tensor) -> Tensor:
        """What a step regresses on :meth:`regression_targets`, ``(n, n_outputs)``."""
        return self.outputs(observations)

    def regression_targets(self, targets: Tensor) -> Tensor:
        """A dataset's targets ``(n, n_outputs)`` in the terms of :meth:`regressed`."""
        return targets

    def reachable(self, targets: Tensor) -> Tensor:
        """The outputs that are nearest to a dataset's targets ``(n, n_outputs)``."""
        return targets

    def finish(self, target_log_std: Tensor | None) -> None:
        """After training: give it the deviations ``(n_outputs,)``, and update what copies it."""
        log_std = getattr(self.module, "log_std", None)
        if target_log_std is not None and isinstance(log_std, nn.Parameter):
            log_std.copy_(target_log_std)


class ActorCritic(PlainPolicy):
    """PPO, A2C, TRPO, MaskablePPO: the action net's logits or means; the critic stays as it is."""

    def outputs(self, observations: Tensor) -> Tensor:
        """Logits or means."""
        policy = cast(Any, self.module)
        # Not the actor-critic's own method, which extracts the critic's features as well.
        extract = sys.modules[f"{_SB3}.common.policies"].BasePolicy.extract_features
        features = extract(policy, observations, policy.pi_features_extractor)
        return policy.action_net(policy.mlp_extractor.forward_actor(features))


class QValues(PlainPolicy):
    """DQN: Q-values are logits at temperature 1; afterwards the target network is a copy."""

    online, target = "q_net", "q_net_target"

    def __init__(self, module: nn.Module):
        super().__init__(module)
        self.actor = getattr(module, self.online)

    def finish(self, target_log_std: Tensor | None) -> None:
        """Copy the online network, so that RL goes on from consistent values."""
        getattr(self.module, self.target).load_state_dict(self.actor.state_dict())


class Quantiles(QValues):
    """QR-DQN: means over its N quantiles are logits at temperature 1 / sqrt(N).

    Each quantile gets 1/N of the mean's gradient: at temperature 1 a step would move the mean by
    1/N of what it moves a single output, and N is 200. The mean of N rows of random weights, times
    sqrt(N), has the size of one row, and a step moves it as it does one output.
    """

    online, target = "quantile_net", "quantile_net_target"

    def outputs(self, observations: Tensor) -> Tensor:
        """Means over quantiles, times sqrt(N)."""
        quantiles = self.actor(observations)
        return quantiles.mean(1) * math.sqrt(quantiles.shape[1])


class SquashedPolicy(PlainPolicy):
    """SAC, TQC, TD3, DDPG: the action is tanh of a mean, from -1 to 1 rescaled to the Box.

    A step regresses the mean before tanh on :data:`SHARPNESS` times the target in units of the Box.
    Targets are not clipped, and not turned by atanh: a step on rows gives weighted sums of targets,
    and half of Hopper's lie beyond 1.9 where the Box ends at 1. With atanh of clipped targets it
    gets 17 instead of 3,190.
    """

    def __init__(self, module: nn.Module):
        super().__init__(module)
        self.actor = cast(nn.Module, module.actor)

    def outputs(self, observations: Tensor) -> Tensor:
        """Actions in the environment's units, within the Box."""
        middle, half = self._box(observations.device)
        return middle + half * self.regressed(observations).tanh()

    def regression_targets(self, targets: Tensor) -> Tensor:
        """In units of the Box, where its bounds are -1 and 1, times :data:`SHARPNESS`."""
        middle, half = self._box(targets.device)
        return SHARPNESS * (targets - middle) / half

    def reachable(self, targets: Tensor) -> Tensor:
        """Within the Box."""
        middle, half = self._box(targets.device)
        return targets.clamp(middle - half, middle + half)

    def _box(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The Box's middle and half its width, ``(n_outputs,)`` each."""
        space = cast(spaces.Box, self.actor.action_space)
        low, high = (torch.as_tensor(bound, device=device) for bound in (space.low, space.high))
        return (low + high) / 2, (high - low) / 2


class SquashedGaussian(SquashedPolicy):
    """SAC, TQC: means, and deviations that training leaves the same everywhere."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Those of the means."""
        deviations = {id(p) for p in self._deviations.parameters()}
        return [p for p in super().parameters if id(p) not in deviations]

    @property
    def explores_by_sde(self) -> bool:
        """Whether deviations depend on the state by gSDE."""
        return bool(self.actor.use_sde)

    def regressed(self, observations: Tensor) -> Tensor:
        """Means before tanh."""
        return cast(Any, self.actor).get_action_dist_params(observations)[0]

    def finish(self, target_log_std: Tensor | None) -> None:
        """The dataset's deviations, in units of the Box."""
        if target_log_std is not None:
            bias = self._deviations.bias
            half = self._box(bias.device)[1]
            self._deviations.weight.zero_()
            bias.copy_(target_log_std.to(bias.device) - half.log())

    @property
    def _deviations(self) -> nn.Linear:
        return cast(nn.Linear, self.actor.log_std)


class SquashedMean(SquashedPolicy):
    """TD3, DDPG: the mean alone; afterwards the target actor is a copy."""

    def regressed(self, observations: Tensor) -> Tensor:
        """What the actor's last module, tanh, is given."""
        actor = cast(Any, self.actor)
        return actor.mu[:-1](actor.extract_features(observations, actor.features_extractor))

    def finish(self, target_log_std: Tensor | None) -> None:
        """Copy the actor, so that RL goes on from consistent actions."""
        cast(nn.Module, self.module.actor_target).load_state_dict(self.actor.state_dict())


_KINDS: tuple[tuple[str, str, type[PlainPolicy]], ...] = (
    (f"{_SB3}.common.policies", "ActorCriticPolicy", ActorCritic),
    (f"{_CONTRIB}.common.maskable.policies", "MaskableActorCriticPolicy", ActorCritic),
    (f"{_SB3}.dqn.policies", "DQNPolicy", QValues),
    (f"{_CONTRIB}.qrdqn.policies", "QRDQNPolicy", Quantiles),
    (f"{_SB3}.sac.policies", "SACPolicy", SquashedGaussian),
    (f"{_CONTRIB}.tqc.policies", "TQCPolicy", SquashedGaussian),
    (f"{_SB3}.td3.policies", "TD3Policy", SquashedMean),  # DDPG's, too
)
_RECURRENT = f"{_CONTRIB}.common.recurrent.policies", "RecurrentActorCriticPolicy"


def is_sb3_model(policy: object) -> TypeGuard[Any]:
    """Whether it is an algorithm of Stable-Baselines3 or sb3-contrib, with a policy inside."""
    return _is_instance(policy, f"{_SB3}.common.base_class", "BaseAlgorithm")


def is_sb3_policy(policy: object) -> TypeGuard[Any]:
    """Whether it is a policy of Stable-Baselines3 or sb3-contrib."""
    return _is_instance(policy, f"{_SB3}.common.policies", "BasePolicy")


def inside_model(policy: object) -> object:
    """The policy of a model, and SB3's own where torch.compile is around it; else what is given.

    Compiled is only ``forward``, which of SB3's policies samples actions and is not what is
    trained.
    """
    inside = policy.policy if is_sb3_model(policy) else policy
    compiled = getattr(inside, "_orig_mod", None)
    return compiled if is_sb3_policy(compiled) else inside


def normalizer_of(policy: object) -> Any:
    """The VecNormalize through which a model sees observations; None where it sees them as is."""
    around = policy.get_vec_normalize_env() if is_sb3_model(policy) else None
    return around if around is not None and around.norm_obs else None


def is_recurrent(policy: object) -> bool:
    """Whether it is a policy of RecurrentPPO."""
    return _is_instance(policy, *_RECURRENT)


def read_sb3_policy(policy: Any, name: str) -> PlainPolicy:
    """A policy as one of the kinds above.

    Args:
        policy: One for which :func:`is_sb3_policy` holds.
        name: What the user gave, for errors.

    Raises:
        PolicyError: It is of no kind that a dataset can train.
    """
    if is_recurrent(policy):
        raise PolicyError(
            f"{name} is recurrent, and the rows of a distilled dataset are single observations "
            "without a past: train a policy without memory, such as PPO's."
        )
    kinds = (kind for module, known, kind in _KINDS if _is_instance(policy, module, known))
    kind = next(kinds, None)
    if kind is None:
        raise PolicyError(
            f"Of Stable-Baselines3's and sb3-contrib's policies, the ones of {_TRAINABLE} can be "
            f"trained on a distilled dataset, not {name}."
        )
    if kind is ActorCritic and policy.squash_output:
        raise PolicyError(
            f"A dataset trains the means of {name} as its actions: make the Stable-Baselines3 "
            "model without squash_output."
        )
    return kind(policy)


def shares_our_outputs(policy: Any) -> bool:
    """Whether a policy of SB3 is an actor-critic whose actions are its outputs."""
    if is_recurrent(policy) or policy.squash_output:
        return False
    return any(
        kind is ActorCritic and _is_instance(policy, module, name) for module, name, kind in _KINDS
    )


def _is_instance(instance: object, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(instance, getattr(loaded, name))
