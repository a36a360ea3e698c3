"""Atari games as learners see them: the standard preprocessing, one game at a time or many.

84 x 84 gray pixels, each action held for 4 frames with the maximum over the last two, the last 4
such pictures as a stack, up to 30 actions of doing nothing at the start (Mnih et al., 2015; Machado
et al., 2018, without sticky actions). Rewards are the game's own, and a life lost ends nothing.
"""

import dataclasses
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from distilled_envs.errors import DatasetError, MissingExtraError
from distilled_envs.spec import FRAMES

STACK, SIZE, _ = FRAMES
SKIP, NOOPS = 4, 30

STICKY = 0.25
"""How often the ``-v5`` games repeat the action before, unless asked otherwise (Machado et al.)."""

ENV_KWARGS = {"frameskip": 1, "repeat_action_probability": 0.0}
"""Arguments of ``gym.make`` for the game below the preprocessing, which skips frames itself."""


def is_game(env_id: str) -> bool:
    """Whether an id, perhaps with its module before a colon, is that of an Atari game."""
    return env_id.rpartition(":")[2].startswith("ALE/")


def with_sticky_actions(spec: EnvSpec, probability: float) -> EnvSpec:
    """A game's spec with such a probability that it repeats the action before."""
    return dataclasses.replace(
        spec, kwargs=spec.kwargs | {"repeat_action_probability": probability}
    )


def register(env_id: str) -> None:
    """Make Gymnasium know the games.

    Args:
        env_id: The game that is wanted, such as ``"ALE/Pong-v5"``.

    Raises:
        MissingExtraError: ale-py is not installed.
        DatasetError: The game's ROM is missing.
    """
    try:
        import ale_py
        from ale_py import roms
    except ImportError:
        raise MissingExtraError("ale-py", env_id, "atari") from None
    gym.register_envs(ale_py)
    if env_id in gym.registry:
        game = gym.spec(env_id).kwargs["game"]
        try:
            there = roms.get_rom_path(game)
        except OSError:
            there = None
        if there is None:
            raise DatasetError(
                f"The ROM of {env_id} is missing: install ale-py anew, or put {game}.bin into the "
                "folder that ALE_ROMS_DIR names."
            )


def preprocess(env: gym.Env, *, noops: int = NOOPS) -> gym.Env:
    """A game under the preprocessing: ``uint8`` observations of shape (4, 84, 84).

    Args:
        env: A game made with :data:`ENV_KWARGS`.
        noops: Upper bound of the actions of doing nothing at the start of an episode.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    try:
        env = gym.wrappers.AtariPreprocessing(
            env, noop_max=noops, frame_skip=SKIP, screen_size=SIZE
        )
    except gym.error.DependencyNotInstalled:
        raise MissingExtraError("opencv-python-headless", "An Atari game", "atari") from None
    return gym.wrappers.FrameStackObservation(env, STACK, padding_type="zero")


def make_vec(
    spec: EnvSpec,
    num_envs: int,
    *,
    noops: int = NOOPS,
    threads: int = 0,
    size: int = SIZE,
    autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
) -> gym.vector.VectorEnv:
    """Copies of a game under the preprocessing, in ALE's own vector environment.

    It shows bit for bit what :func:`preprocess` shows, but for the number of actions of doing
    nothing, which it draws from a generator of its own.

    Args:
        spec: The game's spec.
        num_envs: Number of copies.
        noops: As in :func:`preprocess`.
        threads: Threads of the simulator; 0 leaves ALE's own choice.
        size: Of a frame's side.
        autoreset_mode: When a new game begins.

    Raises:
        DatasetError: The spec changes what the vector environment can't.
    """
    from ale_py.vector_env import AtariVectorEnv

    given: dict[str, Any] = dict(spec.kwargs)
    known = {
        "num_threads": threads,
        "max_num_frames_per_episode": given.pop("max_num_frames_per_episode"),
        "repeat_action_probability": given.pop("repeat_action_probability"),
        "full_action_space": given.pop("full_action_space"),
    }
    game, skip = given.pop("game"), given.pop("frameskip")
    if given or skip != ENV_KWARGS["frameskip"]:
        raise DatasetError(
            f"{spec.id} with {given | {'frameskip': skip}} has no vector environment: frameskip "
            "must be 1, since the preprocessing skips frames, and nothing else may be changed."
        )
    return AtariVectorEnv(
        game,
        num_envs,
        noop_max=noops,
        reward_clipping=False,
        use_fire_reset=False,
        img_height=size,
        img_width=size,
        autoreset_mode=autoreset_mode,
        **known,
    )
