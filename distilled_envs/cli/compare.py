"""The commands ``compare`` and ``generalize``."""

import sys
from functools import partial
from pathlib import Path

from distilled_envs.cli.choice import Choice, Given
from distilled_envs.cli.terminal import print_json
from distilled_envs.storage.files import given_path


def compare(
    choice: Choice,
    *,
    output: Path | None = None,
    steps: int = 300_000,
    evaluations: int = 20,
    episodes: int = 10,
    seeds: int = 3,
    learners: int = 100,
    baseline: tuple[str, ...] = ("ppo",),
    html: bool = False,
    json: bool = False,
    progress: bool = True,
    line: Given[str] = "",
) -> None:
    """Set one-step learners beside Stable-Baselines3: same machine, seeds and evaluation.

    Random actions; fresh networks, one gradient step each; networks trained on the rows with
    Adam; SB3's PPO on the distilled environment; SB3's algorithms from scratch; PPO with the
    settings of RL Zoo, where they are known; PPO started from the one-step policy. What is
    finished is kept: after Ctrl-C the same command goes on.

    Args:
        choice: Which dataset.
        output: Folder of the report; runs/compare-NAME if not given.
        steps: Environment steps of each baseline.
        evaluations: How often a baseline plays along the way.
        episodes: Episodes each time.
        seeds: Runs of each baseline.
        learners: Fresh networks for the one step.
        baseline: SB3's algorithms: ppo a2c, dqn for discrete actions, sac td3 for others.
        html: Also write the report as one HTML file.
        json: Print the results as JSON.
        progress: Show a progress bar.
        line: The whole command.
    """
    from distilled_envs.studies import comparison
    from distilled_envs.studies.comparison_report import write_comparison
    from distilled_envs.watch import picture

    dataset = choice.load()
    folder = given_path(output or Path("runs", f"compare-{dataset.spec.name}"))
    settings = comparison.ComparisonSettings(
        steps, evaluations, episodes, seeds, learners, baseline
    )
    results = comparison.compare(dataset, folder, settings, progress=progress)
    env = picture(dataset) if html else None
    table = write_comparison(folder, results, as_html=html, env=env, command=line)
    if json:
        print_json(results)
    else:
        print(f"{table}\nreport: {folder}")


def generalize(
    choice: Choice,
    *,
    output: Path | None = None,
    learners: int = 32,
    episodes: int = 3,
    trainings: tuple[str, ...] = ("one step", "initialize"),
    kinds: tuple[str, ...] = (),
    html: bool = False,
    json: bool = False,
    line: Given[str] = "",
) -> None:
    """Let other networks learn than those that a dataset was distilled for.

    By the one step as they come, by the one step after dataset.initialize, or by dataset.fit.
    What is finished is kept: after Ctrl-C the same command goes on, and another one adds kinds and
    trainings.

    Args:
        choice: Which dataset.
        output: Folder of the report; runs/generalize-NAME if not given.
        learners: Fresh networks of each kind.
        episodes: Episodes of each, in each action mode.
        trainings: Some of: "one step", initialize, fit; a fit takes seconds for each network.
        kinds: Names of the kinds to try, as in the table; all if not given.
        html: Also write the report as one HTML file.
        json: Print the results as JSON.
        line: The whole command.
    """
    from distilled_envs.studies import generalization
    from distilled_envs.studies.generalization_report import (
        generalization_table,
        read_results,
        write_generalization,
    )
    from distilled_envs.studies.reports import markdown_table, write_results
    from distilled_envs.watch import picture

    dataset = choice.load()
    name = dataset.spec.name
    folder = given_path(output or Path("runs", f"generalize-{name}"))
    results = generalization.generalize(
        dataset,
        learners=learners,
        episodes=episodes,
        trainings=trainings,
        kinds=kinds,
        before=read_results(folder),
        keep=partial(write_results, folder),
        progress=lambda part: print(f"{name}: {part}", file=sys.stderr, flush=True),
    )
    env = picture(dataset) if html else None
    write_generalization(folder, results, as_html=html, env=env, command=line)
    if json:
        print_json(results)
    else:
        print(f"{markdown_table(generalization_table(results))}\nreport: {folder}")
