"""Distilling environments into datasets: meta-PPO, its settings and presets, and the run around it.

Imported as ``distilled_envs.training``.
"""

from distilled_envs.training.run import distill
from distilled_envs.training.settings import PRESETS, Settings, for_environment

__all__ = ["PRESETS", "Settings", "distill", "for_environment"]
