"""Drawing a user's network anew, so that it learns from one step on a dataset's rows.

A network whose outputs start at 0 answers after the step by its kernel, the inner product of its
last hidden features (see :mod:`.reference`). Orthogonal layers keep angles (Saxe et al., 2014), and
all that is left of such a kernel is its size, ``g**(2 * depth)`` for tanh layers of gain g. So one
factor on all hidden layers gives any depth and width the kernel that the rows were made for.

ReLU, GELU and SiLU are not odd: their features at x and -x have a part in common, which the rows
know nothing of. Small gains keep GELU and SiLU where they are straight lines. Units in pairs of
weights ``w`` and ``-w`` let the next layer see a line, since ``f(z) - f(-z) = z`` for each of the
three (looks-linear initialization; Balduzzi et al., "The Shattered Gradients Problem", 2017). The
last hidden layer has no next one that could: there a bias lifts ReLU's units onto their straight
half.
"""

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from distilled_envs.errors import PolicyError
from distilled_envs.learners.layers import Weighted, used_layers
from distilled_envs.learners.reference import Reference, last_features

if TYPE_CHECKING:
    from distilled_envs.rows import Rows

_ODD = 0.02
"""Size of what features at x and at -x have in common, as a share of the rest, up to which an
activation counts as odd."""
_SMALL = 0.1
"""Size of paired units' features where the activation is not odd, as a share of the rows' own: on
Hopper GELU's networks then get 3,251 of 3,231, and at full size 2,814."""
_SMALLER = 0.03
"""The same of units without pairs, which have more in common: 3,251 as well, and 2,752 with 0.1."""
_LIFT = 8.0
"""Bias of a lifted layer, in root mean squares of its outputs: on Hopper ReLU's networks then get
3,250 of 3,231, with 4 only 3,059, and without 434."""
_SAME_DIRECTION = 1e-4
"""Size of a direction that counts as none, as a share of the largest among the rows."""
_TRIES = 8


