"""Distilled datasets on the Hugging Face Hub: publish and download.

Imported as ``distilled_envs.hub``.
"""

from distilled_envs.errors import MissingExtraError

try:
    import huggingface_hub  # noqa: F401
except ImportError:
    raise MissingExtraError("huggingface-hub", "The Hugging Face Hub", "hub") from None

from distilled_envs.hub.downloading import download
from distilled_envs.hub.publishing import publish

__all__ = ["download", "publish"]
