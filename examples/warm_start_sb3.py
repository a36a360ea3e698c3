"""PPO from the one-step policy against PPO from scratch, on the same environment."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from distilled_envs import load_distilled
from distilled_envs.evaluation import EVALUATION_SEED, Score
from distilled_envs.learners.threads import torch_threads
from distilled_envs.studies.figures import learning_curves
from distilled_envs.studies.reports import markdown_table, write_report
from distilled_envs.studies.sb3 import Recipe, learn, make_model
from distilled_envs.studies.warm_start import make_warm_model


@dataclass
class Arguments:
    """Go on with Stable-Baselines3's PPO from a policy that took one gradient step."""

    name: str = "cartpole_5d"
    """What `load_distilled` takes."""
    output: Path = Path("runs/warm-start")
    """Folder of the report."""
    steps: int = 100_000
    """Environment steps of each run."""
    evaluations: int = 10
    """How often each plays along the way."""
    seeds: int = 5
    """Runs of each kind."""


def main(arguments: Arguments) -> None:
    """Train all of them, write the report, and print its table."""
    dataset = load_distilled(arguments.name)
    default = Recipe()
    starts = {
        "from scratch": lambda seed: (make_model("ppo", dataset.make_env, default, seed), ()),
        "one step, default settings": lambda seed: (
            dataset.train(make_model("ppo", dataset.make_env, default, seed)),
            (),
        ),
        "one step, settings that keep it": lambda seed: make_warm_model(dataset, seed),
    }
    curves = {name: [] for name in starts}
    with torch_threads(1):
        for seed in range(arguments.seeds):
            for name, start in starts.items():
                model, callbacks = start(seed)
                curve = learn(
                    model,
                    dataset.make_env,
                    steps=arguments.steps,
                    evaluations=arguments.evaluations,
                    episodes=10,
                    seed=EVALUATION_SEED + seed,
                    callbacks=callbacks,
                )
                curves[name].append(curve)
                print(f"seed {seed}, {name}: {np.mean(curve['returns'], axis=1).round(1)}")
    times = {"at the start": 0, "half way": arguments.evaluations // 2, "at the end": -1}
    scores = {
        name: [
            Score.of(np.array([curve["returns"][at] for curve in each])) for at in times.values()
        ]
        for name, each in curves.items()
    }
    rows = [["PPO", *times]]
    rows += [[name, *map(str, each)] for name, each in scores.items()]
    write_report(
        arguments.output,
        f"PPO from the one-step policy, {dataset.spec.name}",
        {
            "name": dataset.spec.name,
            "steps": arguments.steps,
            "scores": {name: [score.to_dict() for score in each] for name, each in scores.items()},
            "curves": curves,
        },
        rows,
        [f"Mean return with likeliest actions; std between {arguments.seeds} seeds."],
        {"return-over-steps": learning_curves(dataset.spec.env.id, curves, "steps", {})},
    )
    print(markdown_table(rows))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
