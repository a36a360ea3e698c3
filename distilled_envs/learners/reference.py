"""What a dataset's own learners make of its rows: the measure for every other network.

One step on a network with small outputs answers ``f(x) = rate * 2 / (k A) * sum_j y_j (K(x_j, x)
+ 1)``: K is the inner product of the last hidden layer's features, and 1 the output bias. Networks
with the same K answer alike, whatever they are made of.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from distilled_envs.learners.actions import comparable
from distilled_envs.learners.expansion import mean_answers, noise, one_step_learners
from distilled_envs.learners.layers import used_layers
from distilled_envs.learners.networks import make_policy

if TYPE_CHECKING:
    from distilled_envs.rows import Rows

_KERNEL_NETWORKS = 8
_INPUTS = 512
_NEAR = 0.5
"""Size of the inputs on cart-pole, as a share of the expanded rows'. A verdict by inputs so small
errs on 43 of 1,613 networks, since constants count there; by inputs of full size on 56."""
_SOME = 32
_CNN_LEARNERS = 8
"""Without an encoder each has 1.7 million parameters, and as many gradients."""


@dataclass(frozen=True)
class Reference:
    """One-step learners of a dataset at inputs like those of play.

    Attributes:
        inputs: ``(n, *obs_shape)``: noise of the observations' size; of a game, and where there is
            an encoder, the rows.
        answers: Mean outputs of learners there ``(n, n_outputs)``.
        spread: Mean squared difference of one of them from these answers, as a share of their mean
            square, of logits up to a constant. Learners of ReLU differ by what their width misses
            of the infinite one's kernel; of others it is not measured, and 0.
        kernel: Mean inner products, over fresh networks, of the last hidden layer's features at the
            rows and at the inputs ``(k, n)``.
    """

    inputs: Tensor
    answers: Tensor
    spread: float
    kernel: Tensor

    @classmethod
    @torch.inference_mode(False)
    def of(cls, rows: "Rows") -> Self:
        """Of a dataset; the draws are always the same."""
        generator = torch.Generator().manual_seed(0)
        frames = rows.observations.dim() > 2
        # An encoder says little of noise.
        inputs = noise(rows, _INPUTS, generator) if rows.is_plain else rows.observations
        if rows.is_plain and rows.spec.observation_transform is None:
            inputs = _NEAR * inputs
        count = _CNN_LEARNERS if frames else None
        learners = one_step_learners(rows, generator, count)
        answers = mean_answers(rows, learners, inputs)
        task, kernel = rows.spec.task, torch.zeros(len(rows), len(inputs), dtype=torch.float32)
        seen = inputs if rows.encoder is None else rows.encoder(inputs)
        spread = 0.0
        if rows.spec.is_for_relu:
            with torch.no_grad():  # of some inputs, since layers of all learners may be large
                some = learners(seen[:_SOME]) - answers[:_SOME]
            wanted = comparable(task, answers[:_SOME])
            spread = float(comparable(task, some).square().mean() / wanted.square().mean())
        for seed in range(_KERNEL_NETWORKS):
            fresh = make_policy(
                rows.spec.learner, task.observation_shape, task.n_outputs, seed=seed
            )
            kernel += last_features(fresh, rows.features) @ last_features(fresh, seen).mT
        return cls(inputs, answers, spread, kernel / _KERNEL_NETWORKS)


def last_features(policy: object, inputs: Tensor) -> Tensor:
    """What a policy's output layer sees ``(n, features)``; the inputs if it has no other layer."""
    return used_layers(policy, inputs)[-1].inputs.flatten(1)
