"""Any policy as a teacher: what it answers to an environment's own observations.

What is imitated of each kind:

| teacher | answers |
|---|---|
| :class:`~.linear_policy.LinearPolicy`, or an ``.npz`` of one | its outputs |
| a distilled dataset | the mean outputs of its one-step learners |
| SB3's PPO, A2C, TRPO, MaskablePPO | logits, or action means |
| DQN, QR-DQN | the action of the highest value: :data:`CHOICE` for its logit, 0 for the others |
| SAC, TQC, TD3, DDPG | the action, tanh of the mean, in the environment's units |
| any other object with ``predict``, or a function of one observation | the action, as above |

Where an environment shows no vector, functions, and models that were trained on what it shows, are
given that, and answer with their action; all others are given the vector that learners see.

A model of SB3 whose environment is a ``VecNormalize`` sees through its statistics. Q-values are no
logits: a choice between two good actions is worth little, and least squares on values would care
for the good states, where all values are high.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from torch import Tensor, nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.preprocessing import as_shown
from distilled_envs.envs.real import transform_function
from distilled_envs.errors import PolicyError
from distilled_envs.evaluation.players import (
    PredictingPlayer,
    outputs_of,
    policy_in,
    sees_copies,
)
from distilled_envs.learners.actions import by_number, logits_of
from distilled_envs.learners.expansion import mean_answers, one_step_learners
from distilled_envs.learners.layers import used_layers
from distilled_envs.learners.networks import NATURE, has_weights, make_policy
from distilled_envs.learners.policies import evaluating, read_policy
from distilled_envs.learners.sb3_policies import (
    QValues,
    is_recurrent,
    is_sb3_model,
    is_sb3_policy,
    normalizer_of,
)
from distilled_envs.spec import TaskSpec
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.provenance import cost_of
from distilled_envs.training.world import World

CHOICE = 8.0
"""Logit of an action that a teacher chose, beside 0: of four it has 99.9%."""


@dataclass(frozen=True)
class Teacher:
    """A policy to imitate.

    Attributes:
        name: What it is, for people.
        answer: Observations of the environment ``(n, n_inputs)`` to logits or action means
            ``(n, n_outputs)``.
        linear: The same as a linear policy, where it is one.
        log_std: Log standard deviations of its actions ``(n_outputs,)``, where it has them.
        network: The CNN that it is, or its first layers, where these are the Nature CNN's.
        made: How it was made, such as ``env_steps`` and ``wall_seconds``, where it says so.
    """

    name: str
    answer: Callable[[Tensor], Tensor]
    linear: LinearPolicy | None = None
    log_std: tuple[float, ...] | None = None
    network: nn.Sequential | None = None
    made: dict[str, Any] = field(default_factory=dict)


def as_teacher(policy: Any, world: World) -> Teacher:
    """A policy as a teacher for an environment.

    Args:
        policy: Of a kind in the table above.
        world: The environment.

    Raises:
        PolicyError: It does not fit the environment, has a memory, or is none.
    """
    seeing = _on_whole_frames(policy) if world.shows_frames else policy
    teacher = _as_teacher(seeing, world)
    if world.shows_frames and policy_in(seeing) is not None:
        network = _nature_cnn(seeing, world.task)
        teacher = dataclasses.replace(teacher, name=type(policy).__name__, network=network)
    if not is_sb3_model(policy):
        return teacher
    if policy.num_timesteps:
        teacher = dataclasses.replace(teacher, made={"env_steps": int(policy.num_timesteps)})
    around = normalizer_of(policy)
    if around is None:
        return teacher
    if world.preprocessing is not None and around.observation_space != world.observations:
        raise PolicyError(
            f"{teacher.name} normalizes {around.observation_space}, and only vectors are "
            "normalized here: give a function of an observation that does it."
        )

    def answer(seen: Tensor) -> Tensor:
        return teacher.answer(torch.from_numpy(around.normalize_obs(seen.numpy())).float())

    return dataclasses.replace(teacher, answer=answer)


def _as_teacher(policy: Any, world: World) -> Teacher:
    task, actions, name = world.task, world.actions, world.spec.id
    wanted, called = task.observation_shape, type(policy).__name__
    if isinstance(policy, LinearPolicy):
        if world.shows_frames:
            raise PolicyError(f"{name} shows frames, and a linear policy sees vectors.")
        shape = tuple(policy.weights.shape)
        if shape != (task.n_outputs, *wanted):
            raise PolicyError(
                f"The linear policy has weights of shape {shape}, and {name} needs "
                f"{(task.n_outputs, *wanted)}: {task.n_outputs} outputs, {wanted[0]} inputs."
            )
        return Teacher("a linear policy", policy, linear=policy, made=policy.made)
    if isinstance(policy, DistilledDataset):
        return _of_dataset(policy, task, name)
    module = policy_in(policy)
    own = getattr(policy, "observation_space", None)
    raw = own is not None and own == world.shown and world.preprocessing == "flatten"
    if own is not None and not raw and getattr(own, "shape", None) != wanted:
        raise PolicyError(
            f"{called} sees observations {own}, and those of {name} have shape {wanted}."
        )
    if module is not None:
        bad = [key for key, value in module.state_dict().items() if not value.isfinite().all()]
        if bad:
            raise PolicyError(f"{called} has numbers that aren't finite, in {bad[0]}.")
    if is_recurrent(module):
        read_policy(policy)  # says why not
    if is_sb3_policy(module):
        _check_actions(called, module.action_space, actions, name)
    if raw:
        return Teacher(called, _of_predict(policy, world))
    if module is not None and not is_sb3_policy(module):
        return Teacher(called, _checked(called, _of_outputs(policy), task, name))
    if module is not None:
        try:
            kind = read_policy(policy)
        except PolicyError:
            kind = None  # such as ARS's, which can't be trained, but acts
        if isinstance(kind, QValues):
            values = _of_outputs(policy)
            return Teacher(called, lambda seen: choices(values(seen).argmax(1), task))
        if kind is not None:
            log_std = getattr(module, "log_std", None)
            deviations = None
            if isinstance(log_std, nn.Parameter) and log_std.shape == (task.n_outputs,):
                deviations = tuple(log_std.detach().cpu().tolist())
            return Teacher(called, _of_outputs(policy), log_std=deviations)
    if not callable(getattr(policy, "predict", None)):
        if not callable(policy):
            raise PolicyError(
                "A teacher is a linear policy, a distilled dataset, a torch.nn.Module, a model of "
                "Stable-Baselines3, an object with predict(observation), or a function of an "
                f"observation, got {called}."
            )
        called = getattr(policy, "__name__", called)
        policy = _predicting(policy, called, actions)
    return Teacher(called, _of_predict(policy, world))


def _on_whole_frames(policy: Any) -> Any:
    """The same policy, where it is a player of ours, which sees frames at half their size."""
    module = policy_in(policy)
    extractor = getattr(module, "features_extractor", None)
    if module is None or type(extractor).__name__ != "HalfFrames":
        return policy
    from distilled_envs.training.half_frames import nature_cnn

    return nature_cnn(cast(Any, module))


def _nature_cnn(policy: Any, task: TaskSpec) -> nn.Sequential | None:
    """The Nature CNN with a policy's layers, as a copy; None where these have other shapes."""
    network = make_policy(NATURE, task.observation_shape, task.n_outputs)
    try:
        with evaluating(policy_in(policy)):
            used = used_layers(policy, torch.zeros(1, *task.observation_shape))
    except PolicyError:  # of SB3's, such as can't be trained, but act
        return None
    ours = [layer for layer in network if has_weights(layer)]
    states = [each.layer.state_dict() for each in used]
    if [_shapes(layer.state_dict()) for layer in ours] != [*map(_shapes, states)]:
        return None
    for layer, theirs in zip(ours, states, strict=True):
        layer.load_state_dict(theirs)
    return network


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def choices(actions: Tensor, task: TaskSpec) -> Tensor:
    """Logits ``(n, n_outputs)`` of actions that were chosen, by number."""
    return logits_of(task, actions, CHOICE)


