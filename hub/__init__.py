"""Distilled datasets, and the page to try, on the Hugging Face Hub.

Imported as ``distilled_envs.hub``. Each function is imported when it is first used: a card needs
neither torch, which publishing does, nor matplotlib.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

from distilled_envs.errors import MissingExtraError

if TYPE_CHECKING:
    from distilled_envs.hub.cards import make_card
    from distilled_envs.hub.downloading import download
    from distilled_envs.hub.models import download_model
    from distilled_envs.hub.publishing import preview, publish
    from distilled_envs.hub.searching import read_card, search
    from distilled_envs.hub.space import publish_space

for _package in ("huggingface_hub", "jinja2", "matplotlib"):
    if importlib.util.find_spec(_package) is None:
        raise MissingExtraError(_package, "The Hugging Face Hub", "hub")

_HOMES = {
    "download": "downloading",
    "download_model": "models",
    "make_card": "cards",
    "preview": "publishing",
    "publish": "publishing",
    "publish_space": "space",
    "read_card": "searching",
    "search": "searching",
}

__all__ = [
    "download",
    "download_model",
    "make_card",
    "preview",
    "publish",
    "publish_space",
    "read_card",
    "search",
]


if not TYPE_CHECKING:  # a checker would take every name for one of type Any

    def __getattr__(name: str):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
