"""One-step learners beside Stable-Baselines3, from Python: `distilled-envs compare` as a script."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from distilled_envs import load_distilled
from distilled_envs.studies.comparison import ComparisonSettings, compare
from distilled_envs.studies.comparison_report import write_comparison


@dataclass
class Arguments:
    """Compare a distilled dataset with Stable-Baselines3 on equal terms."""

    name: str = "cartpole_2d"
    """What `load_distilled` takes."""
    output: Path = Path("runs/compare")
    """Folder of the report; a comparison that was interrupted there goes on."""
    steps: int = 50_000
    """Environment steps of each baseline."""
    seeds: int = 2
    """Runs of each baseline."""
    learners: int = 100
    """Fresh networks for the one step."""


def main(arguments: Arguments) -> None:
    """Compare, write the report, and print its table."""
    dataset = load_distilled(arguments.name)
    settings = ComparisonSettings(
        steps=arguments.steps, seeds=arguments.seeds, learners=arguments.learners
    )
    results = compare(dataset, arguments.output, settings)
    print(write_comparison(arguments.output, results))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
