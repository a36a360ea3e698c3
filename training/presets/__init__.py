"""The presets that make the shipped datasets, by the name of the dataset."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from distilled_envs.errors import SettingsError
from distilled_envs.training.presets.atari import ATARI, for_game, for_pictures
from distilled_envs.training.presets.cartpole import CARTPOLE
from distilled_envs.training.presets.mujoco import MUJOCO, for_vectors
from distilled_envs.training.settings import Settings
from distilled_envs.training.world import world_of


def for_environment(env_id: str, kwargs: Mapping[str, Any] | None = None) -> Settings:
    """Settings for any Gymnasium environment, untuned.

    Args:
        env_id: Its id, with its module before a colon where that registers it.
        kwargs: Its arguments, which may decide what it shows.
    """
    if env_id.startswith("ALE/"):
        return for_game(env_id, 4, 4)
    try:
        frames = len(world_of(env_id, kwargs).task.observation_shape) > 1
    except SettingsError:  # perhaps it lacks arguments that come later; the run says what is wrong
        frames = False
    settings = for_pictures(env_id) if frames else for_vectors(env_id)
    return dataclasses.replace(settings, env_kwargs=dict(kwargs or {}))


PRESETS: dict[str, Settings] = {
    settings.name: settings for settings in (*CARTPOLE, *MUJOCO, *ATARI)
}
"""Settings by dataset name."""