@torch.no_grad()
def initialize(
    policy: nn.Module | object, rows: "Rows", reference: Reference, trained: set[nn.Parameter]
) -> None:
    """Draw a policy's layers as the rows expect them, in place, from torch's global generator.

    The linear layers and convolutions that make the outputs are drawn: the output layer zero,
    hidden ones orthogonal, and without a bias where they need none. All else stays as it is.

    Args:
        policy: What :func:`.policies.policy_module` accepts.
        rows: The dataset.
        reference: Its learners.
        trained: What the step trains; other layers, such as those of an encoder, stay.

    Raises:
        PolicyError: There is no such layer.
    """
    used = used_layers(policy, rows.observations[:2])
    layers = [*dict.fromkeys(each.layer for each in used if each.layer.weight in trained)]
    if not layers:
        raise PolicyError(
            f"{type(policy).__name__} has no nn.Linear or nn.Conv2d that makes its outputs and can "
            "be trained, so there is nothing to draw: train it with dataset.fit instead."
        )
    hidden, output = layers[:-1], layers[-1]
    # 1. Outputs start at 0, and hidden layers keep lengths and angles.
    _draw(output, torch.zeros_like(output.weight))
    if not hidden:
        return
    narrowest = min(len(layer.weight) for layer in hidden)
    chained = _chained(hidden, [*dict.fromkeys(each.layer for each in used)])
    _draw_hidden(hidden, _directions(rows, hidden[0], narrowest), chained)
    _scale(policy, hidden, rows, reference, 1.0)
    # 2. Where features at x and -x have something in common, small and paired units. Rows of frames
    # and of wide learners were made for ReLU, and know it; an encoder's features have no sign to
    # turn.
    if not rows.is_plain or rows.spec.is_for_relu:
        return
    even, odd = _even_and_odd(policy, reference.inputs)
    if even.norm() < _ODD * odd.norm():
        return
    bend = _bend(policy, reference)
    directions = _directions(rows, hidden[0], narrowest // 2)
    held = hidden[0].weight[0].numel() if directions is None else len(directions)
    # 64 units in pairs would keep 32 of Humanoid's 45 coordinates.
    paired = all(chained) and narrowest // 2 >= held
    if paired:
        _draw_hidden(hidden, directions, chained, paired=True)
    _scale(policy, hidden, rows, reference, _SMALL if paired else _SMALLER)
    # 3. ReLU has its kink at any size: units are lifted onto their straight half.
    if paired and _bend(policy, reference) > bend / 2:
        _lift(policy, hidden[-1], reference)


def _draw(layer: Weighted, weights: Tensor) -> None:
    """Set a layer's weights, and its bias to 0."""
    layer.weight.copy_(weights)
    if layer.bias is not None:
        layer.bias.zero_()


def _draw_hidden(
    hidden: list[Weighted],
    directions: Tensor | None,
    chained: list[bool],
    *,
    paired: bool = False,
) -> None:
    """Draw hidden layers so that each keeps lengths and angles of what it sees.

    A layer with fewer units than it has inputs can't keep all. It keeps the directions of the
    observation, in what the layers before have made of them: drawn at random, 96 units followed by
    48 and 32 would lose most of cart-pole's 8 coordinates, and get 154 of 500 instead of all.

    Args:
        hidden: The layers, in order.
        directions: Orthonormal, of observations, ``(r, n_inputs)``; None where all layers keep what
            they can.
        chained: Whether each of them sees what the one before answers; see :func:`_chained`.
        paired: Whether units come in pairs of weights ``w`` and ``-w``, from the same in pairs.
    """
    kept = directions
    for place, layer in enumerate(hidden):
        doubled = paired and place > 0  # its inputs come in pairs
        units, inputs = len(layer.weight) // (1 + paired), layer.weight.shape[1] // (1 + doubled)
        if layer.weight.dim() > 2 or not chained[place]:
            kept = None  # it sees something else than these directions
        if kept is None or units >= inputs:
            drawn = _orthogonal(units, inputs, *layer.weight.shape[2:])
        else:
            drawn = _orthogonal(units, len(kept)) @ kept
        kept = None if kept is None else kept @ drawn.T
        if doubled:
            drawn = torch.cat([drawn, -drawn], 1)
        if paired:
            drawn = torch.cat([drawn, -drawn])
        # Of an odd number the last one stays 0.
        weights = torch.zeros(layer.weight.shape, dtype=torch.float32)
        weights[: len(drawn), : drawn.shape[1]] = drawn
        _draw(layer, weights)


def _orthogonal(*shape: int) -> Tensor:
    return nn.init.orthogonal_(torch.empty(shape, dtype=torch.float32))


def _directions(rows: "Rows", first: Weighted, units: int) -> Tensor | None:
    """Directions ``(r, n_inputs)`` of observations that so many units hold, and that are enough.

    All, where there are as many units. What an input has across all rows adds nothing to its inner
    products with them, so that layers need only hold the rows' directions: of 10-D cart-pole's 40
    inputs 11 rows have 11. Where these are too many, those of the linear map that the step teaches,
    targets times rows, are enough, as many as there are outputs: 64 rows of Humanoid have 45, its
    17 actions 17, and networks of 32 units keep all of the return instead of a fifteenth. None
    where so many units hold not even these, and where rows are frames or the first layer sees
    something else.
    """
    if rows.observations.dim() > 2 or first.weight[0].numel() != (seen := rows.features).shape[1]:
        return None
    if units >= seen.shape[1]:
        return torch.eye(seen.shape[1], dtype=torch.float32)
    for spread in (seen, rows.targets.T @ seen):
        _, sizes, directions = torch.linalg.svd(spread, full_matrices=False)
        found = directions[sizes > _SAME_DIRECTION * sizes[0]]
        if len(found) <= units:
            return found
    return None


def _chained(hidden: list[Weighted], order: list[Weighted]) -> list[bool]:
    """Whether each hidden layer sees what the hidden one before answers; the first one does.

    Args:
        hidden: The layers that are drawn, in order.
        order: All layers in order, with those that are not drawn.
    """
    return [True] + [
        order.index(layer) == order.index(before) + 1
        and layer.weight.shape[1] == len(before.weight)
        for before, layer in itertools.pairwise(hidden)
    ]


def _scale(
    policy: nn.Module | object,
    hidden: list[Weighted],
    rows: "Rows",
    reference: Reference,
    size: float,
) -> None:
    """Scale hidden layers by one factor, so that features have ``size`` times the learners' size.

    Measured, not computed from gains, so that it holds for any activation. Where no factor does it,
    the layers stay as they were.
    """
    before = [layer.weight.clone() for layer in hidden]
    for _ in range(_TRIES):
        kernel = _kernel(policy, rows, reference)
        ratio = size**2 * (kernel * reference.kernel).sum() / kernel.square().sum()
        if not 0 < ratio < math.inf:
            break
        factor = ratio ** (0.5 / len(hidden))
        if abs(factor - 1) < 1e-2:
            return
        for layer in hidden:
            layer.weight.mul_(factor)
    for layer, weight in zip(hidden, before, strict=True):
        layer.weight.copy_(weight)


def _kernel(policy: nn.Module | object, rows: "Rows", reference: Reference) -> Tensor:
    """The policy's kernel ``(k, n)``; where learners' own is odd, the odd part alone."""
    parts = [rows.observations, reference.inputs]
    if reference.inputs.dim() == 2 and not rows.spec.is_for_relu:
        at_rows, at_inputs = (_even_and_odd(policy, each)[1] for each in parts)
    else:
        at_rows, at_inputs = (last_features(policy, each) for each in parts)
    return (at_rows @ at_inputs.mT).cpu().float()


def _even_and_odd(policy: nn.Module | object, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The parts of the last hidden features ``(n, features)`` that x and -x share, and the rest."""
    there, mirrored = last_features(policy, inputs), last_features(policy, -inputs)
    return (there + mirrored) / 2, (there - mirrored) / 2


def _bend(policy: nn.Module | object, reference: Reference) -> float:
    """How far features are from straight lines: the share that is even, and no constant."""
    even, odd = _even_and_odd(policy, reference.inputs)
    return float((even - even.mean(0)).norm() / odd.norm().clamp(min=1e-12))


def _lift(policy: nn.Module | object, layer: Weighted, reference: Reference) -> None:
    """Give all units of a layer a bias, so large that none of them ever gets below 0."""
    (inputs,) = (
        each.inputs for each in used_layers(policy, reference.inputs) if each.layer is layer
    )
    if layer.bias is not None:
        layer.bias.fill_(_LIFT * layer(inputs).square().mean().sqrt())
