"""The spaces of a dataset's environment as ``distillation.json`` keeps them.

With them on file a distilled id needs no simulator: making ``DistilledHopper-v0`` builds no Hopper.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

Actions = spaces.Box | spaces.Discrete | spaces.MultiDiscrete


@dataclass(frozen=True)
class EnvSpaces:
    """What a dataset's environment shows, and what it takes.

    Attributes:
        observation: The space of observations as learners see them, under the dataset's transform.
        action: The environment's actions.
    """

    observation: spaces.Box
    action: Actions

    def to_record(self) -> dict[str, Any]:
        """The spaces as numbers; their shapes are those of the task."""
        action = self.action
        if isinstance(action, spaces.Discrete):
            numbers = {"n": int(action.n), "start": int(action.start)}
        elif isinstance(action, spaces.MultiDiscrete):
            numbers = {"nvec": action.nvec.tolist(), "start": action.start.tolist()}
        else:
            numbers = _box_record(action)
        return {"observation": _box_record(self.observation), "action": numbers}

    @classmethod
    def from_record(
        cls,
        record: Any,
        kind: str,
        observation_shape: tuple[int, ...],
        n_outputs: int,
        choices: tuple[int, ...] | None = None,
    ) -> "EnvSpaces":
        """The spaces of a record.

        Args:
            record: What :meth:`to_record` gave.
            kind: The task's, ``"categorical"`` or ``"gaussian"``.
            observation_shape: The task's.
            n_outputs: The task's.
            choices: The task's.

        Raises:
            ValueError: The record is of no such spaces; the message names the part.
        """
        observation = _read("observation", record, lambda part: _box(part, observation_shape))
        if kind == "gaussian":
            return cls(observation, _read("action", record, lambda part: _box(part, (n_outputs,))))
        if choices is not None:
            return cls(
                observation, _read("action", record, lambda part: _multi_discrete(part, choices))
            )
        action = _read("action", record, lambda part: _discrete(part, n_outputs))
        return cls(observation, action)


def _read(part: str, record: Any, build: Callable[[Any], Any]) -> Any:
    value = record.get(part) if isinstance(record, dict) else record
    try:
        return build(value)
    except (TypeError, KeyError, ValueError, OverflowError):
        raise ValueError(f"spaces.{part} can't be {value!r}") from None


def _box_record(box: spaces.Box) -> dict[str, Any]:
    return {"low": _bound(box.low), "high": _bound(box.high), "dtype": box.dtype.name}


def _bound(values: np.ndarray) -> Any:
    """One number where all are the same, else a list of them; None stands for unbounded."""
    # str has the shortest form of a float32, 0.4 and not 0.4000000059604645, and loses nothing.
    read = int if np.issubdtype(values.dtype, np.integer) else lambda value: float(str(value))
    numbers = [read(value) if np.isfinite(value) else None for value in values.flat]
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _box(record: dict[str, Any], shape: tuple[int, ...]) -> spaces.Box:
    dtype = np.dtype(record["dtype"])
    if dtype.kind not in "fiu":
        raise ValueError
    low, high = (
        _numbers(record[side], endless, shape, dtype)
        for side, endless in (("low", -np.inf), ("high", np.inf))
    )
    if not (low <= high).all():
        raise ValueError
    return spaces.Box(low, high, dtype=dtype.type)


def _numbers(bound: Any, endless: float, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    given = bound if isinstance(bound, list) else [bound]
    for value in given:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError
    full = np.array([endless if value is None else value for value in given])
    if np.issubdtype(dtype, np.integer) and not (full == full.astype(dtype)).all():
        raise ValueError
    full = full.astype(dtype)
    return full.reshape(shape) if isinstance(bound, list) else np.full(shape, full[0])


def _discrete(record: dict[str, Any], n: int) -> spaces.Discrete:
    start = record["start"]
    if type(start) is not int or type(record["n"]) is not int or record["n"] != n:
        raise ValueError
    return spaces.Discrete(n, start=start)


def _multi_discrete(record: dict[str, Any], choices: tuple[int, ...]) -> spaces.MultiDiscrete:
    start = record["start"]
    if record["nvec"] != list(choices) or [type(each) for each in start] != [int] * len(choices):
        raise ValueError
    return spaces.MultiDiscrete(list(choices), start=start)
