"""One distillation as a run: its folder, its start or where it goes on, the dataset at the end."""

import dataclasses
import difflib
import io
import logging
import time
from pathlib import Path
from typing import Any

import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.real import env_spaces
from distilled_envs.errors import SettingsError
from distilled_envs.formatting import in_a_line
from distilled_envs.learners.threads import threads_for, torch_threads
from distilled_envs.spec import DistillationSpec, InnerSpec, TaskSpec
from distilled_envs.storage.files import alone_in, given_path
from distilled_envs.storage.folder import read_spec
from distilled_envs.training.backends import checked_world, make_training_envs
from distilled_envs.training.checkpoints import check_state
from distilled_envs.training.constant_action import best_constant_action
from distilled_envs.training.dataset_teachers import as_teacher, load_guide_start, load_teacher
from distilled_envs.training.distributed import (
    broadcast,
    process_group,
    rank,
    seed_own_draws,
    share,
    simulator_threads,
    world_size,
)
from distilled_envs.training.guided import Guided
from distilled_envs.training.imitation import Imitation
from distilled_envs.training.loop import iterate
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.presets import PRESETS
from distilled_envs.training.provenance import TrainingLog, provenance
from distilled_envs.training.run_folder import RunFolder, check_free, check_run
from distilled_envs.training.settings import GameSettings, Settings
from distilled_envs.training.starts import prefer
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

    Processes that torchrun has started share the learners, see :mod:`.distributed`. Settings are
    those of the first one, which alone reads and writes ``output``.

    Ctrl-C (and SIGTERM) finishes the iteration, writes a checkpoint and raises KeyboardInterrupt;
    a second one stops at once, and the last checkpoint stands. (torchrun ends processes that need
    longer than its ``--shutdown-timeout``, 30 seconds.)

    Args:
        settings: What to distill and how; a name stands for that of a preset.
        output: Folder of the run.
        resume: Go on with the run in ``output``. On one thread, a resumed run gives the same
            dataset as one that was never stopped, for cart-pole, which tells its state, and games,
            which are played again up to there; others start new episodes. A finished run goes on if
            ``total_steps`` are more now, and ``reward_threshold`` higher or None where it was
            solved; what it gave before stays in ``<output>/dataset-<steps>``. Processes may be more
            or fewer then.
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
        RankError: Another process that shared the work has ended.
    """
    if isinstance(settings, str):
        if settings not in PRESETS:
            near = difflib.get_close_matches(settings, PRESETS, n=3, cutoff=0.4)
            raise SettingsError(
                f"There is no preset {settings!r}; the nearest: {', '.join(near) or 'none'}. "
                "for_environment(id) makes settings of an environment."
            )
        settings = PRESETS[settings]
    output = given_path(output)
    # This call's command, not the first one's: settings may have changed on resuming.
    again = "--resume" if command is None else f"`{command}{'' if resume else ' --resume'}`"
    with process_group(settings.device):
        settings = broadcast(settings)  # the first rank may have those of a run that goes on
        world = checked_world(settings)
        _check_device(settings.device)
        share(settings)  # or say now that it can't be
        if rank():
            return _follow(settings, world)
        if resume:
            check_run(output)
            with alone_in(output):
                folder = RunFolder.resume(output, settings)
                if folder.is_finished(settings):
                    logger.info("%s is finished already", output)
                    broadcast(None)
                    return broadcast(DistilledDataset.load(folder.dataset))
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


def _follow(settings: Settings, world: World) -> DistilledDataset:
    """What other ranks than the first do: learn with it, and get its dataset."""
    begun: tuple[int | None, DistilledDataset | None] | None = broadcast()
    if begun is not None:  # else it was finished already
        _learn(settings, world, *begun)
    dataset: DistilledDataset = broadcast()
    return dataset


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
    iteration = None if state is None else state["algorithm"]["iteration"]
    broadcast((iteration, source))
    algorithm, log = _learn(
        settings, world, iteration, source, state, folder, progress=progress, again=again
    )
    return broadcast(_finish(settings, algorithm, folder, world, log, source, progress))


def _learn(
    settings: Settings,
    world: World,
    iteration: int | None,
    source: DistilledDataset | None,
    state: dict[str, Any] | None = None,
    folder: RunFolder | None = None,
    *,
    progress: bool = False,
    again: str = "",
) -> tuple[MetaPPO, TrainingLog]:
    """The iterations that are left of a run, this rank's share of them.

    Args:
        settings: The run's.
        world: Its environment.
        iteration: Those that its last checkpoint has done; None without one.
        source: The dataset that it learns from.
        state: That checkpoint; only the first rank has it.
        folder: Its folder; only the first rank has it.
        progress: Whether to show a progress bar.
        again: What goes on with the run after Ctrl-C.

    Returns:
        The algorithm after the last iteration, and what all of them took.
    """
    mine = share(settings)
    # Environments that can't go on from where they were get new episodes, not the first ones again.
    env_seed = settings.seed + (iteration or 0) + rank() * mine.learners * mine.envs_per_learner
    env = make_training_envs(mine, world, env_seed)
    threads = _threads(settings, world)
    if settings.threads is None:
        logger.info("torch uses %d thread%s (--threads)", threads, "s" * (threads != 1))
    with torch.random.fork_rng(devices=[]), torch_threads(threads):
        torch.manual_seed(settings.seed)
        algorithm = make_algorithm(mine, env, world.task, env_seed, source)
        log = TrainingLog()
        if folder is not None and state is not None:
            with folder.restoring():
                check_state(state["algorithm"], algorithm)
                algorithm.load_state_dict(state["algorithm"])
                log = TrainingLog.from_checkpoint(state)
        elif iteration is None and isinstance(settings, GameSettings) and settings.constant_start:
            action, log = _constant_start(settings, world, progress)
            prefer(algorithm, action)
        if world_size() > 1:
            start_alike(algorithm)
        iterate(settings, algorithm, folder, log, progress, again)
    env.close()
    return algorithm, log


def _constant_start(
    settings: GameSettings, world: World, progress: bool
) -> tuple[int, TrainingLog]:
    """The best constant action, which the first rank finds out, and what that took."""
    found: tuple[int, TrainingLog] | None = None
    if rank() == 0:
        started = time.monotonic()
        best = best_constant_action(
            world,
            settings.seed,
            threads=simulator_threads(settings.threads),
            progress=progress,
        )
        logger.info("a player of action %d alone gets most, and learners start so", best.action)
        found = best.action, TrainingLog(time.monotonic() - started, best.steps)
    return broadcast(found)


def start_alike(algorithm: MetaPPO) -> None:
    """The first rank's batch, critic and statistics, on all ranks, which draw otherwise from now.

    Args:
        algorithm: This rank's, whose environments have a seed of their own.
    """
    content = io.BytesIO()
    torch.save(algorithm.state_dict(), content)
    first = io.BytesIO(broadcast(content.getvalue()))
    if rank():
        algorithm.load_state_dict(torch.load(first, map_location="cpu", weights_only=True))
        seed_own_draws(algorithm.settings.seed, algorithm.iteration)


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


def _finish(
    settings: Settings,
    algorithm: MetaPPO,
    folder: RunFolder,
    world: World,
    log: TrainingLog,
    source: DistilledDataset | None,
    progress: bool,
) -> DistilledDataset:
    """Evaluate what was distilled, and write it."""
    batch, view = algorithm.batch, algorithm.view
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
