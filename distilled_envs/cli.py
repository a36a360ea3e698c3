"""The command ``distilled-envs``: distill, refit, evaluate, list, show, watch.

Flags come from typed functions and dataclasses (tyro). What a command needs is imported inside it,
so that ``list`` does not wait for the training code.
"""

import dataclasses
import difflib
import json
import logging
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import gymnasium as gym
import tyro

from distilled_envs import __version__
from distilled_envs.catalog import Entry, entries, load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DistilledEnvsError, SettingsError

Instances = int | Literal["min"] | None

HELP = """\
usage: distilled-envs COMMAND ...

Reinforcement-learning environments distilled into one-batch supervised datasets.

commands:
  list                 the datasets that come with the package, and their returns
  show NAME            what a dataset says of itself, and its rows
  evaluate NAME        train fresh learners, one gradient step each, and play for real
  distill PRESET       make a dataset: meta-PPO from scratch; PRESET or any Gymnasium id
  refit NAME           find rows for the same behaviour that other training can use too
  watch NAME           train a learner and show it acting, in a window or as a video

`distilled-envs COMMAND --help` explains each; NAME is a name from `list`, or a dataset folder.
Try: distilled-envs evaluate cartpole_2d --instances min
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit status: 0 done, 1 the user can mend it (one sentence on stderr), 2 wrong usage, 130
        interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("distilled_envs").setLevel(logging.INFO)
    commands = {"distill": _distill, "refit": _refit, "evaluate": _evaluate}
    commands |= {"list": _list, "show": _show, "watch": _watch}
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"distilled-envs {__version__}")
        return 0
    if argv[0] not in commands:
        print(
            f"distilled-envs: there is no command {argv[0]!r}, only {', '.join(commands)}.",
            file=sys.stderr,
        )
        return 2
    try:
        commands[argv[0]](argv[1:])
    except BrokenPipeError:  # e.g. `distilled-envs list | head`
        sys.stderr.close()
        return 141
    except DistilledEnvsError as error:
        print(f"distilled-envs: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that can't be written
        print(f"distilled-envs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\ndistilled-envs: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 130
    return 0


def _distill(argv: list[str]) -> None:
    from distilled_envs.training import PRESETS, Settings, dataset_name, distill, for_environment

    presets = "\n".join(
        f"  {name:22} {settings.instances:3} rows, {settings.total_steps / 1e6:g}M steps"
        for name, settings in PRESETS.items()
    )
    wanted = argv[0] if argv and not argv[0].startswith("-") else None
    if wanted is None:
        if not {"-h", "--help"} & set(argv):
            raise SettingsError(f"distill needs the name of a preset first:\n{presets}")
        print(
            "usage: distilled-envs distill PRESET [flags]\n"
            "       distilled-envs distill GYMNASIUM_ID [flags]   untuned settings\n\n"
            f"presets:\n{presets}\n"
        )
        wanted = "cartpole-nd-2d-min"
    by_plain = {name.replace("-", ""): name for name in PRESETS}
    preset = by_plain.get(wanted.lower().replace("-", "").replace("_", ""))
    if preset is not None:
        defaults = PRESETS[preset]
    elif wanted in gym.registry or ":" in wanted:
        defaults = for_environment(wanted)
    else:
        near = difflib.get_close_matches(wanted, [*PRESETS, *gym.registry], n=3, cutoff=0.4)
        raise SettingsError(
            f"There is no preset and no registered environment {wanted!r}; the nearest: "
            f"{', '.join(near) or 'none'} (`distilled-envs distill --help` lists the presets)."
        )

    @dataclasses.dataclass
    class Distill:
        """Distil an environment into a dataset with meta-PPO."""

        settings: tyro.conf.OmitArgPrefixes[Settings]
        output: Path | None = None
        """Folder of the run; runs/<name>-seed<seed> if not given."""
        resume: bool = False
        """Go on with the run in the output folder."""
        progress: bool = True
        """Show a progress bar."""

    arguments = tyro.cli(
        Distill,
        default=Distill(defaults),
        args=argv[1:] if argv[:1] == [wanted] else argv,
        prog=f"distilled-envs distill {wanted}",
    )
    settings = arguments.settings
    if settings.name == defaults.name:  # it says what is distilled, unless the user named it
        name = dataset_name(settings.env_id, settings.instances, settings.dims)
        settings = dataclasses.replace(settings, name=name)
    output = arguments.output or Path("runs") / f"{settings.name}-seed{settings.seed}"
    dataset = distill(
        settings,
        output,
        resume=arguments.resume,
        progress=arguments.progress,
        command=shlex.join(["distilled-envs", "distill", *argv]),
    )
    one_step = dataset.spec.evaluation["one_step"]
    print(
        f"\n{dataset.spec.name}: {len(dataset)} rows, distilled in "
        f"{dataset.spec.provenance['wall_seconds']:.0f} s.\n"
        f"{one_step['learners']} fresh networks, one gradient step each, "
        f"{one_step['episodes']} episodes each in the real {settings.env_id}:"
    )
    for mode in ("sampled", "greedy"):
        score = one_step[mode]
        print(
            f"  {mode} actions: mean return {score['mean']:.1f} "
            f"(standard deviation between networks {score['std']:.1f})"
        )
    print(f"dataset: {output / 'dataset'}\n  load_distilled({str(output / 'dataset')!r}).train()")


def _refit(argv: list[str]) -> None:
    def refit(
        name: tyro.conf.Positional[str],
        *,
        output: Path,
        instances: int = 64,
        steps: int = 3_000,
        consistency: float = 0.3,
        shrink: float = 0.5,
        learning_rate: float = 1e-2,
        seed: int = 0,
        learners: int = 100,
        episodes: int = 1,
        progress: bool = True,
    ) -> None:
        """Find rows for a dataset's behaviour that other training than its one step can use too.

        Args:
            name: A name from `distilled-envs list`, or a dataset folder: the teacher.
            output: Folder of the new dataset.
            instances: Its rows.
            steps: Gradient steps, a hundredth of a second each.
            consistency: Weight of the inner loss after the one step.
            shrink: Factor on the scale of observations; smaller ones suit networks of any width.
            learning_rate: Learning rate (Adam), which falls linearly to 0.
            seed: Seed of everything random.
            learners: Fresh networks in the evaluation at the end.
            episodes: Episodes of each, in each action mode.
            progress: Show a progress bar.
        """
        from distilled_envs import training

        if output.exists():
            raise SettingsError(f"{output} exists already: choose another --output.")
        dataset = training.refit(
            load_distilled(name),
            instances=instances,
            steps=steps,
            consistency=consistency,
            shrink=shrink,
            learning_rate=learning_rate,
            seed=seed,
            command=shlex.join(["distilled-envs", "refit", *argv]),
            progress=progress,
        )
        dataset.save(output)
        _run_evaluation(
            DistilledDataset.load(output),
            {"learners": learners, "episodes": episodes},
            None,
            drop_in=False,
            as_json=False,
            save=True,
        )
        print(f"dataset: {output}\n  load_distilled({str(output)!r}).train()")

    tyro.cli(refit, args=argv, prog="distilled-envs refit")


def _evaluate(argv: list[str]) -> None:
    def evaluate(
        name: tyro.conf.Positional[str],
        *,
        dims: int | None = None,
        instances: Instances = None,
        learners: int = 100,
        episodes: int = 5,
        seed: int | None = None,
        hidden_sizes: tuple[int, ...] | None = None,
        drop_in: bool = False,
        json: bool = False,
        save: bool = False,
    ) -> None:
        """Train fresh learners on a dataset, one gradient step each, and play for real.

        Args:
            name: A name from `distilled-envs list`, or a dataset folder.
            dims: Cart-pole axes.
            instances: Number of rows, or "min".
            learners: Fresh networks.
            episodes: Episodes of each, in each action mode.
            seed: Seed of networks, environments and actions.
            hidden_sizes: Hidden layers of the networks; those that the dataset was distilled for,
                if not given.
            drop_in: Also train 10 networks with Adam on the rows and 10 with SB3's PPO on the
                distilled environment, and play with them (minutes).
            json: Print the results as JSON.
            save: Write the results into the dataset folder's distillation.json.
        """
        protocol = {"learners": learners, "episodes": episodes}
        _run_evaluation(
            load_distilled(name, dims=dims, instances=instances),
            protocol | ({} if seed is None else {"seed": seed}),
            hidden_sizes,
            drop_in=drop_in,
            as_json=json,
            save=save,
        )

    tyro.cli(evaluate, args=argv, prog="distilled-envs evaluate")


def _run_evaluation(
    dataset: DistilledDataset,
    protocol: dict,
    hidden_sizes: tuple[int, ...] | None,
    *,
    drop_in: bool,
    as_json: bool,
    save: bool,
) -> None:
    if save and dataset.source.kind != "folder":
        raise SettingsError("--save writes into a dataset folder: give the folder, not a name.")
    learner, training = dataset.spec.learner, "one_step"
    if hidden_sizes not in (None, learner.hidden_sizes):
        learner = dataclasses.replace(learner, hidden_sizes=hidden_sizes)
        training += "_" + "x".join(map(str, hidden_sizes))
    evaluation = dataset.evaluate(learner=learner, **protocol)
    record = {training: evaluation.to_dict()}
    if not as_json:
        print(f"{dataset.spec.name}, {training}\n{evaluation}", flush=True)
    if drop_in:
        from distilled_envs.drop_in import measure_drop_in

        record |= measure_drop_in(dataset, episodes=protocol["episodes"])
        for training in ("adam_to_convergence", "sb3_ppo_on_bandit"):
            if not as_json:
                scores = record[training]
                print(
                    f"{training}, {scores['steps']} steps: sampled {scores['sampled']['mean']:.1f} "
                    f"(std {scores['sampled']['std']:.1f}), greedy {scores['greedy']['mean']:.1f} "
                    f"(std {scores['greedy']['std']:.1f})"
                )
    if as_json:
        print(json.dumps(record, indent=2))
    if save:
        from distilled_envs.storage import write_spec

        spec = dataset.spec.replace(evaluation=dataset.spec.evaluation | record)
        write_spec(Path(dataset.source.location), spec)


def _list(argv: list[str]) -> None:
    def list_() -> None:
        """List the datasets that come with the package, and what they teach.

        Mean return in the real environment ± standard deviation between networks, with sampled and
        with greedy actions. One step: 100 fresh networks, one gradient step each. Width 256: the
        same step for networks of two layers of 256, which the dataset was not distilled for. Adam:
        networks trained on the rows to convergence. PPO: Stable-Baselines3's PPO trained on the
        distilled environment. "-" was not measured.
        """
        print(results_table(entries()))

    tyro.cli(list_, args=argv, prog="distilled-envs list")


def results_table(rows: Iterable[Entry]) -> str:
    """Datasets and their measured returns as a Markdown table."""
    trainings = {
        "one_step": "one step",
        "one_step_256x256": "width 256",
        "adam_to_convergence": "Adam",
        "sb3_ppo_on_bandit": "PPO",
    }
    lines = [
        f"| dataset | rows | {' | '.join(trainings.values())} |",
        f"|---|---|{'---|' * len(trainings)}",
    ]
    for entry in rows:
        cells = [f"`{entry.spec.name}`", str(entry.instances)]
        for training in trainings:
            scores = entry.spec.evaluation.get(training)
            modes = [] if scores is None else [scores["sampled"], scores["greedy"]]
            cells.append(" / ".join(f"{s['mean']:.1f} ± {s['std']:.1f}" for s in modes) or "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _show(argv: list[str]) -> None:
    def show(
        name: tyro.conf.Positional[str],
        *,
        dims: int | None = None,
        instances: Instances = None,
    ) -> None:
        """Show what a dataset says of itself, and its first rows.

        Args:
            name: A name from `distilled-envs list`, or a dataset folder.
            dims: Cart-pole axes.
            instances: Number of rows, or "min".
        """
        dataset = load_distilled(name, dims=dims, instances=instances)
        print(dataset.spec.to_json(), end="")
        print(f"\n{dataset!r}")
        for row in range(min(len(dataset), 5)):
            observation = ", ".join(f"{x:.3f}" for x in dataset.observations[row].tolist())
            target = ", ".join(f"{y:.3f}" for y in dataset.targets[row].tolist())
            print(f"row {row}: [{observation}] -> [{target}]")

    tyro.cli(show, args=argv, prog="distilled-envs show")


def _watch(argv: list[str]) -> None:
    def watch(
        name: tyro.conf.Positional[str],
        *,
        video: Path | None = None,
        dims: int | None = None,
        instances: Instances = None,
        episodes: int = 1,
        max_steps: int = 1000,
        seed: int = 0,
    ) -> None:
        """Train a fresh learner, one gradient step, and show it acting in the real environment.

        Args:
            name: A name from `distilled-envs list`, or a dataset folder.
            video: An .mp4 or .gif to write instead of opening a window.
            dims: Cart-pole axes.
            instances: Number of rows, or "min".
            episodes: Episodes to play.
            max_steps: Steps after which an episode is no longer shown.
            seed: Seed of the learner and of the environment.
        """
        from distilled_envs import watch as watching

        dataset = load_distilled(name, dims=dims, instances=instances)
        returns = watching.watch(
            dataset, video=video, episodes=episodes, max_steps=max_steps, seed=seed
        )
        for episode, total in enumerate(returns, start=1):
            print(f"episode {episode}: return {total:.1f}")
        if video is not None:
            print(f"video: {video}")

    tyro.cli(watch, args=argv, prog="distilled-envs watch")


if __name__ == "__main__":
    sys.exit(main())
