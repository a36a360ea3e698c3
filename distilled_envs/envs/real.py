"""The real environment as a dataset saw it: built from its spec, under its fixed transform."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from distilled_envs.envs import atari
from distilled_envs.envs.making import ending, make
from distilled_envs.envs.preprocessing import make_vec as make_preprocessed_vec
from distilled_envs.envs.preprocessing import preprocess
from distilled_envs.envs.registering import (
    likely_module,
    missing_package,
    missing_simulator,
    registered,
)
from distilled_envs.errors import DatasetError, DistilledEnvsError, SettingsError
from distilled_envs.formatting import in_a_line
from distilled_envs.spaces import Actions, EnvSpaces
from distilled_envs.spec import DistillationSpec, ObservationTransform


def make_bare_env(spec: DistillationSpec, **kwargs: Any) -> gym.Env:
    """The real environment without the dataset's transform; ``kwargs`` go to ``gym.make``.

    Raises:
        DatasetError: The environment is not registered here, or is not the one of the dataset, or
            does not take the arguments that its file names.
        SettingsError: It does not take ``kwargs``.
        MissingExtraError: What it is simulated with is not installed.
    """
    with _explained(spec, kwargs):
        env = preprocess(make(_registered(spec), **kwargs), spec.preprocessing)
    _check_shape(spec, env.observation_space)
    return env


def make_env(spec: DistillationSpec, **kwargs: Any) -> gym.Env:
    """The real environment of a dataset; see :func:`make_bare_env`."""
    env = make_bare_env(spec, **kwargs)
    fixed = spec.observation_transform
    if fixed is None:
        return env
    space = transformed_space(fixed, cast(spaces.Box, env.observation_space))
    return gym.wrappers.TransformObservation(env, transform_function(fixed), space)


def env_spaces(spec: DistillationSpec) -> EnvSpaces:
    """The spaces of :func:`make_env`: as the spec has them, else the environment is built for them.

    Raises:
        DatasetError: The environment is not registered here, or is not the one of the dataset.
        MissingExtraError: What it is simulated with is not installed.
    """
    if spec.spaces is not None:
        return copy.deepcopy(spec.spaces)  # each environment seeds its own
    env = make_env(spec)
    env.close()
    return EnvSpaces(
        cast(spaces.Box, env.observation_space),  # as every dataset's, and actions of two kinds
        cast(Actions, env.action_space),
    )


def make_vec_env(spec: DistillationSpec, num_envs: int, **kwargs: Any) -> gym.vector.VectorEnv:
    """Copies of the real environment of a dataset.

    ``kwargs`` go to ``gym.make_vec``, for Atari games to
    :func:`distilled_envs.envs.atari.make_vec`.

    Raises:
        DatasetError: The environment is not registered here, or is not the one of the dataset, or
            does not take the arguments that its file names.
        SettingsError: There are no copies, or it does not take ``kwargs``.
        MissingExtraError: What it is simulated with is not installed.
    """
    if num_envs < 1:
        raise SettingsError(f"num_envs must be at least 1, got {num_envs}.")
    with _explained(spec, kwargs):
        env = make_preprocessed_vec(_registered(spec), num_envs, spec.preprocessing, **kwargs)
    _check_shape(spec, env.single_observation_space)
    fixed = spec.observation_transform
    if fixed is None:
        return env
    space = transformed_space(fixed, cast(spaces.Box, env.single_observation_space))
    return gym.wrappers.vector.TransformObservation(
        env, transform_function(fixed), single_observation_space=space
    )


def make_ending_vec_env(spec: DistillationSpec, num_envs: int) -> gym.vector.VectorEnv:
    """Copies of the real environment whose episodes all end; see :func:`.making.ending`.

    Raises:
        What :func:`make_vec_env` does.
    """
    limited = ending(spec.env)
    if limited is spec.env:
        return make_vec_env(spec, num_envs)
    # An environment's own vector form may know no limit.
    return make_vec_env(spec.replace(env=limited), num_envs, vectorization_mode="sync")


def transform_function(fixed: ObservationTransform) -> Callable[[np.ndarray], np.ndarray]:
    """The transform as a function of real observations; gives float32 ``(..., n_inputs)``."""
    mean, std = np.array(fixed.mean), np.array(fixed.std)
    coordinates = None if fixed.coordinates is None else list(fixed.coordinates)

    def transform(observations: np.ndarray) -> np.ndarray:
        if coordinates is not None:
            observations = observations[..., coordinates]
        normalized = np.clip((observations - mean) / std, -fixed.clip, fixed.clip)
        return (fixed.scale * normalized).astype(np.float32)

    return transform


def transformed_space(fixed: ObservationTransform, space: spaces.Box) -> spaces.Box:
    """The space of transformed observations.

    Where these begin at 0, as what is one-hot does, rows may be as far below it.
    """
    transform = transform_function(fixed)
    low, high = transform(space.low), transform(space.high)
    if (low == 0).all():
        low = -high
    return spaces.Box(low, high, dtype=np.float32)


def _registered(spec: DistillationSpec) -> EnvSpec:
    """The environment as it is registered here, with the dataset's arguments and time limit."""
    env_id = spec.env.id
    if env_id.startswith("ALE/"):
        atari.register(env_id)
    try:
        return registered(spec.env)
    except gym.error.Error as error:
        module = spec.env_module
        if missing := missing_package(module or likely_module(env_id) or "", env_id):
            raise missing from None
        which = "the package that registers it" if module is None else module
        raise DatasetError(
            f"{spec.name}: the environment {env_id} is not registered: import {which} first "
            f"(and call its register_envs(), if it has one), in a shell with --import "
            f"{module or 'MODULE'} ({in_a_line(error)})."
        ) from None
    except ValueError as error:
        raise DatasetError(f"{spec.name}: in distillation.json {error}.") from None


@contextmanager
def _explained(spec: DistillationSpec, given: dict[str, Any]) -> Iterator[None]:
    """Whatever an environment raises while it is made, by the arguments that it was made with.

    Args:
        spec: Its arguments are those of a file.
        given: Those of the caller.
    """
    env_id = spec.env.id
    try:
        yield
    except DistilledEnvsError:
        raise
    except (ImportError, gym.error.DependencyNotInstalled) as error:
        raise missing_simulator(env_id, error) from error
    except Exception as error:  # of anybody's environment
        said = in_a_line(error)
        if given and _can_be_made(spec):
            raise SettingsError(f"{env_id} can't be made with {given}: {said}") from error
        raise DatasetError(
            f"{spec.name}: {env_id} can't be made with the arguments {spec.env.kwargs} of "
            f"distillation.json: {said}"
        ) from error


def _can_be_made(spec: DistillationSpec) -> bool:
    """Whether an environment can be made with the arguments of its file alone."""
    try:
        make(_registered(spec)).close()
    except Exception:
        return False
    return True


def _check_shape(spec: DistillationSpec, space: spaces.Space[Any]) -> None:
    """Refuse a real environment whose observations are not those that the dataset was made on."""
    fixed, shown = spec.observation_transform, space.shape
    coordinates = None if fixed is None else fixed.coordinates
    if (
        coordinates is not None
        and shown is not None
        and len(shown) == 1
        and max(coordinates) < shown[0]
    ):
        shown = (len(coordinates),)
    if shown != spec.task.observation_shape or (fixed is not None and shown != (len(fixed.mean),)):
        wanted = "" if coordinates is None else f" from coordinates up to {max(coordinates)}"
        raise DatasetError(
            f"{spec.name}: its observations have shape {spec.task.observation_shape}{wanted}, "
            f"those of {spec.env.id} have {space.shape}."
        )
