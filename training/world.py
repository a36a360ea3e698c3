"""An environment that rows can be made for: what it shows and takes, checked before work starts."""

import copy
import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from torch import Tensor

from distilled_envs.envs import atari
from distilled_envs.envs.checked import tried
from distilled_envs.envs.making import UNLIMITED, make, time_limit
from distilled_envs.envs.preprocessing import preprocess, preprocessing_of
from distilled_envs.envs.registering import (
    import_module,
    likely_module,
    missing_simulator,
    registered,
    registering_module,
)
from distilled_envs.errors import MissingExtraError, SettingsError
from distilled_envs.formatting import in_a_line
from distilled_envs.spaces import Actions
from distilled_envs.spec import MAX_BYTES, LearnerSpec, Preprocessing, TaskSpec

logger = logging.getLogger(__name__)

_SMALLEST, _BRIGHTEST = 3, 65_535
"""Side of a picture, at least, and value of a pixel at most."""


@dataclass(frozen=True)
class World:
    """An environment, and what it takes.

    Attributes:
        spec: Makes it, without preprocessing.
        task: How outputs become actions.
        observations: What it shows, under the preprocessing.
        actions: What it takes.
        preprocessing: What stands between it and learners.
        module: The module that registers it, where the user has named one.
        shown: What it shows itself, before the preprocessing.
    """

    spec: EnvSpec
    task: TaskSpec
    observations: spaces.Box
    actions: Actions
    preprocessing: Preprocessing | None = None
    module: str | None = None
    shown: spaces.Space[Any] | None = None

    @property
    def is_picture(self) -> bool:
        """Whether a vector is a small picture with channels, such as MinAtar's of 10 x 10 x 4."""
        shown = self.shown
        if self.preprocessing != "flatten" or not isinstance(shown, spaces.Box):
            return False
        sized = len(shown.shape) == 3 and sorted(shown.shape)[1] >= _SMALLEST
        return bool(sized and (shown.low >= 0).all() and 0 < shown.high.max() <= _BRIGHTEST)

    @property
    def shows_frames(self) -> bool:
        """Whether learners see frames, and are CNNs."""
        return len(self.task.observation_shape) > 1

    @property
    def is_played_greedily(self) -> bool:
        """Whether likeliest actions count while rows are made; of choices at frames sampled ones.

        So the paper scores games, in which a policy without chance can stand still for ever.
        """
        return not (self.shows_frames and self.task.kind == "categorical")

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest actions ``(n_outputs,)``; of choices -1 and 1."""
        if isinstance(self.actions, spaces.Box):
            return torch.from_numpy(self.actions.low), torch.from_numpy(self.actions.high)
        return -torch.ones(self.task.n_outputs), torch.ones(self.task.n_outputs)


def world_of(
    env: str | EnvSpec | gym.Env,
    kwargs: Mapping[str, Any] | None = None,
    *,
    max_episode_steps: int | None = None,
) -> World:
    """An environment that rows can be made for.

    Args:
        env: An id, with its module before a colon where that registers it; an ``EnvSpec``; or an
            environment that ``gym.make`` made.
        kwargs: Arguments of the environment.
        max_episode_steps: Time limit of an episode; None takes the environment's own.

    Raises:
        SettingsError: It can't be made, has spaces that rows can't be made for or wrappers of its
            own, or is registered with a function or class, which no file can name.
        FaultyEnvError: It can't be played.
        DatasetError: A game's ROM is missing.
        MissingExtraError: What it is simulated with is not installed.
    """
    spec = env.spec if isinstance(env, gym.Env) else env
    if not isinstance(spec, str | EnvSpec):
        raise SettingsError(
            "The environment must be an id, an EnvSpec, or one that gym.make made, got "
            f"{type(env).__name__}."
        )
    if isinstance(spec, EnvSpec) and spec.additional_wrappers:
        wrappers = ", ".join(each.name for each in spec.additional_wrappers)
        raise SettingsError(
            f"A dataset can't name the wrappers around {spec.id} ({wrappers}): register an id "
            "whose entry point applies them."
        )
    given = spec if isinstance(spec, str) else spec.id
    module, _, name = given.rpartition(":")
    arguments = dict(kwargs or {})
    if name.startswith("ALE/"):
        if max_episode_steps is not None:
            raise SettingsError(
                f"{name} counts its frames, four a step: give no max_episode_steps, but the "
                "argument max_num_frames_per_episode."
            )
        atari.register(name)
        arguments = atari.ENV_KWARGS | arguments
    try:
        if module:
            import_module(module)
        kept = copy.deepcopy(gym.spec(name)) if isinstance(spec, str) else registered(spec)
        kept.kwargs.update(arguments)
        if max_episode_steps is not None:
            kept.max_episode_steps = max_episode_steps
        kept.kwargs.pop("render_mode", None)
        made = make(kept)
    except gym.error.DependencyNotInstalled as error:
        raise missing_simulator(given, error) from error
    except MissingExtraError:
        raise
    except Exception as error:  # whatever an environment's constructor may raise
        home = None if module else likely_module(name)
        hint = f" If it is one of {home}, name it as {home}:{name}." if home else ""
        raise SettingsError(f"{given} can't be made: {in_a_line(error)}.{hint}") from None
    try:
        kept = _nameable(kept)
        shown = made.observation_space
        preprocessing = _preprocessing(kept.id, shown)
        if preprocessing != "atari":
            tried(made)
        made = preprocess(made, preprocessing)
        observations, actions = made.observation_space, made.action_space
    finally:
        made.close()
    task = task_of(kept.id, observations.shape or (), actions)
    if kept.id == "CartPoleND-v0":  # the number of axes is in the name of a dataset
        kept.kwargs.setdefault("dims", task.observation_shape[0] // 4)
    return World(
        kept,
        task,
        cast(spaces.Box, observations),
        cast(Actions, actions),
        preprocessing,
        module or registering_module(kept.id),
        shown,
    )


def vector_world_of(env: str | EnvSpec | gym.Env) -> World:
    """The same, of an environment whose learners see vectors.

    Raises:
        SettingsError: As :func:`world_of`; or learners see frames.
    """
    world = world_of(env)
    if world.shows_frames:
        raise SettingsError(
            f"{world.spec.id} shows frames, and the search is for policies of vectors: "
            "`distilled-envs distill` makes rows of games."
        )
    return world


def say_if_unending(world: World) -> None:
    """Tell people at the start that episodes may never end."""
    if time_limit(world.spec) is None and world.preprocessing != "atari":
        logger.info(
            "%s has no time limit: its scores are of %s steps at most, unless max_episode_steps "
            "sets one",
            world.spec.id,
            f"{UNLIMITED:,}",
        )


def task_of(env_id: str, shape: tuple[int, ...], actions: spaces.Space[Any]) -> TaskSpec:
    """What an environment asks of a learner.

    Args:
        env_id: Its id, for errors.
        shape: Of an observation, as learners see it.
        actions: What it takes.

    Raises:
        SettingsError: The actions are none that can be distilled.
    """
    if isinstance(actions, spaces.Discrete):
        return TaskSpec("categorical", shape, int(actions.n))
    if isinstance(actions, spaces.MultiDiscrete) and actions.nvec.ndim == 1:
        choices = tuple(actions.nvec.tolist())
        return TaskSpec("categorical", shape, sum(choices), choices=choices)
    if isinstance(actions, spaces.Box) and actions.dtype.kind == "f" and len(actions.shape) == 1:
        if not actions.is_bounded():
            raise SettingsError(
                f"{env_id} can't be distilled: its actions {actions} have no bounds; give them "
                "some with gymnasium.wrappers.TransformAction(env, lambda action: action, "
                "Box(low, high)), and register an id whose entry point applies it."
            )
        if (actions.low >= actions.high).any():
            raise SettingsError(
                f"{env_id} can't be distilled: the bounds of its actions {actions} leave no room."
            )
        return TaskSpec("gaussian", shape, actions.shape[0])
    raise SettingsError(
        f"{env_id} can't be distilled: its actions are {actions}, and only Discrete, MultiDiscrete "
        "and floating-point Box spaces of one dimension are supported; others can be changed with "
        "gymnasium.wrappers.TransformAction, in the entry point of an id that is registered."
    )


def _nameable(kept: EnvSpec) -> EnvSpec:
    """A spec with arguments as a file has them, where one can have them.

    Raises:
        SettingsError: None can.
    """
    try:
        arguments = json.loads(json.dumps(kept.kwargs, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"The arguments {kept.kwargs} of {kept.id} can't be kept in a dataset: "
            f"{in_a_line(error)}."
        ) from None
    try:
        kept.to_json()
    except ValueError:
        raise SettingsError(
            f"{kept.id} is registered with a function or class, which a dataset can't name: "
            'register it with entry_point="module:Class".'
        ) from None
    return dataclasses.replace(kept, kwargs=arguments)


def _preprocessing(env_id: str, observations: spaces.Space[Any]) -> Preprocessing | None:
    try:
        return preprocessing_of(env_id, observations)
    except ValueError as error:
        raise SettingsError(
            f"{env_id} can't be distilled: its observations are {observations}, and {error}."
        ) from None


def check_size(learner: LearnerSpec, world: World) -> None:
    """Refuse a network that no dataset may have, before it is trained.

    Raises:
        SettingsError: It is too large.
    """
    needed = learner.size(world.task.observation_shape, world.task.n_outputs)
    if needed > MAX_BYTES:
        raise SettingsError(
            f"Networks of the hidden layers {learner.hidden_sizes} take {needed / 2**20:.0f} MiB "
            f"each, and the limit is {MAX_BYTES / 2**20:.0f} MiB: make them smaller."
        )
