"""The commands that make datasets: ``distill``, ``imitate``, ``refit``, ``search``."""

import copy
import dataclasses
from pathlib import Path

import gymnasium as gym
import tyro
from gymnasium.envs.registration import EnvSpec

from distilled_envs import training
from distilled_envs.cli.choice import Given
from distilled_envs.cli.evaluate import run_evaluation
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.evaluation.yardsticks import yardsticks
from distilled_envs.formatting import in_a_line, written
from distilled_envs.loading import load_distilled
from distilled_envs.spec import family_of
from distilled_envs.storage.files import given_path
from distilled_envs.training import (
    AutomaticSettings,
    ImitationSettings,
    RefitSettings,
    SearchSettings,
    Settings,
)
from distilled_envs.training.distributed import check_alone, is_first
from distilled_envs.training.random_search import POLICY


def distill(
    settings: tyro.conf.OmitArgPrefixes[Settings],
    *,
    output: Path | None = None,
    resume: bool = False,
    progress: bool = True,
    preset: Given[str] = "",
    line: Given[str] = "",
) -> None:
    """Distill an environment into a dataset with meta-PPO.

    Args:
        settings: Settings of one distillation.
        output: Folder of the run; runs/<name>-seed<seed> if not given.
        resume: Go on with the run in the output folder.
        progress: Show a progress bar.
        preset: The dataset's name before flags changed the settings.
        line: The whole command.
    """
    settings = named(settings, preset)
    output = given_path(output or usual_folder(settings))
    dataset = training.distill(settings, output, resume=resume, progress=progress, command=line)
    if is_first():
        _report(dataset, output)


def distill_any(
    settings: tyro.conf.OmitArgPrefixes[AutomaticSettings],
    *,
    output: Path | None = None,
    resume: bool = False,
    progress: bool = True,
    line: Given[str] = "",
) -> None:
    """Distill an environment by what it needs: a linear policy, or PPO where that is not enough.

    Args:
        settings: What to distill, and how long.
        output: Folder of the run; runs/<family>-seed<seed> if not given, as runs/hopper-seed0.
        resume: Go on with the run in the output folder.
        progress: Show progress bars.
        line: The whole command.
    """
    check_alone(f"distill {settings.env_id}")
    output = given_path(output or usual_folder(settings))
    dataset = training.distill_any(settings, output, resume=resume, progress=progress, command=line)
    print(f"\nChosen: {dataset.spec.provenance['choice']}.", end="")
    _report(dataset, output)


def named(settings: Settings, preset: str) -> Settings:
    """Settings whose name says what is distilled, unless the user named it.

    Args:
        settings: Of one distillation.
        preset: The name before flags changed the settings.
    """
    if settings.name != preset:
        return settings
    name = training.dataset_name(
        settings.env_id,
        settings.instances,
        settings.dims,
        getattr(settings, "encoder_level", None),
        len(settings.families),
    )
    return dataclasses.replace(settings, name=name)


def usual_folder(settings: Settings | AutomaticSettings) -> Path:
    """Where a run goes if the user says nothing."""
    name = settings.name if isinstance(settings, Settings) else family_of(settings.env_id)
    return Path("runs") / f"{name}-seed{settings.seed}"


def _report(dataset: DistilledDataset, output: Path) -> None:
    """The closing lines of a run."""
    one_step = dataset.spec.evaluation["one_step"]
    print(
        f"\n{dataset.spec.name}: {len(dataset)} rows, distilled in "
        f"{dataset.spec.provenance['wall_seconds']:.0f} s.\n"
        f"{one_step['learners']} fresh networks, one gradient step each, "
        f"{one_step['episodes']} episode{'s' * (one_step['episodes'] > 1)} each in the real "
        f"{dataset.spec.env.id}:"
    )
    for mode in ("sampled", "greedy"):
        score = one_step[mode]
        print(
            f"  {mode} actions: mean return {written(score['mean'])} "
            f"(standard deviation between networks {written(score['std'])})"
        )
    print(f"dataset: {output / 'dataset'}\n  load_distilled({str(output / 'dataset')!r}).train()")
    if (module := dataset.spec.env_module) is not None:
        print(f"  (import {module} first to play with it, in a shell --import {module})")
    print(yardsticks(dataset.spec).verdict(one_step[dataset.spec.task.scored_by]["mean"]))


