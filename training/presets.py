"""The presets that make the shipped datasets, by the name of the dataset."""

import dataclasses
import re
from typing import Any

from distilled_envs.training.settings import Settings

CARTPOLE_STEPS = {
    1: 6_000_000,
    2: 3_000_000,
    3: 5_000_000,
    4: 6_000_000,
    5: 6_000_000,
    6: 10_000_000,
    8: 15_000_000,
    10: 20_000_000,
}
"""Environment steps of a cart-pole run, by number of axes."""


def dataset_name(
    env_id: str, instances: int, dims: int | None = None, encoder_level: int | None = None
) -> str:
    """The name ``<family>-<variant>`` of a dataset."""
    if dims is not None:
        return f"cartpole-nd-{dims}d-{'min' if instances == dims + 1 else instances}"
    family = re.sub(r"-v[0-9]+$", "", re.split("[/:]", env_id)[-1]).lower()
    return f"{family}-{instances if encoder_level is None else f'level{encoder_level}'}"


def _cartpole(dims: int, minimum: bool) -> Settings:
    instances = dims + 1 if minimum else 64
    return Settings(
        name=dataset_name("CartPoleND-v0", instances, dims),
        env_id="CartPoleND-v0",
        dims=dims,
        instances=instances,
        total_steps=CARTPOLE_STEPS[dims],
        # On one axis learning lingers near 250, where the pole stands and the cart drifts off the
        # track, unless credit reaches back over the drift. More axes fall long before.
        **({"learning_rate": 2e-2, "discount": 0.995, "gae_lambda": 0.98} if dims == 1 else {}),
        # With rows to spare the consistency term costs nothing, and training to convergence on
        # them works. At minimum size the rows can't pin the policy down, and a large weight stalls
        # learning from 6 axes on.
        consistency=0.1 if minimum else 1.0,
    )


def for_environment(env_id: str) -> Settings:
    """Settings for any Gymnasium environment, untuned: 64 rows, everything normalised."""
    if env_id.startswith("ALE/"):
        return _atari(env_id, 4, 4)
    return Settings(
        name=dataset_name(env_id, 64),
        env_id=env_id,
        instances=64,
        total_steps=3_000_000,
        learners=16,
        learning_rate=3e-3,
        epochs=10,
        target_kl=0.03,
        consistency=0.0,
        observation_scale=0.2,
        normalise_rewards=True,
        eval_episodes=1,
    )


CARTPOLE = tuple(_cartpole(dims, minimum) for dims in CARTPOLE_STEPS for minimum in (True, False))


_JOINTS = {"Ant": 27, "Humanoid": 45, "HumanoidStandup": 45}
"""Coordinates of joints' positions and velocities, which come first. Inertias and forces follow,
more than the network is wide: each network would see another projection of them."""


def _mujoco(name: str, **changes: Any) -> Settings:
    if name in _JOINTS:
        changes["coordinates"] = tuple(range(_JOINTS[name]))
    return dataclasses.replace(for_environment(f"{name}-v5"), **changes)


MUJOCO = (
    _mujoco("Ant", total_steps=1_000_000, learning_rate=1e-2),
    # After wild first actions it learns to hobble, leaning by 40 degrees, and stays near 2,000.
    _mujoco(
        "HalfCheetah",
        total_steps=5_000_000,
        learning_rate=1e-2,
        discount=0.98,
        gae_lambda=0.92,
        target_kl=0.05,
        initial_std=0.15,
    ),
    _mujoco("Hopper", total_steps=3_000_000, learning_rate=1e-2),
    _mujoco("Humanoid", total_steps=2_500_000, learning_rate=1e-2, target_kl=0.05),
    _mujoco("HumanoidStandup", total_steps=1_000_000, learning_rate=1e-2),
    # Returns fall again after they have reached the top, so the run ends there.
    _mujoco("InvertedDoublePendulum", total_steps=800_000, learning_rate=1e-3),
    _mujoco("InvertedPendulum", total_steps=600_000),
    _mujoco("Pusher", total_steps=800_000, learning_rate=1e-2, discount=0.95, horizon=50),
    _mujoco(
        "Reacher",
        total_steps=1_000_000,
        learning_rate=1e-2,
        discount=0.9,
        horizon=50,
        min_std=0.1,
    ),
    # A stroke takes long to pay: short-sighted learners stay at 30.
    _mujoco(
        "Swimmer",
        total_steps=1_000_000,
        learning_rate=1e-2,
        discount=0.9999,
        gae_lambda=0.98,
        horizon=256,
        envs_per_learner=2,
    ),
    _mujoco("Walker2d", total_steps=2_500_000, min_std=0.2),
)


