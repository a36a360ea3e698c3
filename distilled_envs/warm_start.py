"""Going on with RL from a one-step policy without losing it in the first updates."""

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from distilled_envs.dataset import DistilledDataset
from distilled_envs.sb3_baselines import Recipe, make_model


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
        policy = self.model.policy
        for part in (policy.mlp_extractor.policy_net, policy.action_net):
            part.requires_grad_(trained)
        if getattr(policy, "log_std", None) is not None:
            policy.log_std.requires_grad_(trained)


def make_warm_model(
    dataset: DistilledDataset,
    seed: int,
    *,
    learning_rate: float = 1e-5,
    critic_steps: int = 20_000,
) -> tuple[PPO, tuple[BaseCallback, ...]]:
    """SB3's PPO with the one-step policy, set up so that learning on keeps it.

    Args:
        dataset: The distilled dataset.
        seed: Seed of networks, environments and exploration.
        learning_rate: PPO's; its default of 3e-4 undoes the policy.
        critic_steps: Environment steps before the policy is updated.

    Returns:
        The model, on ``dataset.make_env()`` with normalised rewards, and callbacks for
        ``model.learn``.
    """
    recipe = Recipe({"learning_rate": learning_rate}, normalize="rewards")
    model = make_model("ppo", dataset.make_env, recipe, seed)
    return dataset.train(model), (CriticFirst(critic_steps),)
