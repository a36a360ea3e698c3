"""Distilled datasets on the Hugging Face Hub: publish, search and download.

Imported as ``distilled_envs.hub``.
"""

from distilled_envs.errors import MissingExtraError

try:
    import huggingface_hub  # noqa: F401
    import jinja2  # noqa: F401
    import matplotlib  # noqa: F401
except ImportError as error:
    raise MissingExtraError(error.name, "The Hugging Face Hub", "hub") from None

from distilled_envs.hub.cards import make_card
from distilled_envs.hub.downloading import download
from distilled_envs.hub.publishing import publish
from distilled_envs.hub.searching import read_card, search

__all__ = ["download", "make_card", "publish", "read_card", "search"]
