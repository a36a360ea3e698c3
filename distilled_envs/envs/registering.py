"""Modules that register environments, imported where the user has named them."""

import dataclasses
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
from types import ModuleType
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from distilled_envs.errors import MissingExtraError
from distilled_envs.formatting import in_a_line

_HOMES = {
    "gymnasium_robotics": r"Fetch|Hand|Adroit|FrankaKitchen|PointMaze|AntMaze|MaMuJoCo",
    "minigrid": r"MiniGrid-|BabyAI-",
    "minatar.gym": r"MinAtar/",
    "shimmy": r"dm_control/",
    "highway_env": r"highway-|merge-|roundabout-|parking-|intersection-|racetrack-",
    "panda_gym": r"Panda",
    "procgen_gym": r"procgen",
    "flappy_bird_gymnasium": r"FlappyBird",
}
"""Modules that register environments, by how their ids begin."""


def likely_module(env_id: str) -> str | None:
    """The module of a package outside Gymnasium that registers an id, as far as it shows.

    >>> likely_module("FetchReach-v4")
    'gymnasium_robotics'
    """
    found = (module for module, begins in _HOMES.items() if re.match(begins, env_id))
    return next(found, None)


_EXTRAS = {
    "mujoco": "mujoco",
    "ale-py": "atari",
    "cv2": "atari",
    "opencv": "atari",
    "pygame": "render",
    "imageio": "render",
    "box2d": "envs",
    "minatar": "envs",
    "gymnasium_robotics": "envs",
}
"""Extras that bring what environments miss, by how they name it."""


def missing_simulator(env_id: str, error: Exception) -> MissingExtraError:
    """What an environment's own complaint about a missing package is to a user.

    Only one command is named: ours brings versions that go together.
    """
    said = in_a_line(error)
    missing = "no module named" in said.lower() or "not installed" in said.lower()
    for package, extra in _EXTRAS.items():
        if missing and package in said.lower():
            return MissingExtraError(package, env_id, extra)
    return MissingExtraError(f"more packages ({said})", env_id, "all")


def missing_package(module: str, purpose: str) -> MissingExtraError | None:
    """What to install for a module of a package that an extra brings; None where it is there."""
    package = module.partition(".")[0]
    if package not in _EXTRAS or importlib.util.find_spec(package) is not None:
        return None
    return MissingExtraError(package, purpose, _EXTRAS[package])


def is_same(one: EnvSpec, other: EnvSpec) -> bool:
    """Whether two specs are of the same id and arguments, those that they leave out among them."""
    return one.id == other.id and _arguments(one) == _arguments(other)


def _arguments(spec: EnvSpec) -> Any:
    usual = gym.registry[spec.id].kwargs if spec.id in gym.registry else {}
    return json.loads(json.dumps(usual | spec.kwargs, default=str))  # as a file has them


def distilled_id(family: str) -> str | None:
    """The id of a family's distilled environment; None where it has none.

    >>> import distilled_envs
    >>> distilled_id("cartpole-nd"), distilled_id("pointmass")
    ('DistilledCartPoleND-v0', None)
    """
    plain = family.replace("-", "")
    ids = (
        spec.id
        for spec in gym.registry.values()
        if spec.id.startswith("Distilled")
        and str(spec.kwargs.get("dataset", "")).replace("-", "") == plain
    )
    return next(ids, None)


_registered_by: dict[str, str] = {}
"""Modules that were imported here, by the ids that they registered."""
_imported: set[str] = set()
"""All that were."""


def import_module(name: str) -> ModuleType:
    """A module that the user has named, from the current folder too, as ``python -m`` finds it.

    Nothing that a file names is ever imported: a dataset could name any code. Some packages
    register nothing on being imported, but by a function ``register_envs`` without arguments, as
    MinAtar does in ``minatar.gym``; then it is called, once.

    Raises:
        MissingExtraError: It is of a package that one of our extras brings.
        ImportError: There is none, or it fails while it is imported.
    """
    if (here := os.getcwd()) not in sys.path:  # it stays: entry points are imported when they run
        sys.path.insert(0, here)
    if missing := missing_package(name, name):
        raise missing
    before = {*gym.registry}
    try:
        module = importlib.import_module(name)
        register = getattr(module, "register_envs", None)
        fresh = name not in _imported and before == {*gym.registry}
        if fresh and inspect.isfunction(register) and not inspect.signature(register).parameters:
            register()
    except ImportError:
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise ImportError(f"{type(error).__name__}: {error}") from error
    _imported.add(name)
    _registered_by.update(dict.fromkeys(gym.registry.keys() - before, name))
    return module


def registering_module(env_id: str) -> str | None:
    """The module that registered an id, where it was imported by :func:`import_module`."""
    return _registered_by.get(env_id)


def registered(given: EnvSpec) -> EnvSpec:
    """An environment as it is registered here, with the arguments and time limit of a spec.

    What code runs is never taken from a spec, which may be of a file: an entry point in it could be
    any function.

    Raises:
        gymnasium.error.Error: There is no such id.
        ValueError: The spec names other code than what is registered.
    """
    here = gym.spec(given.id)
    for part in ("entry_point", "vector_entry_point", "additional_wrappers"):
        if getattr(given, part) != getattr(here, part):
            raise ValueError(
                f"{getattr(given, part)!r} is named as the {part} of {given.id}, but "
                f"{getattr(here, part)!r} is registered"
            )
    kwargs, limit = here.kwargs | given.kwargs, given.max_episode_steps
    return dataclasses.replace(here, kwargs=kwargs, max_episode_steps=limit)
