"""Whether a checkpoint's state is one that an algorithm can go on from, before it is taken."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from distilled_envs.training.meta_ppo import MetaPPO

_OPTIMIZERS = ("optimizer", "critic_optimizer")
_OF_ACTORS = ("ended", "returns", "lives")
_LARGEST = 2**53
"""Bound on whole numbers."""


def check_state(state: Any, algorithm: MetaPPO) -> None:
    """Refuse a state that is not built as an algorithm's own.

    torch takes moments of any shape from a file, and then writes beyond their end.

    Args:
        state: Of a file.
        algorithm: Before its first iteration.

    Raises:
        ValueError: The state is of another algorithm, or not finite.
        TypeError, KeyError, IndexError, AttributeError: The same.
    """
    like = algorithm.state_dict()
    state["ending"] = like["ending"] | state.get("ending", {})  # older runs have less
    for name in _OPTIMIZERS:
        optimizer: torch.optim.Adam = getattr(algorithm, name)
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        for index, moments in state[name]["state"].items():
            value = parameters[index].detach()
            moment = {"step": torch.tensor(0.0), "exp_avg": value, "exp_avg_sq": value}
            _check_like(moments, moment, f"{name}.state.{index}")
        groups = [group["params"] for group in state[name]["param_groups"]]
        if groups != [group["params"] for group in like[name]["param_groups"]]:
            raise ValueError(f"{name} is of other parameters")
        state[name]["param_groups"] = like[name]["param_groups"]  # whose keys torch's versions add
    rest = {name: value for name, value in state.items() if name not in _OPTIMIZERS}
    for name in _OPTIMIZERS:
        del like[name]
    if "env" in like["actors"] and "env" in state["actors"]:
        # What else is in it, the environment knows itself.
        known = [key for key in _OF_ACTORS if key in like["actors"]["env"]]
        like["actors"]["env"] = {key: like["actors"]["env"][key] for key in known}
        own = {key: rest["actors"]["env"][key] for key in known}
        rest["actors"] = rest["actors"] | {"env": own}
    else:  # written, or read, by several ranks, where environments start new episodes
        for each in (like, state):
            each["actors"].pop("env", None)
    _check_like(rest, like, "the state")


def _check_like(state: Any, like: Any, where: str) -> None:
    """Refuse a value that is built otherwise than another one of its kind.

    Dictionaries have the same keys, tensors the same shape and type, and all numbers are finite;
    lists are of numbers, and may be of any length.
    """
    if isinstance(like, Mapping):
        if not isinstance(state, Mapping) or state.keys() != like.keys():
            raise ValueError(f"{where} has other parts")
        for key, part in like.items():
            _check_like(state[key], part, f"{where}: {key}")
        return
    if isinstance(like, Tensor):
        same = isinstance(state, Tensor) and (state.shape, state.dtype) == (like.shape, like.dtype)
        fits = same and bool(state.isfinite().all())
    elif isinstance(like, list):
        fits = isinstance(state, list) and all(map(_is_number, state))
    elif isinstance(like, int | float) and not isinstance(like, bool):
        fits = _is_number(state) and (isinstance(like, float) or isinstance(state, int))
    else:
        fits = type(state) is type(like)
    if not fits:
        raise ValueError(f"{where} is not as it was written")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST if isinstance(value, int) else math.isfinite(value)
