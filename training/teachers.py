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

A model of SB3 whose environment is a ``VecNormalize`` sees through its statistics. Q-values are no
logits: a choice between two good actions is worth little, and least squares on values would care
for the good states, where all values are high.
"""

import dataclasses
import importlib
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.real import transform_function
from distilled_envs.envs.registering import import_module
from distilled_envs.errors import (
    DistilledEnvsError,
    HubError,
    HubUnreachableError,
    MissingExtraError,
    PolicyError,
)
from distilled_envs.evaluation.players import PredictingPlayer, outputs_of, policy_in
from distilled_envs.learners.actions import by_number, logits_of
from distilled_envs.learners.expansion import mean_answers, one_step_learners
from distilled_envs.learners.policies import evaluating, read_policy
from distilled_envs.learners.sb3_policies import (
    QValues,
    is_recurrent,
    is_sb3_model,
    is_sb3_policy,
)
from distilled_envs.loading import HUB_NAME, load_distilled, locate_model
from distilled_envs.spec import TaskSpec
from distilled_envs.storage.files import sha256
from distilled_envs.storage.folder import SPEC_FILE
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.provenance import cost_of
from distilled_envs.training.world import World

CHOICE = 8.0
"""Logit of an action that a teacher chose, beside 0: of four it has 99.9%."""
FUNCTION = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
"""A function in a module, ``module:function``."""


@dataclass(frozen=True)
class Teacher:
    """A policy to imitate.

    Attributes:
        name: What it is, for people.
        answer: Observations of the environment ``(n, n_inputs)`` to logits or action means
            ``(n, n_outputs)``.
        linear: The same as a linear policy, where it is one.
        log_std: Log standard deviations of its actions ``(n_outputs,)``, where it has them.
        made: How it was made, such as ``env_steps`` and ``wall_seconds``, where it says so.
    """

    name: str
    answer: Callable[[Tensor], Tensor]
    linear: LinearPolicy | None = None
    log_std: tuple[float, ...] | None = None
    made: dict[str, Any] = field(default_factory=dict)


def load_teacher_policy(source: str | Path, world: World | None = None) -> Any:
    """What a name stands for.

    Args:
        source: An ``.npz`` of a linear policy, a ``.zip`` of a model of Stable-Baselines3 or
            sb3-contrib, a Hub repo with one, ``module:function``, or a distilled dataset as
            ``load_distilled`` takes it. A zip is read by SB3's own loader, which unpickles parts of
            it: name only files that you trust.
        world: Where it is to act. Its spaces stand in for those of models from before Gymnasium,
            which can't be unpickled without the package ``gym``.

    Raises:
        PolicyError: There is no such file or function, or it is no policy.
        DatasetError: There is no such dataset.
        HubError: The Hub lacks it, or can't be reached.
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    name = str(source)
    if name.endswith(".npz"):
        return LinearPolicy.load(Path(name).expanduser())
    if name.endswith(".zip"):
        return _load_sb3(Path(name).expanduser(), world)
    if re.fullmatch(FUNCTION, name):
        return _import(name)
    try:
        return load_distilled(source)
    except HubUnreachableError:
        raise
    except HubError as missing:
        if not re.fullmatch(HUB_NAME, name) or name.count("/") != 1:
            raise
        return _load_from_hub(name, missing, world)


def source_of(teacher: str | Path) -> str:
    """Where a named teacher came from, in words that mean the same elsewhere."""
    path = Path(teacher).expanduser()
    if not path.exists():  # a name: of a dataset, a Hub repo or a function
        return str(teacher)
    file = path / SPEC_FILE if path.is_dir() else path  # a dataset's has the hashes of the others
    return f"{path.name}, sha256 {sha256(file)}" if file.is_file() else path.name


def as_teacher(
    policy: Any, task: TaskSpec, observations: spaces.Box, actions: spaces.Space[Any], name: str
) -> Teacher:
    """A policy as a teacher for an environment.

    Args:
        policy: Of a kind in the table above.
        task: Of the environment, with all its coordinates.
        observations: The environment's.
        actions: The environment's.
        name: Of the environment, for errors.

    Raises:
        PolicyError: It does not fit the environment, has a memory, or is none.
    """
    teacher = _as_teacher(policy, task, observations, actions, name)
    if not is_sb3_model(policy):
        return teacher
    if policy.num_timesteps:
        teacher = dataclasses.replace(teacher, made={"env_steps": int(policy.num_timesteps)})
    around = policy.get_vec_normalize_env()
    if around is None or not around.norm_obs:
        return teacher

    def answer(seen: Tensor) -> Tensor:
        return teacher.answer(torch.from_numpy(around.normalize_obs(seen.numpy())).float())

    return dataclasses.replace(teacher, answer=answer)


