"""Modules that register environments, imported where the user has named them."""

import importlib
import os
import re
import sys
from types import ModuleType

_HOMES = {
    "gymnasium_robotics": r"Fetch|Hand|Adroit|FrankaKitchen|PointMaze|AntMaze|MaMuJoCo",
    "minigrid": r"MiniGrid-|BabyAI-",
    "minatar": r"MinAtar/",
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


def import_module(name: str) -> ModuleType:
    """A module by name, from the current folder too, as ``python -m`` finds it.

    Nothing that a file names is ever imported: a dataset could name any code.

    Raises:
        ImportError: There is none, or it can't be imported.
    """
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)
