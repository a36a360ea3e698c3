"""The real environment as a dataset saw it: built from its spec, under its fixed transform."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from distilled_envs.spec import DistillationSpec, ObservationTransform


def make_env(spec: DistillationSpec, **kwargs: Any) -> gym.Env:
    """The real environment of a dataset; ``kwargs`` go to ``gym.make``."""
    env = gym.make(spec.env, **kwargs)
    if spec.observation_transform is None:
        return env
    transform, space = _transform(spec.observation_transform, env.observation_space)
    return gym.wrappers.TransformObservation(env, transform, space)


def make_vec_env(spec: DistillationSpec, num_envs: int, **kwargs: Any) -> gym.vector.VectorEnv:
    """Copies of the real environment of a dataset; ``kwargs`` go to ``gym.make_vec``."""
    env = gym.make_vec(spec.env, num_envs=num_envs, **kwargs)
    if spec.observation_transform is None:
        return env
    transform, single = _transform(spec.observation_transform, env.single_observation_space)
    return gym.wrappers.vector.TransformObservation(env, transform, single_observation_space=single)


def _transform(fixed: ObservationTransform, space: spaces.Box):
    """The transform as a function, and the space of what it gives."""
    mean = np.array(fixed.mean, dtype=np.float32)
    std = np.array(fixed.std, dtype=np.float32)

    def transform(observation: np.ndarray) -> np.ndarray:
        normalised = np.clip((observation - mean) / std, -fixed.clip, fixed.clip)
        return (fixed.scale * normalised).astype(np.float32)

    return transform, spaces.Box(transform(space.low), transform(space.high), dtype=np.float32)