def _predicting(
    function: Callable[[np.ndarray], Any], called: str, actions: spaces.Space[Any]
) -> Any:
    """A function of one observation, as an object with ``predict`` and the function's name."""

    def predict(self: Any, observation: np.ndarray) -> np.ndarray:
        # As people write them: a truth for one of two actions, a number for a single torque.
        action = np.asarray(function(observation))
        if isinstance(actions, spaces.Discrete):
            return action.astype(int) if action.dtype == bool else action
        return action.reshape(actions.shape) if action.ndim == 0 else action

    return type(called, (), {"predict": predict})()


def _of_dataset(dataset: DistilledDataset, task: TaskSpec, name: str) -> Teacher:
    spec = dataset.spec
    fixed = spec.observation_transform
    shown = None if fixed is None else fixed.coordinates
    wanted = task.observation_shape
    sees = spec.task.observation_shape == wanted if shown is None else max(shown) < wanted[0]
    if (spec.task.kind, spec.task.parts) != (task.kind, task.parts) or not sees:
        raise PolicyError(f"{spec.name} is of another task than {name}.")
    learners = one_step_learners(dataset, torch.Generator().manual_seed(0))
    seen = (lambda raw: raw) if fixed is None else transform_function(fixed)

    def answer(observations: Tensor) -> Tensor:
        shown = torch.as_tensor(seen(observations.numpy()))
        return mean_answers(dataset, learners, shown)

    log_std, made = spec.task.target_log_std, cost_of(spec)
    return Teacher(spec.name, answer, log_std=log_std, network=dataset.encoder, made=made)


