"""Modules that register environments, imported where the user has named them."""

import importlib
import os
import sys
from types import ModuleType


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
