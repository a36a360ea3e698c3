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
    """As many threads as are well for networks on such observations: one for vectors.

    Two gain a little on an idle machine of two cores, and lose much on a busy one: 2-D cart-pole is
    distilled at 46,400 and 4,100 steps a second with two, at 38,400 and 20,200 with one.

    >>> threads_for((8,))
    1
    """
    return 1 if len(observation_shape) == 1 else torch.get_num_threads()
