"""One distillation as a run: a folder with settings, log, checkpoint, and at the end the dataset.

<output>/settings.json     what the run was started with
<output>/checkpoint.pt     the last good state
<output>/tensorboard/      scalars
<output>/dataset/          the distilled dataset, once the run is finished
"""

import copy
import dataclasses
import json
import logging
import os
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

import distilled_envs
from distilled_envs.dataset import DistilledDataset, Source
from distilled_envs.errors import MissingExtraError, SettingsError
from distilled_envs.spec import DistillationSpec, InnerSpec, TaskSpec
from distilled_envs.storage import atomic_path
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.meta_ppo import DivergedError, MetaPPO
from distilled_envs.training.settings import Settings

FREE_TO_CHANGE = {"threads", "checkpoint_seconds", "eval_learners", "eval_episodes"}
"""Settings that a resumed run may change: they don't touch the learning."""

logger = logging.getLogger(__name__)


def distill(
    settings: Settings,
    output: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
    command: str | None = None,
) -> DistilledDataset:
    """Distil an environment into a dataset.

    Ctrl-C (and SIGTERM) finishes the iteration, writes a checkpoint and raises KeyboardInterrupt;
    a second one stops at once, and the last checkpoint stands.

    Args:
        settings: What to distil and how.
        output: Folder of the run.
        resume: Go on with the run in ``output``. On one thread, a resumed run gives the same
            dataset as one that was never stopped, for environments that can tell their state
            (cart-pole); others start new episodes.
        progress: Whether to show a progress bar.
        command: The shell command that asked for it, kept in the dataset's provenance.

    Returns:
        The dataset, which also lies in ``<output>/dataset``.

    Raises:
        SettingsError: The environment can't be distilled, or ``output`` doesn't fit.
        DivergedError: The numbers are no longer finite; the last good checkpoint stands.
        MissingExtraError: tqdm or tensorboard is not installed.
    """
    output = Path(output)
    env_spec, task = _environment(settings)
    if resume:
        _check_same(settings, output)
        if (output / "dataset").exists():
            logger.info("%s is finished already", output)
            return DistilledDataset.load(output / "dataset")
    elif output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise SettingsError(
            f"{output} exists already: go on with --resume, or choose another --output."
        )
    output.mkdir(parents=True, exist_ok=True)
    with atomic_path(output / "settings.json") as path:
        path.write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n")
    env = make_training_envs(settings)
    with torch.random.fork_rng(devices=[]), _threads(settings.threads):
        torch.manual_seed(settings.seed)
        algorithm = MetaPPO(settings, env, task)
        seconds = _train(algorithm, output, progress)
    env.close()

    provenance = _provenance(settings, algorithm, seconds, command)
    batch, normaliser = algorithm.batch, algorithm.normaliser
    spec = DistillationSpec(
        name=settings.name,
        env=env_spec,
        task=dataclasses.replace(task, target_log_std=algorithm.target_log_std()),
        inner=InnerSpec(learning_rate=batch.learning_rate.item()),
        learner=algorithm.learner,
        observation_transform=None if normaliser is None else normaliser.frozen(),
        provenance=provenance,
    )
    dataset = DistilledDataset(batch.observations, batch.targets, spec)
    evaluation = dataset.evaluate(learners=settings.eval_learners, episodes=settings.eval_episodes)
    dataset.spec = spec.replace(evaluation={"one_step": evaluation.to_dict()})
    dataset.save(output / "dataset")
    dataset = DistilledDataset.load(output / "dataset")
    dataset.source = Source("folder", str(output / "dataset"))
    return dataset


