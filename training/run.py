"""One distillation as a run: progress, log, checkpoints, and the dataset at the end."""

import copy
import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium as gym
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from tqdm import tqdm

from distilled_envs import atari
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import MissingExtraError, SettingsError
from distilled_envs.spec import DistillationSpec, InnerSpec, TaskSpec
from distilled_envs.storage import read_spec
from distilled_envs.threads import torch_threads
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.centred import plain
from distilled_envs.training.constant_start import best_constant_action, prefer
from distilled_envs.training.divergence import DivergedError
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.progress import Progress
from distilled_envs.training.provenance import provenance
from distilled_envs.training.run_folder import RunFolder
from distilled_envs.training.settings import Settings
from distilled_envs.training.teacher import load_teacher

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
            (cart-pole); others start new episodes. A finished run goes on if ``total_steps`` are
            more now, and what it gave before stays in ``<output>/dataset-<steps>``.
        progress: Whether to show a progress bar.
        command: The shell command that asked for it, kept in the dataset's provenance; a resumed
            run keeps the one that started it.

    Returns:
        The dataset, which also lies in ``<output>/dataset``.

    Raises:
        SettingsError: The environment can't be distilled, the device can't be used, or ``output``
            doesn't fit.
        DatasetError: There is no such teacher, or a game's ROM is missing.
        DivergedError: The numbers are no longer finite; the last good checkpoint stands.
        MissingExtraError: tensorboard is not installed.
    """
    env_spec, task = checked_environment(settings)
    try:
        torch.empty(0, device=settings.device)
    except (RuntimeError, AssertionError) as error:  # an assertion, where CUDA was left out
        raise SettingsError(f"The device {settings.device!r} can't be used: {error}") from None
    output, teacher = Path(output), None
    if resume:
        folder = RunFolder.resume(output, settings)
        if folder.dataset.exists() and folder.iteration() >= settings.iterations:
            logger.info("%s is finished already", output)
            return DistilledDataset.load(folder.dataset)
        if settings.teacher is not None:
            teacher = load_teacher(folder.teacher, env_spec)
    else:
        _log_writer()  # before anything is written
        if settings.teacher is not None:
            guide = settings.learner if settings.guide_share else None
            teacher = load_teacher(settings.teacher, env_spec, guide)
        folder = RunFolder.start(output, settings, command)
        if teacher is not None:  # whatever becomes of the name, the run goes on with this one
            teacher.save(folder.teacher)
    state = folder.load_checkpoint()
    # Environments that can't go on from where they were get new episodes, not the first ones again.
    env_seed = settings.seed + (state["algorithm"]["iteration"] if state else 0)
    env = make_training_envs(settings, env_seed)
    with (
        torch.random.fork_rng(devices=[]),
        torch_threads(settings.threads or torch.get_num_threads()),
    ):
        torch.manual_seed(settings.seed)
        algorithm = MetaPPO(settings, env, task, env_seed, teacher)
        done = Progress()
        if state is not None:
            try:
                algorithm.load_state_dict(state["algorithm"])
            except (KeyError, RuntimeError, ValueError):
                raise SettingsError(
                    f"{folder.checkpoint} is of another version of distilled-envs, whose networks "
                    "are built otherwise: go on with that one, or start again with another "
                    "--output."
                ) from None
            done = Progress.from_checkpoint(state)
        elif settings.constant_start:
            started = time.monotonic()
            action, steps = best_constant_action(settings, task.n_outputs, progress=progress)
            logger.info("a player of action %d alone gets most, and learners start so", action)
            prefer(algorithm, action)
            done = Progress(time.monotonic() - started, steps)
        # This call's command, not the first one's: settings may have changed on resuming.
        again = "--resume" if command is None else f"`{command}{'' if resume else ' --resume'}`"
        _train(algorithm, folder, done, progress, again)
    env.close()
    return _finish(algorithm, folder, env_spec, done, teacher, progress)


def _train(
    algorithm: MetaPPO, folder: RunFolder, done: Progress, progress: bool, again: str
) -> None:
    """Iterate to the end, or to the first Ctrl-C.

    Args:
        algorithm: The state to go on from.
        folder: Where checkpoints and scalars go.
        done: What the run has done before; brought up to date.
        progress: Whether to show a progress bar.
        again: What goes on with the run after Ctrl-C.
    """
    settings = algorithm.settings
    before = algorithm.iteration * settings.steps_per_iteration
    writer = _log_writer()(str(folder.tensorboard), purge_step=before + 1)
    bar = tqdm(
        total=settings.iterations * settings.steps_per_iteration,
        initial=before,
        desc=settings.name,
        unit=" steps",
        unit_scale=True,
        dynamic_ncols=True,
        disable=not progress,
    )
    smaller = f"--learning-rate (it was {settings.learning_rate:g})"
    if settings.target_learning_rate is not None:
        smaller += f" or --target-learning-rate (it was {settings.target_learning_rate:g})"
    spent, started = done.seconds, time.monotonic()
    saved = started

    def save() -> None:
        done.seconds = spent + time.monotonic() - started
        folder.save_checkpoint({"algorithm": algorithm.state_dict()} | done.to_checkpoint())

    with _stop_on_signal() as stop, writer, bar:
        while algorithm.iteration < settings.iterations and not stop.is_set():
            try:
                metrics = algorithm.iterate()
            except DivergedError as error:
                raise DivergedError(
                    f"{error} The checkpoint of iteration {folder.iteration()} stands: go on from "
                    f"it with --resume and a smaller {smaller}."
                ) from None
            steps = algorithm.iteration * settings.steps_per_iteration
            metrics["steps_per_second"] = (steps - before) / (time.monotonic() - started)
            for name, value in metrics.items():
                writer.add_scalar(name, value, steps)
            done.note(steps, metrics["return"])
            bar.set_postfix_str(f"return {metrics['return']:.1f}", refresh=False)
            bar.update(settings.steps_per_iteration)
            if time.monotonic() - saved >= settings.checkpoint_seconds:
                save()
                saved = time.monotonic()
        save()
    if stop.is_set():
        raise KeyboardInterrupt(
            f"stopped after {algorithm.iteration} of {settings.iterations} iterations; "
            f"{folder.checkpoint} is written: go on with {again}"
        )


def _finish(
    algorithm: MetaPPO,
    folder: RunFolder,
    env_spec: EnvSpec,
    done: Progress,
    teacher: DistilledDataset | None,
    progress: bool,
) -> DistilledDataset:
    """Evaluate what was distilled, and write it."""
    settings, batch, normaliser = algorithm.settings, algorithm.batch, algorithm.normaliser
    spec = DistillationSpec(
        name=settings.name,
        env=env_spec,
        task=dataclasses.replace(algorithm.task, target_log_std=algorithm.target_log_std()),
        inner=InnerSpec(learning_rate=batch.learning_rate.item()),
        learner=algorithm.learner,
        observation_transform=None if normaliser is None else normaliser.frozen(),
        preprocessing=None if settings.encoder_level is None else "atari",
        provenance=provenance(
            settings,
            command=folder.record["command"],
            changes=folder.record["changes"],
            env_steps=done.trial_steps + algorithm.iteration * settings.steps_per_iteration,
            wall_seconds=done.seconds,
            training_curve=done.curve(),
            teacher=teacher,
        ),
    )
    encoder = None
    if settings.encoder_level:  # as it is kept in the file
        encoder = {
            name: e.cpu().half().float()
            for name, e in plain(algorithm.encoder).state_dict().items()
        }
    dataset = DistilledDataset(batch.observations, batch.targets, spec, encoder=encoder)
    evaluation = dataset.evaluate(
        learners=settings.eval_learners, episodes=settings.eval_episodes, progress=progress
    )
    dataset.spec = spec.replace(evaluation={"one_step": evaluation.to_dict()})
    if folder.dataset.exists():  # the run went on for longer
        steps = read_spec(folder.dataset).provenance["env_steps"]
        folder.dataset.rename(folder.path / f"dataset-{steps}")
    dataset.save(folder.dataset)
    return DistilledDataset.load(folder.dataset)


def _log_writer() -> type:
    """TensorBoard's writer, which comes as an extra."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(error.name or "tensorboard", "Distilling", "train") from None
    return SummaryWriter


