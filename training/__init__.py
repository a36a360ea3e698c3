"""Making datasets: meta-PPO, imitation, their settings and presets, and the run around them.

Imported as ``distilled_envs.training``.
"""

from distilled_envs.training.automatic import distill_any
from distilled_envs.training.automatic_settings import AutomaticSettings
from distilled_envs.training.closed_form import closed_form
from distilled_envs.training.imitation_settings import ImitationSettings, RefitSettings
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.policy_distillation import imitate
from distilled_envs.training.presets import PRESETS, for_environment
from distilled_envs.training.random_search import SearchSettings, search
from distilled_envs.training.refitting import refit
from distilled_envs.training.run import distill
from distilled_envs.training.settings import GameSettings, Settings, dataset_name

__all__ = [
    "PRESETS",
    "AutomaticSettings",
    "GameSettings",
    "ImitationSettings",
    "LinearPolicy",
    "RefitSettings",
    "SearchSettings",
    "Settings",
    "closed_form",
    "dataset_name",
    "distill",
    "distill_any",
    "for_environment",
    "imitate",
    "refit",
    "search",
]
