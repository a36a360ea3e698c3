"""What a distilled dataset teaches beside its own one step: ordinary training, and RL on its id.

A dataset distilled as in the paper teaches through its own single SGD step and nothing else. Rows
that are consistent with their learners (see ``distilled_envs.training.meta_ppo``) are a dataset for
other training too, and the expanded rows that a distilled id deals teach RL the task: how well both
work is measured here.
"""

from functools import partial
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.distilled_env import DistilledEnv
from distilled_envs.errors import MissingExtraError
from distilled_envs.evaluation import EVALUATION_SEED, pooled
from distilled_envs.learners.actions import as_taken
from distilled_envs.learners.one_step import inner_loss
from distilled_envs.learners.policies import sb3_policy_for
from distilled_envs.seeds import small_seed

ADAM_STEPS = 5_000
ADAM_LEARNING_RATE = 1e-3
PPO_STEPS = 100_000
"""Steps of PPO: a minute on one core; on Humanoid 20,000 are not enough."""


def train_with_adam(
    dataset: DistilledDataset,
    *,
    seed: int,
    steps: int = ADAM_STEPS,
    learning_rate: float = ADAM_LEARNING_RATE,
) -> nn.Module:
    """Train a fresh network on the rows as on any supervised dataset: Adam on MSE, to convergence.

    Args:
        dataset: The distilled dataset.
        seed: Seed of the network's initialization.
        steps: Full-batch steps.
        learning_rate: Adam's.
    """
    policy = dataset.new_policy(seed=seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    for _ in range(steps):
        optimizer.zero_grad()
        inner_loss(policy(dataset.observations), dataset.targets).backward()
        optimizer.step()
    return policy


def train_ppo_on_bandit(dataset: DistilledDataset, *, seed: int, steps: int = PPO_STEPS) -> Any:
    """Train Stable-Baselines3's PPO, default settings, on the dataset's id.

    It deals expanded rows, for a game the bare ones.

    Args:
        dataset: The distilled dataset.
        seed: PPO's seed.
        steps: Steps there; each is an episode.

    Returns:
        The trained ``stable_baselines3.PPO`` model.

    Raises:
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    algorithm = _require_ppo()
    env = counting_from_zero(DistilledEnv(dataset))
    policy = sb3_policy_for(env.observation_space)
    return algorithm(policy, env, seed=small_seed(seed), device="cpu").learn(steps)


def counting_from_zero(env: gym.Env) -> gym.Env:
    """The environment for Stable-Baselines3, which knows no other first action than 0."""
    space = env.action_space
    counted: gym.Space[Any]
    if isinstance(space, spaces.Discrete):
        counted = spaces.Discrete(int(space.n))
    elif isinstance(space, spaces.MultiDiscrete):
        counted = spaces.MultiDiscrete(space.nvec)
    else:
        return env
    return gym.wrappers.TransformAction(env, partial(as_taken, space), counted)


def measure_drop_in(
    dataset: DistilledDataset,
    *,
    seeds: int = 10,
    episodes: int = 5,
    adam_steps: int = ADAM_STEPS,
    ppo_steps: int = PPO_STEPS,
) -> dict[str, Any]:
    """Returns in the real environment after both kinds of training.

    Args:
        dataset: The distilled dataset.
        seeds: Networks of each kind, with the seeds from ``EVALUATION_SEED`` on.
        episodes: Episodes of each network, in each action mode.
        adam_steps: Steps of Adam on the rows.
        ppo_steps: Steps of PPO in the bandit.

    Returns:
        For ``adam_to_convergence`` and ``sb3_ppo_on_bandit``: the protocol, the scores of both
        action modes over networks, and as ``share_of_one_step`` the greedy mean as a share of the
        dataset's own one-step mean (see :func:`share_of_own`), if that was measured.

    Raises:
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    _require_ppo()  # before minutes of training
    trainings = {
        "adam_to_convergence": (train_with_adam, adam_steps),
        "sb3_ppo_on_bandit": (train_ppo_on_bandit, ppo_steps),
    }
    record: dict[str, Any] = {}
    own = dataset.spec.evaluation.get("one_step", {}).get("greedy", {}).get("mean")
    for name, (train, steps) in trainings.items():
        evaluations = [
            dataset.evaluate(train(dataset, seed=seed, steps=steps), episodes=episodes, seed=seed)
            for seed in range(EVALUATION_SEED, EVALUATION_SEED + seeds)
        ]
        scores = {mode: score.to_dict() for mode, score in pooled(evaluations).items()}
        record[name] = {"steps": steps, "learners": seeds, "episodes": episodes} | scores
        if own:
            record[name]["share_of_one_step"] = share_of_own(scores["greedy"]["mean"], own)
    return record


def share_of_own(mean: float, own: float) -> float | None:
    """A return as a share of the dataset's own; below 1 is worse.

    Where both are costs, as on Reacher, it is the own cost as a share of the other. None where they
    differ in sign.
    """
    if mean * own <= 0:
        return None
    return round(mean / own if own > 0 else own / mean, 3)


def _require_ppo() -> type:
    try:
        from stable_baselines3 import PPO
    except ImportError:
        raise MissingExtraError("stable-baselines3", "PPO on the bandit", "sb3") from None
    return PPO
