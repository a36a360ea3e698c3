"""How many threads torch uses, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Use ``count`` threads inside the block, and as many as before after it.

    Networks on rows gain nothing from more than one, and lose much on a busy machine. And what uses
    torch's pool of threads in a process that was forked from one that had used it never returns,
    as in the workers of ``gym.make_vec(..., vectorization_mode="async")``.

    It decorates functions, too. The number is one for all threads of a program: where several use
    this at once, it may stay at ``count``.
    """
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(observation_shape: tuple[int, ...]) -> int:
    """As many threads as networks on such observations gain from: one for vectors.

    More than one lose on a busy machine: 2-D cart-pole is distilled at 4,100 steps a second with
    two threads beside two other processes on two cores, and at 20,200 with one.

    >>> threads_for((8,))
    1
    """
    return 1 if len(observation_shape) == 1 else torch.get_num_threads()
