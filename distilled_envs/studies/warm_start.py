"""Going on with RL from a one-step policy without losing it in the first updates."""

from typing import cast

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.studies.sb3 import Recipe, make_model


class CriticFirst(BaseCallback):
    """Leaves an SB3 actor-critic's policy as it is until its critic can judge it.

    One gradient step makes a policy and no critic: the first advantages would be noise, and updates
    along them undo the policy.

    Args:
        steps: Environment steps during which only the critic is trained.
    """

    def __init__(self, steps: int):
        super().__init__()
        self.steps = steps

    def _on_training_start(self) -> None:
        self._train_policy(self.num_timesteps >= self.steps)

    def _on_rollout_start(self) -> None:
        self._train_policy(self.num_timesteps >= self.steps)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._train_policy(True)

    def _train_policy(self, trained: bool) -> None:
        for parameter in _actor(cast(ActorCriticPolicy, self.model.policy)):
            parameter.requires_grad_(trained)


def slow_down(model: PPO, pace: float) -> None:
    """Let the policy take a part of each optimizer step, and the critic all of it.

    Both at a small learning rate is worse than both at a large one: a critic that lags behind the
    policy gives it wrong advantages, and the policy follows them.

    Args:
        model: An SB3 actor-critic whose policy and critic share no layers.
        pace: The part, 0 to 1.
    """
    actor = _actor(model.policy)
    before: list[Tensor] = []

    def keep(*_: object) -> None:
        before[:] = [parameter.detach().clone() for parameter in actor]

    def go_part_of_the_way(*_: object) -> None:
        with torch.no_grad():
            for parameter, start in zip(actor, before, strict=True):
                parameter.copy_(start.lerp(parameter, pace))

    model.policy.optimizer.register_step_pre_hook(keep)
    model.policy.optimizer.register_step_post_hook(go_part_of_the_way)


def _actor(policy: ActorCriticPolicy) -> list[nn.Parameter]:
    parameters = [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters()]
    log_std = getattr(policy, "log_std", None)
    return parameters if log_std is None else [*parameters, log_std]


def can_start_warm(dataset: DistilledDataset) -> bool:
    """Whether PPO can go on from its one-step policy: that of a whole network on numbers.

    SB3's CNN shares its first layers with the critic, and layers of an encoder are trained by no
    step.
    """
    return dataset.is_plain


def make_warm_model(
    dataset: DistilledDataset,
    seed: int,
    *,
    pace: float = 0.1,
    discount: float = 0.999,
    critic_steps: int = 20_000,
) -> tuple[PPO, tuple[BaseCallback, ...]]:
    """SB3's PPO with the one-step policy, set up so that learning on keeps it.

    Args:
        dataset: The distilled dataset.
        seed: Seed of networks, environments and exploration.
        pace: The policy's part of each optimizer step; see :func:`slow_down`.
        discount: Gamma. With PPO's default of 0.99 a policy that lasts is traded for one that
            hurries: Hopper then falls from 3,260 to 900.
        critic_steps: Environment steps before the policy is updated.

    Returns:
        The model, on ``dataset.make_env()`` with normalized rewards and otherwise PPO's default
        settings, and callbacks for ``model.learn``.

    Raises:
        SettingsError: The dataset is none for it; see :func:`can_start_warm`.
    """
    if not can_start_warm(dataset):
        raise SettingsError(
            f"{dataset.spec.name} has rows of frames or an encoder, and the warm start is for "
            "whole networks on rows of numbers."
        )
    recipe = Recipe({"gamma": discount}, normalize="rewards")
    model = cast(PPO, make_model("ppo", dataset.make_env, recipe, seed))
    slow_down(model, pace)
    return dataset.train(model), (CriticFirst(critic_steps),)