def _of_outputs(policy: Any) -> Callable[[Tensor], Tensor]:
    outputs, module = outputs_of(policy), policy_in(policy)

    @torch.no_grad()
    def answer(observations: Tensor) -> Tensor:
        with evaluating(module):
            return outputs(observations.float())

    return answer


def _of_predict(policy: Any, world: World) -> Callable[[Tensor], Tensor]:
    """Answers of what only acts, to observations as the environment itself shows them."""
    player = PredictingPlayer(policy, world.actions, greedy=True)
    task, shown = world.task, world.shown

    def acted(seen: np.ndarray) -> np.ndarray:
        batch: Any = seen.astype(world.observations.dtype)
        each: Any = batch
        if shown is not None and world.preprocessing == "flatten":
            each = [as_shown(shown, one) for one in seen]
            empty = cast(Any, create_empty_array(shown, len(each)))
            batch = concatenate(shown, each, empty)
        if sees_copies(policy):
            return player(batch, np.zeros(len(seen), dtype=bool))
        return np.concatenate([player(cast(Any, [one]), np.zeros(1, dtype=bool)) for one in each])

    def answer(seen: Tensor) -> Tensor:
        taken = torch.from_numpy(by_number(world.actions, acted(seen.numpy())))
        return choices(taken, task) if task.kind == "categorical" else taken.float()

    return answer


def _checked(
    called: str, answer: Callable[[Tensor], Tensor], task: TaskSpec, name: str
) -> Callable[[Tensor], Tensor]:
    given = answer(torch.zeros(2, *task.observation_shape))
    if given.shape != (2, task.n_outputs):
        raise PolicyError(
            f"{called} gives outputs of shape {tuple(given.shape)} for 2 observations, and {name} "
            f"needs {(2, task.n_outputs)}."
        )
    return answer


def _check_actions(
    called: str, own: spaces.Space[Any], actions: spaces.Space[Any], name: str
) -> None:
    same = type(own) is type(actions) and own.shape == actions.shape
    if isinstance(own, spaces.Box) and isinstance(actions, spaces.Box) and same:
        same = bool(np.allclose(own.low, actions.low) and np.allclose(own.high, actions.high))
    if isinstance(own, spaces.Discrete) and isinstance(actions, spaces.Discrete):
        same = own.n == actions.n
    if isinstance(own, spaces.MultiDiscrete) and isinstance(actions, spaces.MultiDiscrete):
        same = same and bool((own.nvec == actions.nvec).all())
    if not same:
        raise PolicyError(f"{called} has the actions {own}, and those of {name} are {actions}.")
