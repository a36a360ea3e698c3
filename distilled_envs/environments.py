"""The real environment as a dataset saw it: built from its spec, under its fixed transform."""

from collections.abc import Callable
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
    fixed = spec.observation_transform
    space = transformed_space(fixed, env.observation_space)
    return gym.wrappers.TransformObservation(env, transform_function(fixed), space)


def make_vec_env(spec: DistillationSpec, num_envs: int, **kwargs: Any) -> gym.vector.VectorEnv:
    """Copies of the real environment of a dataset; ``kwargs`` go to ``gym.make_vec``."""
    env = gym.make_vec(spec.env, num_envs=num_envs, **kwargs)
    if spec.observation_transform is None:
        return env
    fixed = spec.observation_transform
    space = transformed_space(fixed, env.single_observation_space)
    return gym.wrappers.vector.TransformObservation(
        env, transform_function(fixed), single_observation_space=space
    )


def transform_function(fixed: ObservationTransform) -> Callable[[np.ndarray], np.ndarray]:
    """The transform as a function of observations ``(..., n_inputs)``; gives float32."""
    mean, std = np.array(fixed.mean), np.array(fixed.std)

    def transform(observations: np.ndarray) -> np.ndarray:
        normalised = np.clip((observations - mean) / std, -fixed.clip, fixed.clip)
        return (fixed.scale * normalised).astype(np.float32)

    return transform


def transformed_space(fixed: ObservationTransform, space: spaces.Box) -> spaces.Box:
    """The space of transformed observations."""
    transform = transform_function(fixed)
    return spaces.Box(transform(space.low), transform(space.high), dtype=np.float32)