def _train(algorithm: MetaPPO, output: Path, progress: bool) -> float:
    """Iterate to the end, or to the first Ctrl-C; returns the seconds since the run's start."""
    try:
        from torch.utils.tensorboard import SummaryWriter
        from tqdm import tqdm
    except ImportError as error:
        raise MissingExtraError(error.name or "tensorboard", "Distilling", "train") from None
    settings = algorithm.settings
    checkpoint = output / "checkpoint.pt"
    spent = 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        algorithm.load_state_dict(state["algorithm"])
        spent = state["seconds"]
    done = algorithm.iteration * settings.steps_per_iteration
    writer = SummaryWriter(str(output / "tensorboard"), purge_step=done)
    bar = tqdm(
        total=settings.iterations * settings.steps_per_iteration,
        initial=done,
        desc=settings.name,
        unit=" steps",
        unit_scale=True,
        dynamic_ncols=True,
        disable=not progress,
    )
    started = saved = time.monotonic()

    def save() -> None:
        seconds = spent + time.monotonic() - started
        with atomic_path(checkpoint) as path:
            torch.save({"algorithm": algorithm.state_dict(), "seconds": seconds}, path)

    with _stop_on_signal() as stop, writer, bar:
        while algorithm.iteration < settings.iterations and not stop.is_set():
            try:
                metrics = algorithm.iterate()
            except DivergedError as error:
                kept = (
                    f"the last good checkpoint stands in {checkpoint}"
                    if (checkpoint.exists())
                    else "there was no checkpoint yet"
                )
                raise DivergedError(
                    f"{error} Start again with a smaller --learning-rate; {kept}."
                ) from None
            steps = algorithm.iteration * settings.steps_per_iteration
            metrics["steps_per_second"] = (steps - done) / (time.monotonic() - started)
            for name, value in metrics.items():
                writer.add_scalar(name, value, steps)
            bar.set_postfix_str(f"return {metrics['return']:.1f}", refresh=False)
            bar.update(settings.steps_per_iteration)
            if time.monotonic() - saved >= settings.checkpoint_seconds:
                save()
                saved = time.monotonic()
        save()
    if stop.is_set():
        raise KeyboardInterrupt(
            f"stopped after {algorithm.iteration} of {settings.iterations} iterations; "
            f"{checkpoint} is written: go on with --resume"
        )
    return spent + time.monotonic() - started


def _environment(settings: Settings) -> tuple[gym.envs.registration.EnvSpec, TaskSpec]:
    """The environment's spec and task, checked before any work starts."""
    try:
        env_spec = copy.deepcopy(gym.spec(settings.env_id))
        env_spec.kwargs.update(settings.env_kwargs)
        env = gym.make(env_spec)
    except (gym.error.Error, TypeError, ValueError) as error:
        raise SettingsError(f"{settings.env_id} can't be made: {error}") from None
    observations, actions = env.observation_space, env.action_space
    env.close()
    if not isinstance(observations, spaces.Box) or len(observations.shape) != 1:
        raise SettingsError(
            f"{settings.env_id} can't be distilled: its observations are {observations}, and only "
            "Box spaces with one dimension are supported."
        )
    if isinstance(actions, spaces.Discrete) and actions.start == 0:
        return env_spec, TaskSpec("categorical", int(actions.n))
    if isinstance(actions, spaces.Box) and len(actions.shape) == 1 and actions.is_bounded():
        return env_spec, TaskSpec("gaussian", actions.shape[0])
    raise SettingsError(
        f"{settings.env_id} can't be distilled: its actions are {actions}, and only Discrete spaces "
        "that start at 0 and bounded Box spaces with one dimension are supported."
    )


def _check_same(settings: Settings, output: Path) -> None:
    """Refuse to resume a run with other settings."""
    path = output / "settings.json"
    if not path.exists():
        raise SettingsError(f"There is no run to resume in {output}: start it without --resume.")
    before = json.loads(path.read_text())
    now = json.loads(json.dumps(dataclasses.asdict(settings)))
    changed = [
        f"{name} {before.get(name)!r} -> {value!r}"
        for name, value in now.items()
        if before.get(name) != value and name not in FREE_TO_CHANGE
    ]
    if changed:
        raise SettingsError(
            f"The run in {output} was started with other settings ({'; '.join(changed)}): resume "
            "it with the same ones, or choose another --output."
        )


def _provenance(
    settings: Settings, algorithm: MetaPPO, seconds: float, command: str | None
) -> dict:
    packages = {"torch": torch, "gymnasium": gym, "numpy": np, "distilled_envs": distilled_envs}
    return {
        "algorithm": "meta-ppo",
        "paper": "arXiv:2508.09283",
        "command": command,
        "settings": dataclasses.asdict(settings),
        "seed": settings.seed,
        "env_steps": algorithm.iteration * settings.steps_per_iteration,
        "wall_seconds": round(seconds, 1),
        "cpu_cores": os.cpu_count(),
        "torch_threads": settings.threads or torch.get_num_threads(),
        "versions": {"python": platform.python_version()}
        | {name: module.__version__ for name, module in packages.items()},
        "git_revision": _git_revision(),
    }


def _git_revision() -> str | None:
    """Commit of the checkout that this code runs from; None for an installed package."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number, frame):
        stop.set()
        signal.signal(number, signal.default_int_handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
