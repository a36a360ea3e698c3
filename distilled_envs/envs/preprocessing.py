"""What stands between an environment and its learners: Gymnasium's own wrappers.

| preprocessing | of which observations | what learners see |
|---|---|---|
| None | vectors of floating-point numbers | the same |
| ``"flatten"`` | whole numbers and choices, small pictures, ``Dict`` and ``Tuple`` | one vector |
| ``"frames"`` | pictures of at least 64 x 64 pixels | 4 gray frames of 84 x 84 pixels |
| ``"atari"`` | Atari games | the same; see :mod:`.atari` |

In a vector a choice is one-hot: a 1 in its own place, and 0 in the others
(:func:`gymnasium.spaces.utils.flatten_space`).
"""

from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from distilled_envs.envs import atari
from distilled_envs.envs.checked import Checked
from distilled_envs.envs.making import keep_mujoco_quiet
from distilled_envs.errors import MissingExtraError
from distilled_envs.spec import FRAMES, MAX_WIDTH, Preprocessing

_LARGE = 64
"""Height and width from which a picture is no vector: 64 x 64 in color are 12,288 numbers."""
_STACK, _SIZE, _ = FRAMES


def preprocessing_of(env_id: str, observations: spaces.Space[Any]) -> Preprocessing | None:
    """Which of the above an environment needs.

    Args:
        env_id: Its id.
        observations: Its observation space.

    Raises:
        ValueError: There is none for such observations; the message says what there is one for.
    """
    if env_id.startswith("ALE/"):
        return "atari"
    if isinstance(observations, spaces.Box):
        shape = observations.shape
        if len(shape) in (2, 3) and min(shape[:2]) >= _LARGE:
            whole = (observations.low == 0).all() and (observations.high == 255).all()
            if observations.dtype == np.uint8 and whole and shape[2:] in ((), (1,), (3,)):
                return "frames"
            raise ValueError(
                "pictures of that size must be bytes from 0 to 255, of shape (height, width), or "
                "with 1 or 3 colors last"
            )
    if not observations.is_np_flattenable:
        raise ValueError("spaces of no fixed size can't be flattened")
    size = spaces.flatdim(observations)
    if not 1 <= size <= MAX_WIDTH:
        raise ValueError(f"a vector of {size:,} numbers is beyond 1 to {MAX_WIDTH:,}")
    if not isinstance(observations, spaces.Box) or observations.dtype.kind != "f":
        return "flatten"
    return None if len(observations.shape) == 1 else "flatten"


def preprocess(env: gym.Env, kind: Preprocessing | None) -> gym.Env:
    """An environment as learners see it.

    Args:
        env: As ``gym.make`` made it.
        kind: What :func:`preprocessing_of` said.

    Returns:
        The environment with observations that are a ``Box``: a vector of floating-point numbers, or
        frames of bytes ``(4, 84, 84)``.

    Raises:
        MissingExtraError: OpenCV is not installed, which frames need.
    """
    if kind is None:
        return env
    if kind == "atari":
        return atari.preprocess(env)
    if kind == "flatten":
        env = gym.wrappers.FlattenObservation(env)
        if np.issubdtype(env.observation_space.dtype, np.floating):
            return env
        return gym.wrappers.DtypeObservation(env, np.float32)
    shape = env.observation_space.shape or ()
    if shape[2:] == (3,):
        env = gym.wrappers.GrayscaleObservation(env)
    elif shape[2:] == (1,):
        env = gym.wrappers.ReshapeObservation(env, shape[:2])
    try:
        env = gym.wrappers.ResizeObservation(env, (_SIZE, _SIZE))
    except gym.error.DependencyNotInstalled:
        raise MissingExtraError("opencv-python-headless", "Frames", "atari") from None
    return gym.wrappers.FrameStackObservation(env, _STACK, padding_type="zero")


def as_shown(space: spaces.Space[Any], vector: np.ndarray) -> Any:
    """What an environment shows where learners see a vector, the nearest if it never shows that.

    >>> as_shown(spaces.Discrete(3, start=1), np.array([0.2, 0.1, 0.7]))
    3
    """
    return spaces.unflatten(space, _nearest(space, vector))


def _nearest(space: spaces.Space[Any], vector: np.ndarray) -> np.ndarray:
    """The nearest flat observation."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = [*(space.values() if isinstance(space, spaces.Dict) else space)]
        ends = np.cumsum([spaces.flatdim(part) for part in parts])[:-1]
        each = zip(parts, np.split(vector, ends), strict=True)
        return np.concatenate([_nearest(part, own) for part, own in each])
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        sizes = [space.n] if isinstance(space, spaces.Discrete) else space.nvec.flatten()
        choices = np.split(vector, np.cumsum(sizes)[:-1])
        return np.concatenate([np.arange(len(own)) == own.argmax() for own in choices]).astype(int)
    if isinstance(space, spaces.MultiBinary):
        return vector.round().clip(0, 1)
    if isinstance(space, spaces.Box):
        bounded = vector.clip(space.low.flatten(), space.high.flatten())
        return bounded if space.dtype.kind == "f" else bounded.round()
    return vector


def make_vec(
    spec: str | EnvSpec, num_envs: int, kind: Preprocessing | None, **kwargs: Any
) -> gym.vector.VectorEnv:
    """Copies of an environment as learners see it.

    Args:
        spec: What ``gym.make_vec`` takes; of Atari games an ``EnvSpec``.
        num_envs: Number of copies.
        kind: What :func:`preprocessing_of` said.
        **kwargs: For ``gym.make_vec``, of Atari games for :func:`.atari.make_vec`.
    """
    if kind == "atari":
        assert isinstance(spec, EnvSpec)
        return atari.make_vec(spec, num_envs, **kwargs)
    known = gym.spec(spec) if isinstance(spec, str) else spec
    keep_mujoco_quiet(known)
    given = {"vectorization_mode": "sync"} | kwargs
    if kind is None and known.vector_entry_point and "vectorization_mode" not in kwargs:
        return gym.make_vec(spec, num_envs, **kwargs)  # its own vector form takes no wrappers
    return gym.make_vec(spec, num_envs, wrappers=[partial(_checked, kind=kind)], **given)


def _checked(env: gym.Env, kind: Preprocessing | None) -> gym.Wrapper:
    return cast(gym.Wrapper, preprocess(Checked(env), kind))
