"""Who acts in an evaluation: networks by their outputs, everything else by its own ``predict``."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from distilled_envs.errors import PolicyError
from distilled_envs.formatting import in_a_line
from distilled_envs.learners.actions import (
    as_taken,
    by_number,
    choose_actions,
    log_deviations,
    within_bounds,
)
from distilled_envs.learners.layers import like_parameters
from distilled_envs.learners.policies import policy_outputs
from distilled_envs.learners.sb3_policies import (
    inside_model,
    is_sb3_model,
    is_sb3_policy,
    normalizer_of,
    shares_our_outputs,
)
from distilled_envs.spec import TaskSpec

Player = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Observations ``(n, *obs_shape)``, and whether each is the first of an episode ``(n,)``, to
actions ``(n, ...)`` within the environment's bounds."""


def policy_in(policy: object) -> nn.Module | None:
    """The module of a policy, or of the model around it; None if there is none."""
    inside = inside_model(policy)
    return inside if isinstance(inside, nn.Module) else None


def plays_by_outputs(policy: object) -> bool:
    """Whether a policy is sampled with the dataset's deviations, as fresh learners are.

    Modules and Stable-Baselines3's actor-critics are; what has only ``predict`` samples its own
    way.
    """
    module = policy_in(policy)
    if module is None:
        return False
    return shares_our_outputs(module) if is_sb3_policy(module) else True


