"""A linear policy as a batch of rank + 1 rows, without any training.

What one step makes of a network, turned around. Let a learner with L hidden tanh layers of gain g
have outputs near 0, and take one step of rate eta on the mean squared error over k rows (x_j, y_j)
and A outputs. Its output layer moves by the gradient at outputs 0, and then it answers

    f(x) = eta * 2 / (k A) * sum_j y_j (K(x_j, x) + 1),

where K is the inner product of last hidden features, and 1 the output bias. Orthogonal layers keep
inner products but for their gain, and tanh of small inputs is its input, so that

    K(x_j, x) = g^(2 L) <x_j, x>.

Let u = W x + b be the policy, W = U S V^T of rank r, and F the k = r + 1 corners of a regular
simplex in r dimensions as rows, scaled so that F^T F = 1; they sum to 0. Then the rows

    X = size F V^T,    Y = size F S U^T + b A / (2 eta),    eta = k A / (2 g^(2 L) size^2)

give f(x) = W x + b: the first part of Y^T X is size^2 U S V^T, and since the rows sum to 0 the
second part reaches the output bias alone, and the first part does not reach it.

Three things are left out: the output layer's initial weights (gain 0.01), tanh's curvature, which
grows with the inputs, and what the step moves hidden layers by, which grows with W and so falls
with the size of the inputs. Two layers of 64 miss a policy of 11 normal inputs and 3 outputs of
variance 1, on average and as a share of its mean square, by 0.7% at inputs of size 0.02, 0.1% at
0.05, 0.04% at 0.1; five layers by 8%, 1.3% and 1.2%.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from distilled_envs.errors import SettingsError
from distilled_envs.spec import LearnerSpec

SIZE = 0.05
"""Factor on the rows. At 0.02 networks miss a policy by as much, and at 0.2 by a tenth more."""
_RANK = 1e-6
"""Singular values below this share of the largest count as 0."""


@dataclass(frozen=True)
class ClosedForm:
    """A batch, and the inner learning rate that belongs to it.

    Attributes:
        observations: ``(rank + 1, n_inputs)``; they sum to 0.
        targets: ``(rank + 1, n_outputs)``.
        learning_rate: Of the one step.
    """

    observations: Tensor
    targets: Tensor
    learning_rate: float


def closed_form(
    weights: Tensor,
    bias: Tensor,
    learner: LearnerSpec,
    *,
    instances: int | None = None,
    size: float = SIZE,
) -> ClosedForm:
    """Rows from which one step teaches ``weights @ x + bias``.

    Args:
        weights: ``(n_outputs, n_inputs)``, for observations as learners see them.
        bias: ``(n_outputs,)``.
        learner: The networks: orthogonal tanh layers of any gain, number and width; a layer that is
            narrower than the observations loses some of them.
        instances: Rows at most, at least 2; fewer than rank + 1 keep the largest singular values.
            None takes rank + 1, and for weights of 0 two rows.
        size: Factor on the rows.

    Raises:
        SettingsError: Shapes that don't fit, numbers that aren't finite, too few rows, a size that
            is not above 0, or other networks.
    """
    if weights.dim() != 2 or bias.shape != weights.shape[:1] or 0 in weights.shape:
        raise SettingsError(
            "A linear policy has weights (n_outputs, n_inputs) and a bias (n_outputs,), got shapes "
            f"{tuple(weights.shape)} and {tuple(bias.shape)}."
        )
    if not (weights.isfinite().all() and bias.isfinite().all()):
        raise SettingsError("A linear policy's weights and bias must be finite.")
    drawn = learner.initialization
    tanh = learner.activation == "tanh" or not learner.hidden_sizes
    if learner.architecture != "mlp" or drawn.kind != "orthogonal" or not tanh:
        raise SettingsError(
            "Closed form is for networks of tanh layers with orthogonal initialization, whose "
            f"kernel is known; got {learner.architecture} with {learner.activation} and "
            f"{drawn.kind} initialization."
        )
    if (instances is not None and instances < 2) or not size > 0:
        raise SettingsError(
            f"Closed form needs two instances at least and a size above 0, got {instances} and "
            f"{size}."
        )
    # 1. The policy's directions, from the strongest to the weakest.
    left, strengths, right = torch.linalg.svd(weights.double(), full_matrices=False)
    rank = max(1, int((strengths > _RANK * strengths[0]).sum()))
    rank = rank if instances is None else min(rank, instances - 1)
    left, strengths, right = left[:, :rank], strengths[:rank], right[:rank]
    # 2. One row to each corner of a simplex, turned into these directions.
    corners, outputs = _simplex(rank), len(bias)
    kernel = drawn.hidden_gain ** (2 * len(learner.hidden_sizes))
    rate = (rank + 1) * outputs / (2 * kernel * size**2)
    observations = size * corners @ right
    targets = size * (corners * strengths) @ left.T + bias.double() * outputs / (2 * rate)
    return ClosedForm(observations.float(), targets.float(), rate)


def _simplex(dimensions: int) -> Tensor:
    """Corners ``(dimensions + 1, dimensions)``: they sum to 0, and columns are orthonormal."""
    corners = dimensions + 1
    centered = torch.eye(corners, dtype=torch.float64) - 1 / corners
    return torch.linalg.svd(centered).U[:, :dimensions]
