"""One distillation as a run: progress, log, checkpoints, and the dataset at the end."""

import dataclasses
import difflib
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.real import env_spaces
from distilled_envs.errors import DivergedError, SettingsError
from distilled_envs.formatting import in_a_line, written
from distilled_envs.learners.threads import threads_for, torch_threads
from distilled_envs.spec import DistillationSpec, InnerSpec, TaskSpec
from distilled_envs.storage.files import alone_in, given_path
from distilled_envs.storage.folder import read_spec
from distilled_envs.training.backends import checked_world, make_training_envs
from distilled_envs.training.checkpoints import check_state
from distilled_envs.training.dataset_teachers import as_teacher, load_guide_start, load_teacher
from distilled_envs.training.guided import Guided
from distilled_envs.training.imitation import Imitation
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.presets import PRESETS
from distilled_envs.training.progress import step_bar
from distilled_envs.training.provenance import TrainingLog, provenance
from distilled_envs.training.run_folder import RunFolder, check_free, check_run
from distilled_envs.training.scalars import Scalars
from distilled_envs.training.settings import GameSettings, Settings
from distilled_envs.training.starts import best_constant_action, prefer
from distilled_envs.training.views import make_view
from distilled_envs.training.world import World

logger = logging.getLogger(__name__)


def distill(
    settings: Settings | str,
    output: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
    command: str | None = None,
) -> DistilledDataset:
    """Distill an environment into a dataset.

    Ctrl-C (and SIGTERM) finishes the iteration, writes a checkpoint and raises KeyboardInterrupt;
    a second one stops at once, and the last checkpoint stands.

    Args:
        settings: What to distill and how; a name stands for that of a preset.
        output: Folder of the run.
        resume: Go on with the run in ``output``. On one thread, a resumed run gives the same
            dataset as one that was never stopped, for cart-pole, which tells its state, and games,
            which are played again up to there; others start new episodes. A finished run goes on if
            ``total_steps`` are more now, and ``reward_threshold`` higher or None where it was
            solved; what it gave before stays in ``<output>/dataset-<steps>``.
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
        StorageError: ``output`` can't be written, or another run goes on there.
    """
    if isinstance(settings, str):
        if settings not in PRESETS:
            near = difflib.get_close_matches(settings, PRESETS, n=3, cutoff=0.4)
            raise SettingsError(
                f"There is no preset {settings!r}; the nearest: {', '.join(near) or 'none'}. "
                "for_environment(id) makes settings of an environment."
            )
        settings = PRESETS[settings]
    world = checked_world(settings)
    _check_device(settings.device)
    output = given_path(output)
    # This call's command, not the first one's: settings may have changed on resuming.
    again = "--resume" if command is None else f"`{command}{'' if resume else ' --resume'}`"
    if resume:
        check_run(output)
        with alone_in(output):
            folder = RunFolder.resume(output, settings)
            if folder.is_finished(settings):
                logger.info("%s is finished already", output)
                return DistilledDataset.load(folder.dataset)
            kept = folder.teacher if folder.teacher.exists() else None
            source = _load_source(settings, world.spec, kept)
            folder.keep(source)
            return _run(settings, world, folder, source, progress, again)
    check_free(output)
    source = _load_source(settings, world.spec)  # before anything is written
    with alone_in(output):
        folder = RunFolder.start(output, settings, command)
        folder.keep(source)
        return _run(settings, world, folder, source, progress, again)


def _run(
    settings: Settings,
    world: World,
    folder: RunFolder,
    source: DistilledDataset | None,
    progress: bool,
    again: str,
) -> DistilledDataset:
    """What is left of a run, from its last checkpoint to the dataset.

    Args:
        settings: The run's.
        world: Its environment.
        folder: Its folder, in which no other process works.
        source: The dataset that it learns from.
        progress: Whether to show a progress bar.
        again: What goes on with the run after Ctrl-C.
    """
    state = folder.load_checkpoint()
    # Environments that can't go on from where they were get new episodes, not the first ones again.
    env_seed = settings.seed + (state["algorithm"]["iteration"] if state else 0)
    env = make_training_envs(settings, world, env_seed)
    threads = _threads(settings, world)
    if settings.threads is None:
        logger.info("torch uses %d thread%s (--threads)", threads, "s" * (threads != 1))
    with torch.random.fork_rng(devices=[]), torch_threads(threads):
        torch.manual_seed(settings.seed)
        algorithm = make_algorithm(settings, env, world.task, env_seed, source)
        log = TrainingLog()
        if state is not None:
            with folder.restoring():
                check_state(state["algorithm"], algorithm)
                algorithm.load_state_dict(state["algorithm"])
                log = TrainingLog.from_checkpoint(state)
        elif isinstance(settings, GameSettings) and settings.constant_start:
            started = time.monotonic()
            action, steps = best_constant_action(settings, world, progress=progress)
            logger.info("a player of action %d alone gets most, and learners start so", action)
            prefer(algorithm, action)
            log = TrainingLog(time.monotonic() - started, steps)
        _train(algorithm, folder, log, progress, again)
    env.close()
    return _finish(algorithm, folder, world, log, source, progress)


def make_algorithm(
    settings: Settings,
    env: VectorEnv,
    task: TaskSpec,
    env_seed: int,
    source: DistilledDataset | None = None,
) -> MetaPPO:
    """The algorithm that settings ask for, before its first iteration.

    Args:
        settings: The run's.
        env: ``learners * envs_per_learner`` copies of its environment.
        task: How outputs become actions.
        env_seed: Seed of the environments' first reset.
        source: The dataset that is the learners' teacher, or that a guide starts from.
    """
    encoder = None if source is None else source.encoder
    actors, view = make_view(settings, env, task, env_seed, encoder)
    if isinstance(settings, GameSettings) and settings.guide_share:
        return Guided(settings, task, actors, view, source)
    imitation = None
    if source is not None:
        imitation = Imitation(as_teacher(source, settings.device), task)
    return MetaPPO(settings, task, actors, view, imitation)


