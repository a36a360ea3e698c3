"""Distilled datasets on the Hugging Face Hub: publish, find, download.

Imported as ``distilled_envs.hub``.
"""

from distilled_envs.hub.downloading import download
from distilled_envs.hub.publishing import publish

__all__ = ["download", "publish"]
