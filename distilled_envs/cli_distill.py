"""The commands that make datasets: ``distilled-envs distill`` and ``distilled-envs refit``."""

import dataclasses
import difflib
import shlex
from pathlib import Path

import gymnasium as gym
import tyro

from distilled_envs import atari
from distilled_envs.catalog import load_distilled
from distilled_envs.cli_evaluate import run_evaluation
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError


def distill_command(argv: list[str]) -> None:
    """Distil an environment."""
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
    if wanted.startswith("ALE/"):
        atari.register(wanted)
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
        name = dataset_name(
            settings.env_id, settings.instances, settings.dims, settings.encoder_level
        )
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
        f"{one_step['episodes']} episode{'s' * (one_step['episodes'] > 1)} each in the real "
        f"{settings.env_id}:"
    )
    for mode in ("sampled", "greedy"):
        score = one_step[mode]
        print(
            f"  {mode} actions: mean return {score['mean']:.1f} "
            f"(standard deviation between networks {score['std']:.1f})"
        )
    print(f"dataset: {output / 'dataset'}\n  load_distilled({str(output / 'dataset')!r}).train()")


def refit_command(argv: list[str]) -> None:
    """Refit a dataset."""

    def refit(
        name: tyro.conf.Positional[str],
        *,
        output: Path,
        instances: int = 64,
        visited: float = 0.5,
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
            visited: Share of them that start as states that the teacher visits.
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
        if min(learners, episodes) < 1:
            raise SettingsError("learners and episodes must be at least 1.")
        dataset = training.refit(
            load_distilled(name),
            instances=instances,
            visited=visited,
            steps=steps,
            consistency=consistency,
            shrink=shrink,
            learning_rate=learning_rate,
            seed=seed,
            command=shlex.join(["distilled-envs", "refit", *argv]),
            progress=progress,
        )
        dataset.save(output)
        run_evaluation(
            DistilledDataset.load(output),
            {"learners": learners, "episodes": episodes, "progress": progress},
            None,
            drop_in=False,
            as_json=False,
            save=True,
        )
        print(f"dataset: {output}\n  load_distilled({str(output)!r}).train()")

    tyro.cli(refit, args=argv, prog="distilled-envs refit")
