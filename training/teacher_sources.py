"""What the name of a teacher stands for: a file, a function, a dataset, a model on the Hub."""

import importlib
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from distilled_envs.envs.registering import import_module
from distilled_envs.errors import (
    DistilledEnvsError,
    HubError,
    HubUnreachableError,
    MissingExtraError,
    PolicyError,
)
from distilled_envs.formatting import in_a_line
from distilled_envs.loading import HUB_NAME, load_distilled, locate_model
from distilled_envs.storage.files import given_path, sha256
from distilled_envs.storage.folder import SPEC_FILE
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.world import World

FUNCTION = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
"""A function in a module, ``module:function``."""


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
        return LinearPolicy.load(name)
    if name.endswith(".zip"):
        return _load_sb3(given_path(name), world)
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
    path = given_path(teacher)
    if not path.exists():  # a name: of a dataset, a Hub repo or a function
        return str(teacher)
    file = path / SPEC_FILE if path.is_dir() else path  # a dataset's has the hashes of the others
    return f"{path.name}, sha256 {sha256(file)}" if file.is_file() else path.name


def _import(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PolicyError(
            f"There is no {attribute} in a module {module}: {in_a_line(error)}"
        ) from None


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
        raise PolicyError(f"{path} is no model of Stable-Baselines3: {in_a_line(error)}") from None
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
            known |= {"observation_space": world.shown, "action_space": world.actions}
            return loader.load(path, device="cpu", custom_objects=known)
    except DistilledEnvsError:
        raise
    except Exception as error:  # whatever unpickling and building may raise
        raise PolicyError(
            f"{path} can't be loaded as a model of {kind}: {in_a_line(error)}"
        ) from None
