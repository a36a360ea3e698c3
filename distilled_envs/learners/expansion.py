"""Expanding a batch: what its one-step learners answer at many inputs.

A batch teaches through its own step. What it teaches stands in the learners' answers, and thousands
of these are a dataset for any network: on Hopper PyTorch-default networks get 37 by the one step,
and 3,233 where the dataset's own get 3,134 when they are trained on 8,192 of them.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from distilled_envs.learners.population import Population

if TYPE_CHECKING:
    from distilled_envs.rows import Rows

LEARNERS = 64
"""One-step learners whose answers are averaged. A single one's own draw is 0.0000 of their variance
on Hopper, and 0.1 on 10-D cart-pole."""

_BYTES = 2**27  # of all parameters; the step takes four times as much
_VALUES = 2**22  # of hidden layers at a time: 1,024 inputs of 64 networks of width 64


def noise(rows: "Rows", count: int, generator: torch.Generator) -> Tensor:
    """Inputs ``(count, n_inputs)`` of the size of observations: normal, alike in all directions.

    Under the dataset's transform observations have the standard deviation ``scale``. Elsewhere it
    is taken to be the rows' root mean square: on cart-poles of 1 to 10 axes play has 0.5 to 2.7
    times that. At half of it PPO does not learn the 10-D one's id, since inputs of 0.02 hardly
    move a network; at all of it, it gets 500.
    """
    fixed = rows.spec.observation_transform
    size = rows.observations.square().mean().sqrt() if fixed is None else fixed.scale
    shape = count, *rows.observations.shape[1:]
    return size * torch.randn(shape, generator=generator, dtype=torch.float32)


def one_step_learners(
    rows: "Rows", generator: torch.Generator, count: int | None = None
) -> Population:
    """Fresh networks after their step; behind an encoder they take its features.

    Args:
        rows: What they learn.
        generator: Of their draw.
        count: How many; None takes 64, or as many as fit into the memory that they may take.
    """
    if count is None:
        each = rows.spec.learner.size(rows.spec.task.observation_shape, rows.spec.task.n_outputs)
        count = min(LEARNERS, max(1, _BYTES // each))
    fresh = Population.draw(rows.spec.learner, rows.spec.task, count, generator)
    return fresh.step(rows.features, rows.targets, rows.spec.inner.learning_rate)


@torch.no_grad()
def mean_answers(rows: "Rows", learners: Population, observations: Tensor) -> Tensor:
    """Mean outputs of learners ``(n, n_outputs)`` at observations ``(n, *obs_shape)``."""
    encode = rows.encoder or nn.Identity()
    widest = max(rows.spec.learner.hidden_sizes, default=1)
    parts = observations.split(max(1, _VALUES // (len(learners) * widest)))
    return torch.cat([learners(encode(part.float())).mean(0) for part in parts])