def checked_environment(settings: Settings) -> tuple[EnvSpec, TaskSpec]:
    """The environment's spec and task, checked before any work starts."""
    is_atari = settings.env_id.startswith("ALE/")
    if is_atari:
        atari.register(settings.env_id)
    try:
        env = gym.make(settings.env_id, **settings.env_kwargs)  # imports the module of "module:id"
        env_spec = copy.deepcopy(gym.spec(settings.env_id.split(":")[-1]))
        env_spec.kwargs.update(settings.env_kwargs)
    except (gym.error.Error, ImportError, TypeError, ValueError) as error:
        raise SettingsError(f"{settings.env_id} can't be made: {error}") from None
    if is_atari:
        env = atari.preprocess(env)
    observations, actions = env.observation_space, env.action_space
    env.close()
    dimensions = 3 if is_atari else 1
    if not isinstance(observations, spaces.Box) or len(observations.shape) != dimensions:
        raise SettingsError(
            f"{settings.env_id} can't be distilled: its observations are {observations}, and only "
            "Box spaces with one dimension, and the frames of Atari games (ALE/...), are supported."
        )
    shown = observations.shape
    if settings.coordinates is not None:
        if not all(0 <= place < shown[0] for place in settings.coordinates):
            raise SettingsError(
                f"coordinates must lie in 0..{shown[0] - 1} for {settings.env_id}, "
                f"got {settings.coordinates}."
            )
        shown = (len(settings.coordinates),)
    if isinstance(actions, spaces.Discrete) and actions.start == 0:
        return env_spec, TaskSpec("categorical", shown, int(actions.n))
    if isinstance(actions, spaces.Box) and len(actions.shape) == 1 and actions.is_bounded():
        if settings.constant_start:
            raise SettingsError(
                f"constant_start is for discrete actions; those of {settings.env_id} are {actions}."
            )
        return env_spec, TaskSpec("gaussian", shown, actions.shape[0])
    raise SettingsError(
        f"{settings.env_id} can't be distilled: its actions are {actions}, and only Discrete "
        "spaces that start at 0 and bounded Box spaces with one dimension are supported."
    )


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