def player_of_outputs(
    outputs: Callable[[Tensor], Tensor], task: TaskSpec, space: spaces.Space[Any], *, greedy: bool
) -> Player:
    """Actions from outputs, sampled with torch's global generator or the likeliest.

    Args:
        outputs: Observations ``(n, *obs_shape)`` to outputs ``(n, n_outputs)``.
        task: How outputs become actions.
        space: Of one action.
        greedy: The likeliest instead of samples.

    Raises:
        PolicyError: When it plays: outputs of another shape, or not finite.
    """
    log_std = log_deviations(task)

    def play(observations: np.ndarray, starts: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            given = outputs(torch.as_tensor(observations, dtype=torch.float32))
            wanted = (len(observations), task.n_outputs)
            if given.shape != wanted or not given.isfinite().all():
                raise PolicyError(
                    f"The policy must give {task.n_outputs} finite outputs for each observation, "
                    f"got shape {tuple(given.shape)} for {len(observations)} observations"
                    f"{'' if given.isfinite().all() else ', not all of them finite'}."
                )
            actions = choose_actions(task, given, log_std, greedy=greedy).numpy()
        return as_taken(space, actions)

    return play


def outputs_of(policy: nn.Module | object) -> Callable[[Tensor], Tensor]:
    """A policy's outputs on the CPU in float32, wherever it is and of whatever type."""
    module = policy_in(policy)
    assert module is not None

    def outputs(observations: Tensor) -> Tensor:
        return policy_outputs(policy, like_parameters(module, observations)).cpu().float()

    return outputs


class PredictingPlayer:
    """Actions by ``predict(observation, state=, episode_start=, deterministic=)``.

    Models and policies of Stable-Baselines3 see all copies at once. Any other object sees one
    observation, without a dimension of copies, of a single environment: it may keep what it likes
    between calls. It is passed those of the keywords that it takes, and returns an action, or as
    Stable-Baselines3 does an action and its next state.

    Args:
        policy: What has ``predict``.
        space: Of one action.
        greedy: What is passed on as ``deterministic``.
    """

    def __init__(self, policy: Any, space: spaces.Space[Any], *, greedy: bool):
        self._policy, self._space, self._state = policy, space, None
        self._together = sees_copies(policy)
        self._keywords = _keywords_of(policy.predict)
        self._greedy = greedy

    def __call__(self, observations: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Actions for observations; see :data:`Player`.

        Raises:
            PolicyError: ``predict`` fails, or gives what is no action of the environment.
        """
        name = f"{type(self._policy).__name__}.predict"
        known = {"state": self._state, "episode_start": starts, "deterministic": self._greedy}
        seen = observations if self._together else observations[0]
        try:
            given = self._policy.predict(seen, **{key: known[key] for key in self._keywords})
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise PolicyError(
                f"{name} does not take {_described(seen)}: {in_a_line(error)}"
            ) from error
        if isinstance(given, tuple) and len(given) == 2:
            given, self._state = given
        try:
            actions = np.asarray(given)
            if self._together:  # models of SB3 count actions from 0
                actions = as_taken(self._space, actions)
        except (RuntimeError, ValueError, TypeError) as error:
            raise PolicyError(
                f"{name} must give an action as an array: {in_a_line(error)}"
            ) from error
        actions = actions if self._together else actions[None]
        self._check(name, actions, len(starts))
        return within_bounds(self._space, actions)

    def _check(self, name: str, actions: np.ndarray, copies: int) -> None:
        shape, space = (copies, *(self._space.shape or ())), self._space
        fits = actions.shape == shape and actions.dtype.kind in "iufb"
        if fits and isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            alternatives = space.n if isinstance(space, spaces.Discrete) else space.nvec
            number = by_number(space, actions)
            fits = actions.dtype.kind in "iu" and bool(
                ((number >= 0) & (number < alternatives)).all()
            )
        elif fits:
            fits = bool(np.isfinite(actions).all())
        if not fits:
            shown = np.array2string(actions, threshold=8, separator=", ")
            raise PolicyError(
                f"{name} must give actions of {space}, an array of shape {shape[1:]} for each "
                f"observation, got {shown} for {copies} observation{'s' * (copies > 1)}."
            )


def _described(seen: Any) -> str:
    if isinstance(seen, np.ndarray):
        return f"{seen.dtype} observations of shape {seen.shape}"
    return f"observations such as {seen!r}"


def player_of(policy: Any, task: TaskSpec, space: spaces.Space[Any], greedy: bool) -> Player:
    """Actions of a policy: by its outputs where it has them, else by its ``predict``.

    A model that learned behind SB3's VecNormalize sees observations normalized as there.
    """
    player: Player
    if plays_by_outputs(policy):
        player = player_of_outputs(outputs_of(policy), task, space, greedy=greedy)
    else:
        player = PredictingPlayer(policy, space, greedy=greedy)
    around = normalizer_of(policy)
    if around is None:
        return player
    return lambda observations, starts: player(around.normalize_obs(observations), starts)


def together(policies: Sequence[object]) -> Callable[[Tensor], Tensor] | None:
    """Outputs of networks of one architecture, each at its own observation, in a single call.

    Of 32 networks beside each other, in a Swimmer each, the calls one by one took two thirds of the
    time.

    Args:
        policies: What :func:`plays_by_outputs` is true of, in evaluation mode.

    Returns:
        Observations ``(policies, *obs_shape)`` to outputs ``(policies, n_outputs)``; None where
        policies are not all made of the same plain layers on the CPU.
    """
    modules = [each for each in policies if isinstance(each, nn.Module)]
    if len(modules) < len(policies) or not all(map(_is_of_plain_layers, modules)):
        return None
    if len({(repr(each), each.training, _kinds_of(each)) for each in modules}) > 1:
        return None
    parameters, buffers = torch.func.stack_module_state(modules)

    def one(own: dict[str, Tensor], fixed: dict[str, Tensor], seen: Tensor) -> Tensor:
        given = torch.func.functional_call(modules[0], (own, fixed), (seen.unsqueeze(0),))
        return cast(Tensor, given).squeeze(0)

    each_of = torch.vmap(one)

    def outputs(observations: Tensor) -> Tensor:
        try:
            seen = like_parameters(modules[0], observations)
            return each_of(parameters, buffers, seen).float()
        except (RuntimeError, ValueError, TypeError, IndexError):
            # One by one, since some layers can't be stacked; what does not fit says so then.
            rows = observations.split(1)
            alone = (outputs_of(each)(row) for each, row in zip(modules, rows, strict=True))
            return torch.cat([*alone])

    return outputs


_PLAIN = tuple(
    f"torch.nn.modules.{part}"
    for part in ("activation", "container", "flatten", "linear", "normalization")
)


def _is_of_plain_layers(module: nn.Module) -> bool:
    """Whether ``repr`` and its parameters say all there is of a module."""
    for each in module.modules():
        if type(each).__module__ not in _PLAIN or each._forward_hooks or each._forward_pre_hooks:
            return False
    state = module.state_dict().values()
    return all(value.device.type == "cpu" and not is_lazy(value) for value in state)


def _kinds_of(module: nn.Module) -> tuple[Any, ...]:
    return tuple((key, value.shape, value.dtype) for key, value in module.state_dict().items())


def side_by_side(players: list[Player]) -> Player:
    """Players of which each acts in an environment of its own."""

    def play(observations: np.ndarray, starts: np.ndarray) -> np.ndarray:
        places = [slice(place, place + 1) for place in range(len(players))]
        actions = [
            player(observations[place], starts[place])
            for player, place in zip(players, places, strict=True)
        ]
        return np.concatenate(actions)

    return play


def sees_copies(policy: object) -> bool:
    """Whether one policy can play several episodes side by side."""
    return plays_by_outputs(policy) or is_sb3_model(policy) or is_sb3_policy(policy)


def check_can_play(policy: object) -> None:
    """Refuse what is neither a network nor has ``predict``.

    Raises:
        PolicyError: It is.
    """
    if not plays_by_outputs(policy) and not callable(getattr(policy, "predict", None)):
        raise PolicyError(
            "A policy must be a torch.nn.Module, a Stable-Baselines3 model, or an object with "
            f"predict(observation), got {type(policy).__name__}."
        )


def _keywords_of(predict: Callable[..., Any]) -> list[str]:
    try:
        taken = inspect.signature(predict).parameters.values()
    except ValueError:  # some functions of extension modules have none
        return []
    passed = ("state", "episode_start", "deterministic")
    if any(each.kind is each.VAR_KEYWORD for each in taken):
        return list(passed)
    names = {each.name for each in taken if each.kind is not each.POSITIONAL_ONLY}
    return [keyword for keyword in passed if keyword in names]
