"""Reinforcement-learning environments distilled into one-batch supervised datasets.

Importing the package registers ``CartPoleND-v0`` and the ``Distilled<Name>-v0`` environments with
Gymnasium. The rest is imported when it is first used.
"""

import importlib

import gymnasium as gym

__version__ = "0.1.0"

_HOMES = {
    "DistilledDataset": "distilled_envs.dataset",
    "DistillationSpec": "distilled_envs.spec",
    "Evaluation": "distilled_envs.evaluation",
    "evaluate": "distilled_envs.evaluation",
    "load_distilled": "distilled_envs.catalog",
    "DistilledEnvsError": "distilled_envs.errors",
    "DatasetError": "distilled_envs.errors",
    "PolicyError": "distilled_envs.errors",
    "SettingsError": "distilled_envs.errors",
    "MissingExtraError": "distilled_envs.errors",
}

__all__ = [*_HOMES, "__version__"]

gym.register(
    id="CartPoleND-v0",
    entry_point="distilled_envs.cartpole_nd:CartPoleNDEnv",
    vector_entry_point="distilled_envs.cartpole_nd:CartPoleNDVectorEnv",
    max_episode_steps=500,
    reward_threshold=475.0,
)
gym.register(
    id="DistilledCartPoleND-v0",
    entry_point="distilled_envs.distilled_env:DistilledEnv",
    vector_entry_point="distilled_envs.distilled_env:DistilledVectorEnv",
    kwargs={"dataset": "cartpole-nd"},
)
for _name in (
    "Ant",
    "Breakout",
    "Centipede",
    "HalfCheetah",
    "Hopper",
    "Humanoid",
    "HumanoidStandup",
    "InvertedDoublePendulum",
    "InvertedPendulum",
    "MsPacman",
    "Pong",
    "Pusher",
    "Reacher",
    "SpaceInvaders",
    "Swimmer",
    "Walker2d",
):
    gym.register(
        id=f"Distilled{_name}-v0",
        entry_point="distilled_envs.distilled_env:DistilledEnv",
        vector_entry_point="distilled_envs.distilled_env:DistilledVectorEnv",
        kwargs={"dataset": _name.lower()},
    )


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted(set(globals()) | set(__all__))
