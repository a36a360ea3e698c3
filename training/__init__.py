"""Making datasets: meta-PPO, imitation, their settings and presets, and the run around them.

Imported as ``distilled_envs.training``.
"""

from distilled_envs.training.imitation import imitate, refit
from distilled_envs.training.presets import PRESETS, for_environment
from distilled_envs.training.run import distill
from distilled_envs.training.settings import (
    GameSettings,
    ImitationSettings,
    Settings,
    dataset_name,
)

__all__ = [
    "PRESETS",
    "GameSettings",
    "ImitationSettings",
    "Settings",
    "dataset_name",
    "distill",
    "for_environment",
    "imitate",
    "refit",
]