def _as_teacher(
    policy: Any, task: TaskSpec, observations: spaces.Box, actions: spaces.Space[Any], name: str
) -> Teacher:
    wanted, called = task.observation_shape, type(policy).__name__
    if isinstance(policy, LinearPolicy):
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
    if own is not None and getattr(own, "shape", None) != wanted:
        raise PolicyError(
            f"{called} sees observations {own}, and those of {name} have shape {wanted}."
        )
    if module is not None:
        bad = [key for key, value in module.state_dict().items() if not value.isfinite().all()]
        if bad:
            raise PolicyError(f"{called} has numbers that aren't finite, in {bad[0]}.")
    if module is not None and not is_sb3_policy(module):
        return Teacher(called, _checked(called, _of_outputs(policy), task, name))
    if module is not None:
        _check_actions(called, module.action_space, actions, name)
        try:
            kind = read_policy(policy)
        except PolicyError:
            if is_recurrent(module):
                raise
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
    return Teacher(called, _of_predict(policy, task, actions, observations))


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
    (inputs,) = task.observation_shape
    sees = spec.task.observation_shape == (inputs,) if shown is None else max(shown) < inputs
    if (spec.task.kind, spec.task.parts) != (task.kind, task.parts) or not sees:
        raise PolicyError(f"{spec.name} is of another task than {name}.")
    learners = one_step_learners(dataset, torch.Generator().manual_seed(0))
    seen = (lambda raw: raw) if fixed is None else transform_function(fixed)

    def answer(observations: Tensor) -> Tensor:
        shown = torch.as_tensor(seen(observations.numpy()), dtype=torch.float32)
        return mean_answers(dataset, learners, shown)

    return Teacher(spec.name, answer, log_std=spec.task.target_log_std, made=cost_of(spec))


def _of_outputs(policy: Any) -> Callable[[Tensor], Tensor]:
    outputs, module = outputs_of(policy), policy_in(policy)

    @torch.no_grad()
    def answer(observations: Tensor) -> Tensor:
        with evaluating(module):
            return outputs(observations.float())

    return answer


def _of_predict(
    policy: Any, task: TaskSpec, actions: spaces.Space[Any], observations: spaces.Box
) -> Callable[[Tensor], Tensor]:
    """Answers of what only acts: one observation at a time, in the space's own type."""
    player = PredictingPlayer(policy, actions, greedy=True)
    starts = np.zeros(1, dtype=bool)

    def answer(seen: Tensor) -> Tensor:
        each = seen.numpy().astype(observations.dtype)
        acted = np.concatenate([player(one[None], starts) for one in each])
        taken = torch.from_numpy(by_number(actions, acted))
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


def _import(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PolicyError(f"There is no {attribute} in a module {module}: {error}") from None


_ALGORITHMS = {
    "stable_baselines3.sac.policies": "stable_baselines3:SAC",
    "stable_baselines3.td3.policies": "stable_baselines3:TD3",
    "stable_baselines3.dqn.policies": "stable_baselines3:DQN",
    "sb3_contrib.qrdqn.policies": "sb3_contrib:QRDQN",
    "sb3_contrib.tqc.policies": "sb3_contrib:TQC",
    "sb3_contrib.ars.policies": "sb3_contrib:ARS",
    "sb3_contrib.crossq.policies": "sb3_contrib:CrossQ",
    "sb3_contrib.common.maskable.policies": "sb3_contrib:MaskablePPO",
    "sb3_contrib.common.recurrent.policies": "sb3_contrib:RecurrentPPO",
}
"""Algorithms by the home of their policies; those of actor-critics differ in their settings."""
_NO_SCHEDULE = ("learning_rate", "lr_schedule", "clip_range", "exploration_schedule")
_NOTHING = (
    "clip_range_vf",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
    "ep_info_buffer",
)
"""Parts of a model's zip that are pickled, and only for training: a rate of 0 and None serve."""
_ACTOR_CRITICS = (("clip_range", "stable_baselines3:PPO"), ("cg_max_steps", "sb3_contrib:TRPO"))


def _load_from_hub(repo_id: str, missing: HubError, world: World | None) -> Any:
    """A model from the Hub, where no dataset has the name."""
    try:
        path = locate_model(repo_id)
    except HubUnreachableError:
        raise
    except HubError as error:
        raise HubError(f"{missing} And as a model: {error}") from None
    warnings.warn(
        f"Stable-Baselines3's loader unpickles parts of {repo_id}'s {path.name}, and a pickle can "
        "run any code: load only what you trust.",
        stacklevel=3,
    )
    return _load_sb3(path, world)


def _load_sb3(path: Path, world: World | None) -> Any:
    """A model from a zip, by its own algorithm's loader."""
    if not path.is_file():
        raise PolicyError(f"There is no file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
        home = data["policy_class"]["__module__"]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError) as error:
        raise PolicyError(f"{path} is no model of Stable-Baselines3: {error}") from None
    algorithm = _ALGORITHMS.get(home)
    if home == "stable_baselines3.common.policies":
        found = (kind for setting, kind in _ACTOR_CRITICS if setting in data)
        algorithm = next(found, "stable_baselines3:A2C")
    if algorithm is None:
        raise PolicyError(f"{path} has a policy of {home}, which is of no algorithm known here.")
    package, _, kind = algorithm.partition(":")
    try:
        loader = getattr(importlib.import_module(package), kind)
    except ImportError:
        raise MissingExtraError(package.replace("_", "-"), f"A model of {kind}", "sb3") from None
    # What no answer depends on is not unpickled either: it often is of another version of Python.
    known: dict[str, Any] = dict.fromkeys(_NO_SCHEDULE, 0.0) | dict.fromkeys(_NOTHING)
    try:
        try:
            return loader.load(path, device="cpu", custom_objects=known)
        except ModuleNotFoundError as error:
            if error.name != "gym" or world is None:
                raise
            known |= {"observation_space": world.observations, "action_space": world.actions}
            return loader.load(path, device="cpu", custom_objects=known)
    except DistilledEnvsError:
        raise
    except Exception as error:  # whatever unpickling and building may raise
        raise PolicyError(f"{path} can't be loaded as a model of {kind}: {error}") from None
