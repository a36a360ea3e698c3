"""Presets of Atari games, with the paper's number of rows, or 4 for games that it lacks."""

from typing import Any

from distilled_envs.training.settings import GameSettings, dataset_name


def for_game(
    env_id: str, instances: int, encoder_level: int, inner_rate: float = 0.03, **changes: Any
) -> GameSettings:
    """Settings for any game, with changes."""
    settings: dict[str, Any] = {
        "name": dataset_name(env_id, instances, encoder_level=encoder_level),
        "env_id": env_id,
        "instances": instances,
        "total_steps": 3_000_000,
        "hidden_sizes": (512,),
        "encoder_level": encoder_level,
        "guide_share": 0.85,
        "learners": 8,
        "envs_per_learner": 2,
        "horizon": 128,
        "epochs": 4,
        "learning_rate": 1e-3,
        "target_learning_rate": 3e-3,
        "encoder_learning_rate": 2.5e-4,
        "critic_learning_rate": 2.5e-4,
        "clip": 0.1,
        "value_weight": 0.5,
        "entropy": 0.01,
        "consistency": 0.0,
        "initial_inner_learning_rate": inner_rate,
        "reward_sign": True,
        "end_at_lost_life": True,
        "eval_learners": 32,
        "eval_episodes": 1,
    }
    return GameSettings(**(settings | changes))


def for_pictures(env_id: str) -> GameSettings:
    """Settings for any other environment that shows pictures: as a game, but without lives."""
    return for_game(env_id, 4, 4, reward_sign=False, normalize_rewards=True, end_at_lost_life=False)


_SCORES: dict[str, Any] = {"reward_sign": False, "normalize_rewards": True}
"""Normalized rewards, for games whose rewards differ by factors of hundreds: their signs say little
(van Hasselt et al., "Learning values across many orders of magnitude", 2016)."""

_ALONE: dict[str, Any] = {
    "guide_share": 0.0,
    "epochs": 2,
    "learning_rate": 3e-4,
    "target_learning_rate": 1e-3,
    "encoder_learning_rate": 1e-4,
}
"""Without a guide. The policy gradient through a learner's step is noisier: rates are smaller."""

_ONE_ACTION: dict[str, Any] = {
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

_TAUGHT: dict[str, Any] = {
    **_ALONE,
    "teacher": "pong-level4",
    "total_steps": 400_000,
    # The gradient step of a learner with a layer of 3,136 x 512 takes as long as 32 of its frames.
    "learners": 4,
    "envs_per_learner": 4,
    "target_learning_rate": 3e-3,
}

_GOING_ON: dict[str, Any] = {
    "guide_start": "spaceinvaders-level4",
    "envs_per_learner": 4,
    "horizon": 64,
    "epochs": 1,
}
"""For a run that goes on from rows that ship. More samples help there, and more epochs on the same
ones do not: their noise is learned too."""

ATARI = (
    *(for_game("ALE/Pong-v5", 4, level, 0.1, **_TAUGHT) for level in range(4)),
    for_game("ALE/Pong-v5", 4, 4),
    for_game("ALE/Centipede-v5", 10, 0, 10.0, **_ONE_ACTION),
    *(for_game("ALE/Centipede-v5", 10, level, 0.25, **_ONE_ACTION) for level in range(1, 5)),
    for_game("ALE/SpaceInvaders-v5", 4, 0, 1.0, **_ONE_ACTION),
    for_game("ALE/SpaceInvaders-v5", 4, 4, **_SCORES, **_GOING_ON, total_steps=4_700_000),
    for_game("ALE/MsPacman-v5", 6, 4, 0.07, **_SCORES, total_steps=1_500_000),
    for_game("ALE/Breakout-v5", 4, 4, total_steps=2_500_000),
)