def imitate(
    teacher: tyro.conf.Positional[str],
    settings: tyro.conf.OmitArgPrefixes[ImitationSettings],
    *,
    output: Path,
    env: str | None = None,
    dims: int | None = None,
    learners: int | None = None,
    eval_episodes: int = 1,
    progress: bool = True,
    line: Given[str] = "",
) -> None:
    """Make a dataset of any policy, and say what share of its return one step teaches.

    A model of Stable-Baselines3 is read by its own loader, which unpickles parts of the file: name
    only files that you trust.

    Args:
        teacher: A linear policy (.npz of W, b, and perhaps mean and std), a model of
            Stable-Baselines3 or sb3-contrib (.zip), a function of an observation (module:function),
            or a dataset (a name, a folder, a Hub repo).
        settings: How the policy becomes rows.
        output: Folder of the new dataset.
        env: Gymnasium id of the environment in which it acts; that of a teacher that is a dataset
            if not given.
        dims: Cart-pole axes.
        learners: Fresh networks in the evaluation at the end; 100, of frames 32, if not given.
        eval_episodes: Episodes of each, in each action mode.
        progress: Show a progress bar.
        line: The whole command.
    """
    check_alone("imitate")
    output = given_path(output)
    _check_output(output, learners, eval_episodes)
    where: str | EnvSpec | None = env
    if dims is not None:
        if env is None:
            raise SettingsError("--dims goes with --env CartPoleND-v0.")
        where = _with_dims(env, dims)
    dataset = training.imitate(teacher, where, settings, command=line, progress=progress)
    dataset.save(output)
    record = dataset.spec.provenance["imitation"]
    print(f"{dataset.spec.name}: {len(dataset)} rows by {record['by']}.")
    if record["return"] is not None:
        share, positive = record["share"], record["teacher_return"] > 0
        kept = f", {share:.0%} of it" if share is not None and positive else ""  # no part of a cost
        actions = "sampled" if dataset.spec.shown_by == "sampled" else "the likeliest"
        print(
            f"With {actions} actions {record['teacher']} gets "
            f"{written(record['teacher_return'])}, and networks after one step "
            f"{written(record['return'])}{kept}."
        )
    _evaluate_new(output, learners, eval_episodes, progress)


def refit(
    name: tyro.conf.Positional[str],
    settings: tyro.conf.OmitArgPrefixes[RefitSettings],
    *,
    output: Path,
    learners: int = 100,
    episodes: int = 1,
    progress: bool = True,
    line: Given[str] = "",
) -> None:
    """Find rows for a dataset's behavior that other training than its one step can use too.

    Args:
        name: A name from `distilled-envs list`, or a dataset folder: the teacher.
        settings: How the rows are found.
        output: Folder of the new dataset.
        learners: Fresh networks in the evaluation at the end.
        episodes: Episodes of each, in each action mode.
        progress: Show a progress bar.
        line: The whole command.
    """
    check_alone("refit")
    output = given_path(output)
    _check_output(output, learners, episodes)
    dataset = training.refit(
        load_distilled(name), command=line, progress=progress, **vars(settings)
    )
    dataset.save(output)
    _evaluate_new(output, learners, episodes, progress)


def search(
    settings: tyro.conf.OmitArgPrefixes[SearchSettings],
    *,
    output: Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> None:
    """Search for the best linear policy, which one gradient step can teach: random search (ARS).

    distilled-envs imitate makes a dataset of it.

    Args:
        settings: Settings of one random search.
        output: Folder of the search; runs/search-<id> if not given.
        resume: Go on with the search in the output folder.
        progress: Show a progress bar.
    """
    check_alone("search")
    output = given_path(output or Path("runs") / f"search-{settings.env_id.split(':')[-1]}")
    training.search(settings, output, resume=resume, progress=progress)
    policy = output / POLICY
    print(
        f"policy: {policy}\n  distilled-envs imitate {policy} --env {settings.env_id} "
        "--output FOLDER"
    )


def _with_dims(env: str, dims: int) -> EnvSpec:
    """The spec of an environment with so many axes.

    Raises:
        SettingsError: There is none of the id.
    """
    try:
        spec = copy.deepcopy(gym.spec(env))
    except gym.error.Error as error:
        raise SettingsError(f"{env} can't be made: {in_a_line(error)}") from None
    spec.kwargs["dims"] = dims
    return spec


def _check_output(output: Path, learners: int | None, episodes: int) -> None:
    """Find out before minutes of work."""
    if output.exists():
        raise SettingsError(f"{output} exists already: choose another --output.")
    if episodes < 1 or (learners is not None and learners < 1):
        raise SettingsError("learners and episodes must be at least 1.")


def _evaluate_new(output: Path, learners: int | None, episodes: int, progress: bool) -> None:
    """Score a dataset that was just written, games with sticky actions, too, and keep it there."""
    dataset = DistilledDataset.load(output)
    run_evaluation(
        dataset,
        {"learners": learners, "episodes": episodes, "progress": progress},
        None,
        drop_in=False,
        sticky=dataset.spec.preprocessing == "atari",
        as_json=False,
        save=True,
    )
    print(f"dataset: {output}\n  load_distilled({str(output)!r}).train()")
