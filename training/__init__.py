"""Distilling environments into datasets: meta-PPO, its settings and presets, and the run around it.

Imported as ``distilled_envs.training``.
"""

from distilled_envs.training.presets import PRESETS, dataset_name, for_environment
from distilled_envs.training.refitting import refit
from distilled_envs.training.run import distill
from distilled_envs.training.settings import Settings

__all__ = ["PRESETS", "Settings", "dataset_name", "distill", "for_environment", "refit"]
