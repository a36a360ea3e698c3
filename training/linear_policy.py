"""Linear policies, ``weights @ (observation - mean) / std + bias``, and the nearest to a teacher.

Augmented random search finds such policies (Mania et al., "Simple random search of static linear
policies is competitive for reinforcement learning", arXiv 1803.07055), and one gradient step can
teach them exactly (see :mod:`.closed_form`).
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from distilled_envs.errors import PolicyError, SettingsError
from distilled_envs.formatting import in_a_line
from distilled_envs.learners.actions import comparable
from distilled_envs.spec import TaskSpec
from distilled_envs.storage.files import atomic_path, given_path

_LINEAR = 1e-4
"""Share of the targets' variance up to which least squares counts as exact."""
_DECAY = 1e-4
"""Weight of the squared weights where actions are a choice: a teacher whose choices a plane can
part would else be followed by weights without end."""
_ITERATIONS = 200


@dataclass(frozen=True)
class LinearPolicy:
    """A linear policy on an environment's own observations.

    Whatever numbers it is given, it keeps float64 tensors on the CPU.

    Attributes:
        weights: ``(n_outputs, n_inputs)``.
        bias: ``(n_outputs,)``.
        mean: Of the observations ``(n_inputs,)``; None where they are taken as they are.
        std: Of the observations ``(n_inputs,)``, above 0; None with mean.
        made: How it was found, for the provenance of datasets; empty if nobody says.
    """

    weights: Tensor
    bias: Tensor
    mean: Tensor | None = None
    std: Tensor | None = None
    made: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("weights", "bias", "mean", "std"):
            value = getattr(self, name)
            if value is not None:
                try:
                    number = torch.as_tensor(value, dtype=torch.float64).detach().cpu()
                except (TypeError, ValueError, RuntimeError) as error:
                    raise PolicyError(
                        f"The {name} of a linear policy must be numbers: {in_a_line(error)}"
                    ) from None
                object.__setattr__(self, name, number)
        weights, bias = self.weights, self.bias
        if weights.dim() != 2 or 0 in weights.shape or bias.shape != weights.shape[:1]:
            raise PolicyError(
                "A linear policy has weights (n_outputs, n_inputs) and a bias (n_outputs,), got "
                f"shapes {tuple(weights.shape)} and {tuple(bias.shape)}."
            )
        if (self.mean is None) != (self.std is None):
            raise PolicyError("A linear policy has both a mean and a std of observations, or none.")
        numbers = {"weights": weights, "bias": bias}
        if self.mean is not None and self.std is not None:
            numbers |= {"mean": self.mean, "std": self.std}
            if not self.mean.shape == self.std.shape == weights.shape[1:]:
                raise PolicyError(
                    f"A linear policy of {weights.shape[1]} inputs has as many means and stds, got "
                    f"shapes {tuple(self.mean.shape)} and {tuple(self.std.shape)}."
                )
            if not (self.std > 0).all():
                raise PolicyError("The std of a linear policy's observations must be above 0.")
        for name, value in numbers.items():
            if not value.isfinite().all():
                raise PolicyError(f"The {name} of a linear policy must be finite.")
        try:
            known = isinstance(self.made, dict) and bool(json.dumps(self.made, allow_nan=False))
        except (TypeError, ValueError):
            known = False
        if not known:
            raise PolicyError(
                "What a linear policy was made by must be a JSON object of finite numbers, text "
                f"and lists, got {self.made!r}."
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """An ``.npz`` of ``W``, ``b`` (zeros without), and perhaps ``mean``, ``std`` and ``made``.

        The last is the text of a JSON object.

        Raises:
            PolicyError: There is no such file, or it holds no linear policy.
        """
        try:
            with np.load(given_path(path), allow_pickle=False) as file:
                found = {
                    name: torch.from_numpy(np.asarray(file[name], dtype=np.float64))
                    for name in ("W", "b", "mean", "std")
                    if name in file
                }
                made = json.loads(str(file["made"])) if "made" in file else {}
        except FileNotFoundError:
            raise PolicyError(f"There is no file {path}.") from None
        except Exception as error:  # numpy, zipfile and zlib each have errors of their own
            raise PolicyError(f"{path} is no .npz of numbers: {in_a_line(error)}") from None
        if "W" not in found or found["W"].dim() != 2:
            raise PolicyError(f"{path} must hold weights W of shape (n_outputs, n_inputs).")
        bias = found.get("b", torch.zeros(len(found["W"]), dtype=torch.float64))
        return cls(found["W"], bias, found.get("mean"), found.get("std"), made)

    def save(self, path: str | Path) -> None:
        """Write it as :meth:`load` reads it, whole or not at all."""
        path = given_path(path)
        values = {"W": self.weights, "b": self.bias, "mean": self.mean, "std": self.std}
        arrays: dict[str, Any] = {
            name: value.numpy() for name, value in values.items() if value is not None
        }
        arrays["made"] = np.array(json.dumps(self.made))
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    def __call__(self, observations: Tensor) -> Tensor:
        """Logits or action means ``(n, n_outputs)`` for observations ``(n, n_inputs)``."""
        seen = observations.to(self.weights)
        if self.mean is not None and self.std is not None:
            seen = (seen - self.mean) / self.std
        return (seen @ self.weights.T + self.bias).float()

    def under(self, mean: Tensor, std: Tensor) -> Self:
        """The same policy on observations of another mean and standard deviation."""
        mean, std = mean.to(self.weights), std.to(self.weights)
        weights, bias = self.weights, self.bias
        if self.mean is not None and self.std is not None:
            weights = weights / self.std
            bias = bias - weights @ self.mean
        bias = bias + weights @ mean
        return dataclasses.replace(self, weights=weights * std, bias=bias, mean=mean, std=std)


@dataclass(frozen=True)
class LinearFit:
    """A linear policy, and how near it is to a teacher.

    Attributes:
        policy: On the observations that it was fitted on.
        exact: Whether the teacher is itself linear.
    """

    policy: LinearPolicy
    exact: bool


def fit_linear(
    observations: Tensor,
    answers: Tensor,
    task: TaskSpec,
    low: Tensor,
    high: Tensor,
    rank: int | None = None,
) -> LinearFit:
    """The linear policy that acts most like a teacher.

    Means are compared as the environment takes them, clipped to its bounds; choices by the cross
    entropy of the teacher's probabilities. Both start from least squares on the answers, and end
    there if that leaves nothing.

    Args:
        observations: ``(n, n_inputs)``, of about unit size.
        answers: The teacher's, ``(n, n_outputs)``: logits or action means.
        task: What they are.
        low: Of the actions ``(n_outputs,)``; of logits anything.
        high: The same.
        rank: Of the weights at most; None leaves it open.

    Raises:
        SettingsError: A rank below 1.
    """
    if rank is not None and rank < 1:
        raise SettingsError(f"The rank of a linear policy must be at least 1, got {rank}.")
    choice = task.kind == "categorical"
    seen, wanted = observations.double(), answers.double()
    wanted = comparable(task, wanted)
    # 1. Least squares.
    ones = torch.ones(len(seen), 1, dtype=seen.dtype)
    found = torch.linalg.lstsq(torch.cat([seen, ones], 1), wanted, driver="gelsd").solution
    weights, bias = found[:-1].T, found[-1]
    missed = (seen @ weights.T + bias - wanted).square().mean()
    exact = bool(missed <= _LINEAR * wanted.var(0, correction=0).mean())
    left, strengths, right = torch.linalg.svd(weights, full_matrices=False)
    kept = len(strengths) if rank is None else min(rank, len(strengths))
    if exact and (rank is None or bool((strengths[kept:] <= 1e-3 * strengths[0]).all())):
        return LinearFit(LinearPolicy(weights, bias), True)
    # 2. The actions themselves, on factors of the weights that have the rank.
    outer = (left[:, :kept] * strengths[:kept].sqrt()).contiguous().requires_grad_()
    inner = (strengths[:kept].sqrt().unsqueeze(1) * right[:kept]).contiguous().requires_grad_()
    bias = bias.clone().requires_grad_()
    parameters = [outer, inner, bias]
    probabilities = [part.softmax(1) for part in answers.double().split(task.parts, 1)]
    middle, half = (low + high).double() / 2, (high - low).double() / 2
    taken = ((wanted - middle) / half).clamp(-1, 1) if not choice else wanted
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=_ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        outputs = seen @ (outer @ inner).T + bias
        if choice:
            size = (outer @ inner).square().sum()
            each = zip(outputs.split(task.parts, 1), probabilities, strict=True)
            value = torch.stack([cross_entropy(given, wanted) for given, wanted in each]).sum()
            value = value + _DECAY * size / len(bias)
        else:
            given = (outputs - middle) / half
            # What lies beyond a bound on the right side misses nothing.
            inside = given.clamp(-1, 1) - taken
            beyond = torch.where(inside.abs() > 0, given - taken, 0.0)
            value = (inside.square() + 0.01 * beyond.square()).mean()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        return LinearFit(LinearPolicy(outer @ inner, bias.detach()), False)
