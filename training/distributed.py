"""Learners shared out among processes, as ``torchrun`` starts them; a process of them is a rank.

Each rank draws, rolls out and differentiates its part of the learners. What all of them learn, the
batch, the critic and the running statistics, is the same on every rank, since gradients and
statistics are averaged. In a process that works alone, everything here leaves values as they are.
"""

import dataclasses
import itertools
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from distilled_envs.errors import RankError, SettingsError
from distilled_envs.formatting import in_a_line
from distilled_envs.training.settings import Settings

logger = logging.getLogger(__name__)

_LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment by which ``torchrun`` tells a process of the others."""
_LONGEST = timedelta(days=1)
"""Time that ranks wait for each other: the evaluation at the end is the first one's alone."""
_FOUND_IN = timedelta(minutes=10)
"""Time in which they find each other."""
_runs = itertools.count()
"""Runs of this process: each finds the others by a name of its own."""
_sent: deque[Tensor] = deque(maxlen=8)
"""The last tensors that were averaged. gloo's threads let go of a tensor some time after it is
sent, and whoever is the last to do so needs the interpreter: of eight processes that ended right
after their last message one was aborted."""
_T = TypeVar("_T")

_group: dist.ProcessGroup | None = None
"""The ranks, while they share the work of a run."""


def rank() -> int:
    """The place of this process among those that share a run's work; 0 is the one that writes."""
    return 0 if _group is None else _group.rank()


def world_size() -> int:
    """How many processes share the work."""
    return 1 if _group is None else _group.size()


def is_first() -> bool:
    """Whether this process is the one that speaks, also when no work is shared any more."""
    return _launched()[0] == 0


def simulator_threads(chosen: int | None) -> int:
    """Threads of a simulator: as chosen, or this rank's share of the cores.

    Args:
        chosen: By the user, or None.

    Returns:
        A number; 0 leaves it to the simulator, where a process works alone.
    """
    if chosen is not None or world_size() == 1:
        return chosen or 0
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))
    return max(1, (os.cpu_count() or 1) // here)


def share(settings: Settings) -> Settings:
    """What a rank does of a run: a part of the learners, in as many iterations.

    Args:
        settings: The whole run's.

    Raises:
        SettingsError: Its learners can't be shared out evenly.
    """
    count = world_size()
    if count == 1:
        return settings
    each, rest = divmod(settings.learners, count)
    if rest or each % len(settings.families):
        raise SettingsError(
            f"{settings.learners} learners of {len(settings.families)} families can't be shared "
            f"out among {count} processes, of which each needs as many, and as many of each "
            "family: choose another --learners, or --nproc-per-node."
        )
    return dataclasses.replace(settings, learners=each, total_steps=settings.total_steps // count)


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Ranks that hear each other: by gloo on processors, by NCCL on GPUs.

    Args:
        device: Of the run. Where it is "cuda", each rank of a machine takes a GPU of its own.

    Raises:
        SettingsError: Ranks can't share the device.
        RankError: They don't find each other.
    """
    global _group
    place, count = _launched()
    if count == 1:
        yield
        return
    if device not in ("cpu", "cuda"):
        raise SettingsError(
            f"Several processes can't share the device {device!r}: choose --device cpu, or "
            "--device cuda, where each takes a GPU of its own."
        )
    if dist.is_initialized():
        raise SettingsError(
            "torch.distributed is initialized already: distill does that itself, so call it before "
            "init_process_group, or after destroy_process_group."
        )
    number = place + 1
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", place)))
        store, *_ = next(dist.rendezvous("env://", timeout=_FOUND_IN))
        dist.init_process_group(
            "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl",
            store=dist.PrefixStore(f"distill-{next(_runs)}", store),
            world_size=count,
            rank=place,
            timeout=_LONGEST,
        )
    except (RuntimeError, ValueError, AssertionError) as error:
        why = in_a_line(error)
        raise RankError(
            f"Process {number} of {count} does not find the others at {address}, or its device: "
            f"{why}."
        ) from None
    _group = dist.group.WORLD
    log = logging.getLogger("distilled_envs")
    level = log.level
    if rank():
        log.setLevel(logging.WARNING)  # what all do, the first one tells
    try:
        yield
        for _ in range(2):  # what was broadcast last is let go of before these arrive
            average(torch.zeros(1))
    finally:
        log.setLevel(level)
        _group = None
        dist.destroy_process_group()


def average(values: Tensor) -> Tensor:
    """The mean of each value over ranks, in a tensor of the same shape."""
    if world_size() == 1:
        return values
    mean = values.detach().clone()
    _sent.append(mean)
    with _heard():
        dist.all_reduce(mean)
    return mean / world_size()


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Give parameters the mean of their gradients over ranks: one message for all of them."""
    if world_size() == 1:
        return
    gradients = [each.grad for each in parameters if each.grad is not None]
    means = average(torch.cat([each.flatten() for each in gradients]))
    parts = means.split([each.numel() for each in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def mean_metrics(minibatches: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """The mean of each metric over minibatches, and over ranks."""
    means = torch.stack([torch.stack([*each.values()]) for each in minibatches]).mean(0)
    return dict(zip(minibatches[0], average(means).tolist(), strict=True))


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean and variance of the values ``(n, ...)`` of all ranks, which have equally many.

    Returns:
        Mean ``(...)``, variance ``(...)``, and how many the values are.
    """
    own = values.mean(0)
    mean = average(torch.from_numpy(own)).numpy()
    spread = values.var(0) + (own - mean) ** 2
    return mean, average(torch.from_numpy(spread)).numpy(), len(values) * world_size()


def all_reduce_sum(*numbers: float) -> list[float]:
    """The sum of each number over ranks."""
    if world_size() == 1:
        return [*numbers]
    return (average(torch.tensor(numbers, dtype=torch.float64)) * world_size()).tolist()


def any_rank(wish: bool) -> bool:
    """Whether it is true on any rank."""
    return bool(all_reduce_sum(float(wish))[0])


def broadcast(value: _T | None = None) -> _T:
    """What the first rank has, on all of them.

    Args:
        value: Anything that can be pickled; that of other ranks is not looked at.
    """
    values: list[Any] = [value]
    if world_size() > 1:
        with _heard():
            dist.broadcast_object_list(values, device=torch.device("cpu"))
    given: _T = values[0]
    return given


def seed_own_draws(seed: int, iteration: int) -> None:
    """Let torch draw otherwise than on the other ranks.

    Args:
        seed: The run's.
        iteration: Where the run goes on.
    """
    sequence = np.random.SeedSequence([seed, iteration, rank()])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


def check_alone(work: str) -> None:
    """Refuse what processes don't share.

    Args:
        work: The command.

    Raises:
        SettingsError: There are several.
    """
    if _launched()[1] > 1:
        raise SettingsError(
            f"`{work}` is the work of one process: run it without torchrun. Processes share that "
            "of `distill PRESET`, by meta-PPO."
        )


def _launched() -> tuple[int, int]:
    """This process's rank, and how many there are, as ``torchrun`` says; 0 and 1 without it."""
    if not all(name in os.environ for name in _LAUNCHED):
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


@contextmanager
def _heard() -> Iterator[None]:
    """What gloo and NCCL say when another rank has gone, in a sentence.

    Raises:
        RankError: It has.
    """
    try:
        yield
    except RuntimeError as error:
        logger.debug("%s", in_a_line(error))
        number, count = rank() + 1, world_size()
        raise RankError(
            f"Process {number} of {count} no longer hears the others: one of them has ended, and "
            "says why, or the network has. The last checkpoint stands: go on with --resume."
        ) from None
