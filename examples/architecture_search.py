"""Rank network architectures by what one gradient step makes of them.

Training each of 200 networks with RL takes hours. Here each takes one step on a distilled dataset,
and plays once; a few are trained with PPO as well, to see whether the two rankings agree.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from scipy import stats
from stable_baselines3 import PPO
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.spec import LearnerSpec
from distilled_envs.studies.figures import score_pairs
from distilled_envs.studies.reports import write_report


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
    output: Path = Path("runs/architecture-search")
    """Folder of the report."""


def main(arguments: Arguments) -> None:
    """Rank them, train a sample, write the report, and print how well the rankings agree."""
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
    seconds = time.perf_counter() - started
    order = np.argsort(-scores, kind="stable")
    print(f"{len(candidates)} architectures in {seconds:.0f} s; the best:")
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
    agreement = f"Spearman's rank correlation {rank.statistic:.2f} (p = {rank.pvalue:.3f})"
    if not np.isfinite(rank.statistic):
        agreement = "no rank correlation, as all returns of one kind are the same,"
    print(agreement)
    pairs = [
        {"architecture": describe(candidates[place]), "one_step": scores[place], "ppo": score}
        for place, score in zip(sample, trained, strict=True)
    ]
    head = ["architecture", "one step", f"PPO, {arguments.steps:,} steps"]
    write_report(
        arguments.output,
        f"Architectures by their one step on {dataset.spec.name}",
        {
            "name": dataset.spec.name,
            "seconds": seconds,
            "ranking": [[describe(candidates[place]), scores[place]] for place in order],
            "trained": pairs,
            "steps": arguments.steps,
            "spearman": {
                "statistic": None if np.isnan(rank.statistic) else rank.statistic,
                "p": None if np.isnan(rank.pvalue) else rank.pvalue,
            },
        },
        [head, *([e["architecture"], f"{e['one_step']:.1f}", f"{e['ppo']:.1f}"] for e in pairs)],
        [
            f"{len(candidates)} architectures, {arguments.learners} networks of each, one gradient "
            f"step each, ranked in {seconds:.0f} s; {agreement} between the mean return of the one "
            f"step and that of PPO, for {arguments.trained} of them."
        ],
        {
            "one-step-and-ppo": score_pairs(
                ("return after one gradient step", [e["one_step"] for e in pairs]),
                (f"return after {arguments.steps:,} steps of PPO", [e["ppo"] for e in pairs]),
            )
        },
    )


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
