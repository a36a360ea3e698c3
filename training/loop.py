"""The iterations of a run: bar, scalars, checkpoints, Ctrl-C."""

import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from distilled_envs.errors import DivergedError
from distilled_envs.formatting import written
from distilled_envs.training.distributed import any_rank, world_size
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.progress import step_bar
from distilled_envs.training.provenance import TrainingLog
from distilled_envs.training.run_folder import RunFolder
from distilled_envs.training.scalars import Scalars
from distilled_envs.training.settings import Settings

logger = logging.getLogger(__name__)


def iterate(
    settings: Settings,
    algorithm: MetaPPO,
    folder: RunFolder | None,
    log: TrainingLog,
    progress: bool,
    again: str,
) -> None:
    """Iterate to the end, or to the first Ctrl-C.

    Args:
        settings: The run's, of all ranks.
        algorithm: The state to go on from.
        folder: Where checkpoints and scalars go; None on ranks that write nothing.
        log: What the run has done before; brought up to date.
        progress: Whether to show a progress bar.
        again: What goes on with the run after Ctrl-C.
    """
    before = algorithm.iteration * settings.steps_per_iteration
    scalars = Scalars(None if folder is None else folder.tensorboard, before + 1)
    total = algorithm.ending.iterations * settings.steps_per_iteration
    bar = step_bar(settings.name, total, done=before, progress=progress)
    smaller = f"--learning-rate (it was {settings.learning_rate:g})"
    if settings.target_learning_rate is not None:
        smaller += f" or --target-learning-rate (it was {settings.target_learning_rate:g})"
    spent, started = log.seconds, time.monotonic()
    saved = started

    def save() -> None:
        if folder is None:
            return
        log.seconds = spent + time.monotonic() - started
        folder.save_checkpoint({"algorithm": algorithm.state_dict()} | log.to_checkpoint())

    with _stop_on_signal() as stop, scalars, bar:
        while not (stopped := any_rank(stop.is_set())):
            if algorithm.iteration >= algorithm.ending.iterations:
                break
            try:
                metrics = algorithm.iterate()
            except DivergedError as error:
                if folder is None:
                    raise
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
                    logger.info("%s", algorithm.ending.message(bar.total))
            if time.monotonic() - saved >= settings.checkpoint_seconds:
                save()
                saved = time.monotonic()
        save()
        stopped = stopped or any_rank(stop.is_set())
    if stopped:
        if folder is None:
            raise KeyboardInterrupt
        raise KeyboardInterrupt(
            f"stopped after {algorithm.iteration} of {algorithm.ending.iterations} iterations; "
            f"{folder.checkpoint} is written: go on with {again}"
        )


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second interrupts at once.

    Under torchrun no second one does: it sends on what its ranks had from the terminal already, and
    ends them by itself when they take longer than its timeout.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number, frame):
        stop.set()
        if world_size() == 1:
            signal.signal(number, signal.default_int_handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        sent_again = world_size() > 1 and stop.is_set()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if sent_again else handler)
