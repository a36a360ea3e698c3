"""Reinforcement-learning environments distilled into one-batch supervised datasets.

Importing the package registers ``CartPoleND-v0`` and the ``Distilled<Name>-v0`` environments with
Gymnasium. The rest is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

import gymnasium as gym

if TYPE_CHECKING:
    from distilled_envs.dataset import DistilledDataset
    from distilled_envs.errors import (
        DatasetError,
        DistilledEnvsError,
        DivergedError,
        FaultyEnvError,
        FitWarning,
        HubError,
        HubUnreachableError,
        MissingExtraError,
        OneStepWarning,
        PolicyError,
        SettingsError,
        StorageError,
    )
    from distilled_envs.evaluation import Evaluation, evaluate
    from distilled_envs.expanded import ExpandedDataset
    from distilled_envs.learners.diagnosis import Diagnosis
    from distilled_envs.loading import load_distilled
    from distilled_envs.spec import DistillationSpec
    from distilled_envs.training import (
        PRESETS,
        GameSettings,
        ImitationSettings,
        LinearPolicy,
        Settings,
        distill,
        imitate,
    )

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "DatasetError",
    "Diagnosis",
    "DistillationSpec",
    "DistilledDataset",
    "DistilledEnvsError",
    "DivergedError",
    "Evaluation",
    "ExpandedDataset",
    "FaultyEnvError",
    "FitWarning",
    "GameSettings",
    "HubError",
    "HubUnreachableError",
    "ImitationSettings",
    "LinearPolicy",
    "MissingExtraError",
    "OneStepWarning",
    "PolicyError",
    "Settings",
    "SettingsError",
    "StorageError",
    "__version__",
    "distill",
    "evaluate",
    "imitate",
    "load_distilled",
]

_HOMES = {
    "dataset": ["DistilledDataset"],
    "errors": [
        "DatasetError",
        "DistilledEnvsError",
        "DivergedError",
        "FaultyEnvError",
        "FitWarning",
        "HubError",
        "HubUnreachableError",
        "MissingExtraError",
        "OneStepWarning",
        "PolicyError",
        "SettingsError",
        "StorageError",
    ],
    "evaluation": ["Evaluation", "evaluate"],
    "expanded": ["ExpandedDataset"],
    "learners.diagnosis": ["Diagnosis"],
    "loading": ["load_distilled"],
    "spec": ["DistillationSpec"],
    "training": [
        "PRESETS",
        "GameSettings",
        "ImitationSettings",
        "LinearPolicy",
        "Settings",
        "distill",
        "imitate",
    ],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

gym.register(
    id="CartPoleND-v0",
    entry_point="distilled_envs.envs.cartpole_nd:CartPoleNDEnv",
    vector_entry_point="distilled_envs.envs.cartpole_nd:CartPoleNDVectorEnv",
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
    "Acrobot",
    "Ant",
    "BipedalWalker",
    "Blackjack",
    "Breakout",
    "CartPole",
    "Centipede",
    "CliffWalking",
    "CliffWalkingSlippery",
    "FrozenLake",
    "FrozenLake8x8",
    "HalfCheetah",
    "Hopper",
    "Humanoid",
    "HumanoidStandup",
    "InvertedDoublePendulum",
    "InvertedPendulum",
    "LunarLander",
    "LunarLanderContinuous",
    "MinAtarAsterix",
    "MinAtarBreakout",
    "MinAtarFreeway",
    "MinAtarSeaquest",
    "MinAtarSpaceInvaders",
    "MountainCar",
    "MountainCarContinuous",
    "MsPacman",
    "Pendulum",
    "Pong",
    "Pusher",
    "Reacher",
    "SpaceInvaders",
    "Swimmer",
    "Taxi",
    "Walker2d",
):
    gym.register(
        id=f"Distilled{_name}-v0",
        entry_point="distilled_envs.distilled_env:DistilledEnv",
        vector_entry_point="distilled_envs.distilled_env:DistilledVectorEnv",
        kwargs={"dataset": _name.lower()},
    )


if not TYPE_CHECKING:  # a checker would take every name for one of type Any

    def __getattr__(name: str):
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