def _atari(
    env_id: str, instances: int, encoder_level: int, inner_rate: float = 0.03, **changes: Any
) -> Settings:
    settings = Settings(
        name=dataset_name(env_id, instances, encoder_level=encoder_level),
        env_id=env_id,
        instances=instances,
        total_steps=3_000_000,
        hidden_sizes=(512,),
        encoder_level=encoder_level,
        guide_share=0.85,
        learners=8,
        envs_per_learner=2,
        horizon=128,
        epochs=4,
        learning_rate=1e-3,
        target_learning_rate=3e-3,
        encoder_learning_rate=2.5e-4,
        critic_learning_rate=2.5e-4,
        clip=0.1,
        value_weight=0.5,
        entropy=0.01,
        consistency=0.0,
        # The inner loss is a mean over rows and actions, and its gradient as much smaller.
        initial_inner_learning_rate=inner_rate,
        reward_sign=True,
        end_at_lost_life=True,
        eval_learners=32,
        eval_episodes=1,
    )
    return dataclasses.replace(settings, **changes)


_SCORES = {"reward_sign": False, "normalise_rewards": True}
"""For games whose rewards differ by a factor of hundreds, so that their signs tell little (van
Hasselt et al., "Learning values across many orders of magnitude", 2016)."""

_ALONE = {
    "guide_share": 0.0,
    "epochs": 2,
    "learning_rate": 3e-4,
    "target_learning_rate": 1e-3,
    "encoder_learning_rate": 1e-4,
}
"""Without a guide; what rewards say through a learner's step is noisier, and rates are smaller."""

_ONE_ACTION = {
    **_SCORES,
    **_ALONE,
    "constant_start": True,
    "total_steps": 200_000,
    "learning_rate": 1e-4,
    "target_learning_rate": 2e-3,
    "envs_per_learner": 4,
    "horizon": 256,
    "epochs": 1,
    "value_weight": 0.1,
    "entropy": 0.0,
}

_TAUGHT = {
    **_ALONE,
    "teacher": "pong-level4",
    "total_steps": 400_000,
    "learners": 4,  # the step of a layer of 3,136 x 512 takes as long as 32 frames of a learner
    "envs_per_learner": 4,
    "target_learning_rate": 3e-3,
}

_GOING_ON = {
    "teacher": "spaceinvaders-level4",  # the rows that ship
    "envs_per_learner": 4,
    "horizon": 64,
    "epochs": 1,
}
"""Where progress is what samples give, a second epoch sees the same noise once more."""

ATARI = (
    *(_atari("ALE/Pong-v5", 4, level, 0.1, **_TAUGHT) for level in range(4)),
    _atari("ALE/Pong-v5", 4, 4),
    _atari("ALE/Centipede-v5", 10, 0, 10.0, **_ONE_ACTION),
    *(_atari("ALE/Centipede-v5", 10, level, 0.25, **_ONE_ACTION) for level in range(1, 5)),
    _atari("ALE/SpaceInvaders-v5", 4, 0, 1.0, **_ONE_ACTION),
    _atari("ALE/SpaceInvaders-v5", 4, 4, **_SCORES, **_GOING_ON, total_steps=4_700_000),
    _atari("ALE/MsPacman-v5", 6, 4, 0.07, **_SCORES, total_steps=1_500_000),
    _atari("ALE/Breakout-v5", 4, 4, total_steps=2_500_000),
)

PRESETS: dict[str, Settings] = {
    settings.name: settings for settings in (*CARTPOLE, *MUJOCO, *ATARI)
}
"""Settings by dataset name: N-dimensional cart-pole at the paper's minimum size (N + 1 rows) and at
64 rows, MuJoCo at 64 rows, Atari games at the paper's number of rows, and Breakout, which it does
not have, at 4."""
