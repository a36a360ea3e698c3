"""Making environments, and what simulators say meanwhile."""

import contextlib
import dataclasses
import importlib
import logging
import sys
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

logger = logging.getLogger(__name__)

UNLIMITED = 10_000
"""Steps after which whoever is scored in an environment without a time limit is stopped."""
LONGEST = 100_000
"""The same whatever time limit is given: 100 networks take an hour or so for it."""


def make(spec: EnvSpec, **kwargs: Any) -> gym.Env:
    """``gym.make``, without what MuJoCo says of each model."""
    keep_mujoco_quiet(spec)
    return gym.make(spec, **kwargs)


def time_limit(spec: EnvSpec) -> int | None:
    """Steps after which an environment cuts an episode; None if it never does, for Gymnasium -1."""
    limit = spec.max_episode_steps
    return limit if limit is not None and limit > 0 else None


def ending(spec: EnvSpec) -> EnvSpec:
    """An environment whose episodes all end, for scores: what is never scored is never done.

    Args:
        spec: An environment; Atari's games have a time limit of their own, in frames.

    Returns:
        The same with a time limit of at most :data:`LONGEST` steps, :data:`UNLIMITED` where it has
        none.
    """
    limit = time_limit(spec)
    if spec.id.startswith("ALE/") or (limit is not None and limit <= LONGEST):
        return spec
    return dataclasses.replace(spec, max_episode_steps=UNLIMITED if limit is None else LONGEST)


def keep_mujoco_quiet(spec: EnvSpec) -> None:
    """Put MuJoCo's warnings into the log, those of its models for who asks for details.

    It writes them to stderr and to a file MUJOCO_LOG.TXT, for each model anew: evaluating 100
    networks of HalfCheetah-v5 says two hundred times that Gymnasium's model has an old attribute. A
    handler that the user has set stays.
    """
    if "mujoco" in str(spec.entry_point):
        with contextlib.suppress(ImportError):  # of which Gymnasium tells
            importlib.import_module("mujoco")
    mujoco: Any = sys.modules.get("mujoco")
    if hasattr(mujoco, "get_mju_user_warning") and mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_log)


def _log(message: object) -> None:
    """A model's old attribute is no concern of users; that a simulation is unstable, is."""
    is_of_model = str(message).startswith("compiler attribute")
    logger.log(logging.DEBUG if is_of_model else logging.WARNING, "MuJoCo: %s", message)
