"""The presets that make the shipped datasets, by the name of the dataset."""

from distilled_envs.training.presets.atari import ATARI, for_game
from distilled_envs.training.presets.cartpole import CARTPOLE
from distilled_envs.training.presets.mujoco import MUJOCO, for_vectors
from distilled_envs.training.settings import Settings


def for_environment(env_id: str) -> Settings:
    """Settings for any Gymnasium environment, untuned."""
    return for_game(env_id, 4, 4) if env_id.startswith("ALE/") else for_vectors(env_id)


PRESETS: dict[str, Settings] = {
    settings.name: settings for settings in (*CARTPOLE, *MUJOCO, *ATARI)
}
"""Settings by dataset name."""
