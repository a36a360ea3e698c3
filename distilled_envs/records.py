"""Reading JSON that somebody else may have written: every complaint names the place."""

import dataclasses
import json
import math
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from distilled_envs.errors import DatasetError

KEY = "key"
"""Metadata of a dataclass's field: its key in the file, where that is not its name."""
T = TypeVar("T")


@dataclass(frozen=True)
class Within:
    """Bounds on a field's number, or on each number of its tuple: they stand in its type.

    Attributes:
        low: The lowest number.
        high: The highest.
        open: Whether a number must be above ``low``.
        most: How many numbers a tuple may hold.
    """

    low: float
    high: float
    open: bool = False
    most: int = 2**20

    def holds(self, value: Any) -> bool:
        """Whether a value is within the bounds; None always is."""
        numbers = value if isinstance(value, tuple) else (() if value is None else (value,))
        return len(numbers) <= self.most and all(
            self.low <= each <= self.high and not (self.open and each == self.low)
            for each in numbers
        )


def read_json(text: str) -> Any:
    """The value of a JSON text whose numbers are all finite.

    Raises:
        ValueError: The text is no JSON, or holds NaN or a number beyond all bounds.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, parse_float=_finite, parse_constant=_refuse)


def read_object(text: str) -> dict[str, Any]:
    """The one JSON object that ``distillation.json`` holds.

    Raises:
        DatasetError: The text is no JSON, or of something else.
    """
    try:
        record = read_json(text)
    except (ValueError, RecursionError) as error:  # ValueError: also of endless numbers
        raise DatasetError(f"distillation.json is not JSON: {error}.") from None
    if not isinstance(record, dict):
        raise DatasetError("distillation.json must hold one JSON object.")
    return record


def require(condition: bool, path: str, value: Any) -> None:
    """Refuse a value where a condition on it does not hold.

    Args:
        condition: It.
        path: The value's place in ``distillation.json``, such as ``"task.kind"``.
        value: What stands there.

    Raises:
        DatasetError: It does not hold.
    """
    if not condition:
        raise DatasetError(f"distillation.json: {path} can't be {value!r}.")


def number(value: Any, kind: type, path: str) -> int | float:
    """A finite number of a kind, ``int`` or ``float``.

    Raises:
        DatasetError: It is none.
    """
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        fits = numeric and math.isfinite(value) and kind(value) == value
    except OverflowError:  # a whole number beyond all floating-point ones
        fits = False
    require(fits, path, value)
    return kind(value)


def check(part: Any, where: str) -> None:
    """Refuse a dataclass of which a field is out of the bounds or choices in its type.

    Args:
        part: It.
        where: Its place in the file.

    Raises:
        DatasetError: One is.
    """
    for f in dataclasses.fields(part):
        kind, value = f.type, getattr(part, f.name)
        path = f"{where}.{f.metadata.get(KEY, f.name)}"
        if get_origin(kind) is Annotated:
            _, bounds = get_args(kind)
            require(bounds.holds(value), path, value)
        elif get_origin(kind) is Literal:
            require(type(value) is str and value in get_args(kind), path, value)


def to_record(part: Any) -> dict[str, Any]:
    """A dataclass as it stands in the file."""
    values = dataclasses.asdict(part)
    return {f.metadata.get(KEY, f.name): values[f.name] for f in dataclasses.fields(part)}


def build(cls: type[T], record: Any, where: str) -> T:
    """A dataclass from a JSON object, its numbers and lists checked by the types of its fields.

    Args:
        cls: A dataclass of numbers, strings, tuples of numbers, and others of its kind.
        record: The object.
        where: Its place in the file.

    Raises:
        DatasetError: A value is missing, or of another type.
    """
    require(isinstance(record, dict), where, record)
    values = {}
    for f in dataclasses.fields(cls):  # type: ignore[arg-type]
        key = f.metadata.get(KEY, f.name)
        if key in record:
            values[f.name] = _value(f.type, record[key], f"{where}.{key}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise DatasetError(f"distillation.json lacks {where}.{key}.")
    return cls(**values)


def _value(kind: Any, value: Any, path: str) -> Any:
    """A value of a field's type, within any bounds."""
    if get_origin(kind) is Annotated:
        kind, _ = get_args(kind)
    if get_origin(kind) is UnionType:  # of something and None
        if value is None:
            return None
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if dataclasses.is_dataclass(kind):
        return build(cast(type[Any], kind), value, path)
    if get_origin(kind) is tuple:
        require(isinstance(value, list), path, value)
        return tuple(number(item, get_args(kind)[0], path) for item in value)
    return number(value, kind, path) if kind in (int, float) else value


def renamed(env: dict[str, Any], before: str, now: str) -> dict[str, Any]:
    """A record of an ``EnvSpec``, with entry points in module ``before`` renamed to ``now``."""
    for part in ("entry_point", "vector_entry_point"):
        if isinstance(env.get(part), str) and env[part].startswith(before):
            env = env | {part: now + env[part].removeprefix(before)}
    return env


def _finite(text: str) -> float:
    """A number that can be written again: Python reads 1e400 as infinity."""
    value = float(text)
    if not math.isfinite(value):
        _refuse(text)
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no finite number")
