"""Rank network architectures by what one gradient step makes of them.

Training each of 200 networks with RL takes hours. Here each takes one step on a distilled dataset,
and plays once; a few are trained with PPO as well, to see whether the two rankings agree.
"""

import dataclasses
import time
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from scipy import stats
from stable_baselines3 import PPO
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.spec import LearnerSpec


@dataclass
class Arguments:
    """Rank random MLPs by their one-step return."""

    name: str = "cartpole_5d"
    """What `load_distilled` takes."""
    architectures: int = 200
    """Random MLPs: up to five layers of 2 to 256 units, tanh or ReLU."""
    learners: int = 8
    """Fresh networks of each."""
    trained: int = 12
    """How many of them are also trained with PPO."""
    steps: int = 30_000
    """Environment steps of each PPO training."""
    seed: int = 0
    """Seed of everything random."""


def main(arguments: Arguments) -> None:
    """Rank them, train a sample, and print how well the rankings agree."""
    dataset = load_distilled(arguments.name)
    rng = np.random.default_rng(arguments.seed)
    candidates = [draw(dataset.spec.learner, rng) for _ in range(arguments.architectures)]
    started = time.perf_counter()
    scores = np.array(
        [
            dataset.evaluate(learner=each, learners=arguments.learners, episodes=1).greedy.mean
            for each in candidates
        ]
    )
    order = np.argsort(-scores)
    print(f"{len(candidates)} architectures in {time.perf_counter() - started:.0f} s; the best:")
    for place in order[:5]:
        print(f"  {scores[place]:8.1f}  {describe(candidates[place])}")
    # Evenly spread over the ranking, so that good and bad ones are among them.
    sample = order[np.linspace(0, len(order) - 1, arguments.trained).round().astype(int)]
    trained = []
    torch.set_num_threads(1)
    for place in sample:
        trained.append(train(dataset, candidates[place], arguments))
        print(f"one step {scores[place]:8.1f}, PPO {trained[-1]:8.1f}, ", end="")
        print(describe(candidates[place]), flush=True)
    rank = stats.spearmanr(scores[sample], trained)
    print(f"Spearman's rank correlation {rank.statistic:.2f} (p = {rank.pvalue:.3f})")


def draw(learner: LearnerSpec, rng: np.random.Generator) -> LearnerSpec:
    """A random architecture."""
    sizes = tuple(int(2 ** rng.uniform(1, 8)) for _ in range(rng.integers(1, 6)))
    activation = str(rng.choice(["tanh", "relu"]))
    return dataclasses.replace(learner, hidden_sizes=sizes, activation=activation)


def describe(learner: LearnerSpec) -> str:
    """An architecture in a few words."""
    return f"{' x '.join(map(str, learner.hidden_sizes))}, {learner.activation}"


def train(dataset, learner: LearnerSpec, arguments: Arguments) -> float:
    """The return of PPO with this policy network; the critic is always SB3's own."""
    activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[learner.activation]
    net_arch = {"pi": list(learner.hidden_sizes), "vf": [64, 64]}
    model = PPO(
        "MlpPolicy",
        dataset.make_env(),
        seed=arguments.seed,
        device="cpu",
        policy_kwargs={"net_arch": net_arch, "activation_fn": activation},
    ).learn(arguments.steps)
    return dataset.evaluate(model, episodes=10).greedy.mean


if __name__ == "__main__":
    main(tyro.cli(Arguments))