def _load_source(
    settings: Settings, env_spec: EnvSpec, copy: Path | None = None
) -> DistilledDataset | None:
    """The dataset that a run learns from: its teacher, or what its guide starts from.

    Args:
        settings: The run's, which name it.
        env_spec: The environment of the run.
        copy: The folder's copy of it, where a run goes on; None loads what settings name.
    """
    if isinstance(settings, GameSettings) and settings.guide_start is not None:
        return load_guide_start(copy or settings.guide_start, env_spec, settings.learner)
    if settings.teacher is not None:
        return load_teacher(copy or settings.teacher, env_spec)
    return None


def _threads(settings: Settings, world: World) -> int:
    """Threads of torch."""
    return settings.threads or threads_for(world.task.observation_shape)


def _check_device(device: str) -> None:
    """Find out before any work starts."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # an assertion, where CUDA was left out
        raise SettingsError(f"The device {device!r} can't be used: {in_a_line(error)}") from None


def _train(
    algorithm: MetaPPO, folder: RunFolder, log: TrainingLog, progress: bool, again: str
) -> None:
    """Iterate to the end, or to the first Ctrl-C.

    Args:
        algorithm: The state to go on from.
        folder: Where checkpoints and scalars go.
        log: What the run has done before; brought up to date.
        progress: Whether to show a progress bar.
        again: What goes on with the run after Ctrl-C.
    """
    settings = algorithm.settings
    before = algorithm.iteration * settings.steps_per_iteration
    scalars = Scalars(folder.tensorboard, before + 1)
    total = algorithm.ending.iterations * settings.steps_per_iteration
    bar = step_bar(settings.name, total, done=before, progress=progress)
    smaller = f"--learning-rate (it was {settings.learning_rate:g})"
    if settings.target_learning_rate is not None:
        smaller += f" or --target-learning-rate (it was {settings.target_learning_rate:g})"
    spent, started = log.seconds, time.monotonic()
    saved = started

    def save() -> None:
        log.seconds = spent + time.monotonic() - started
        folder.save_checkpoint({"algorithm": algorithm.state_dict()} | log.to_checkpoint())

    with _stop_on_signal() as stop, scalars, bar:
        while algorithm.iteration < algorithm.ending.iterations and not stop.is_set():
            try:
                metrics = algorithm.iterate()
            except DivergedError as error:
                raise DivergedError(
                    f"{error} The checkpoint of iteration {folder.iteration()} stands: go on from "
                    f"it with --resume and a smaller {smaller}."
                ) from None
            steps = algorithm.iteration * settings.steps_per_iteration
            metrics["steps_per_second"] = (steps - before) / (time.monotonic() - started)
            scalars.add(metrics, steps)
            log.note(steps, metrics["return"])
            if not math.isnan(metrics["return"]):  # as long as no episode has ended
                bar.set_postfix_str(f"return {written(metrics['return'])}", refresh=False)
            bar.update(settings.steps_per_iteration)
            if algorithm.iteration == algorithm.ending.solved:
                bar.total = algorithm.ending.iterations * settings.steps_per_iteration
                with bar.external_write_mode():
                    logger.info("%s", algorithm.ending.message())
            if time.monotonic() - saved >= settings.checkpoint_seconds:
                save()
                saved = time.monotonic()
        save()
    if stop.is_set():
        raise KeyboardInterrupt(
            f"stopped after {algorithm.iteration} of {algorithm.ending.iterations} iterations; "
            f"{folder.checkpoint} is written: go on with {again}"
        )


def _finish(
    algorithm: MetaPPO,
    folder: RunFolder,
    world: World,
    log: TrainingLog,
    source: DistilledDataset | None,
    progress: bool,
) -> DistilledDataset:
    """Evaluate what was distilled, and write it."""
    settings, batch, view = algorithm.settings, algorithm.batch, algorithm.view
    networks = dict(zip(settings.families, settings.networks, strict=True))
    spec = DistillationSpec(
        name=settings.name,
        env=world.spec,
        task=dataclasses.replace(algorithm.task, target_log_std=batch.log_std()),
        inner=InnerSpec(learning_rate=batch.learning_rate.item()),
        learner=settings.learner,
        families=tuple(networks) if len(networks) > 1 else (),
        observation_transform=view.transform(),
        preprocessing=world.preprocessing,
        env_module=world.module,
        provenance=provenance(
            settings,
            command=folder.record["command"],
            changes=folder.record["changes"],
            env_steps=algorithm.iteration * settings.steps_per_iteration,
            log=log,
            threads=_threads(settings, world),
            solved=algorithm.ending.solved * settings.steps_per_iteration,
            teacher=source,
        ),
    )
    spec = spec.replace(spaces=env_spaces(spec))
    dataset = DistilledDataset(
        batch.observations, batch.targets, spec, encoder=view.encoder_state()
    )
    evaluation = {}
    for family, network in networks.items():
        key = "one_step" if network == spec.learner else f"one_step_{family}"
        evaluation[key] = dataset.evaluate(
            learner=network,
            learners=settings.eval_learners,
            episodes=settings.eval_episodes,
            progress=progress,
        ).to_dict()
    dataset.spec = spec.replace(evaluation=evaluation)
    if folder.dataset.exists():  # the run went on for longer
        steps = read_spec(folder.dataset).provenance["env_steps"]
        folder.dataset.rename(folder.path / f"dataset-{steps}")
    dataset.save(folder.dataset)
    return DistilledDataset.load(folder.dataset)


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
