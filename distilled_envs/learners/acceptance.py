"""Whether a policy is for a dataset at all: its spaces, and what stands before it."""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import nn
from torch.nn.parameter import is_lazy

from distilled_envs.errors import PolicyError
from distilled_envs.learners.encoder import EncodedPolicy
from distilled_envs.learners.layers import like_parameters
from distilled_envs.learners.policies import evaluating, policy_module, policy_outputs
from distilled_envs.learners.sb3_policies import is_sb3_policy, normalizer_of
from distilled_envs.spec import DistillationSpec, TaskSpec

if TYPE_CHECKING:
    from distilled_envs.rows import Rows


def accept(policy: nn.Module | object, rows: "Rows") -> None:
    """Refuse a policy that is for other spaces, and show lazy layers what they will see.

    Args:
        policy: What :func:`.policies.read_policy` accepts; a plain module has no spaces, and
            passes.
        rows: The dataset.

    Raises:
        PolicyError: It is of no kind that a dataset trains; of Stable-Baselines3's, it has discrete
            actions where the dataset has continuous ones or the other way round, or another number
            of them; it sees other observations; or it sees them normalized.
    """
    module = policy_module(policy)
    # Behind an encoder only the policy as a whole sees observations.
    whole = rows.encoder is None or isinstance(module, EncodedPolicy)
    if whole and any(is_lazy(each) for each in module.parameters()):
        with torch.no_grad(), evaluating(module):
            policy_outputs(policy, like_parameters(module, rows.observations[:2]))
    if not is_sb3_policy(module):
        return
    name, spec = type(policy).__name__, rows.spec
    if normalizer_of(policy) is not None:
        raise PolicyError(
            f"{name} sees observations through VecNormalize, and {spec.name} as the environment "
            "gives them: make the model on dataset.make_env() without it, or with norm_obs=False."
        )
    again = "make the model on dataset.make_env()"
    if (wanted := _other_actions(cast(Any, module).action_space, spec.task)) is not None:
        raise PolicyError(
            f"{name} has the action space {module.action_space}, and {spec.name} needs {wanted}: "
            f"{again}."
        )
    if (wanted := _other_observations(module, spec)) is not None:
        raise PolicyError(
            f"{name} sees observations of {module.observation_space}, and {spec.name} needs "
            f"{wanted}: {again}."
        )
    if spec.has_frames and _shows_frames_undivided(module):
        raise PolicyError(
            f"{name} takes frames as they are, and {spec.name} was distilled for frames divided by "
            f"255: {again}, of uint8, with normalize_images=True."
        )


def _other_actions(space: spaces.Space[Any], task: TaskSpec) -> str | None:
    """What a task needs, where a space of actions is another one."""
    if task.kind == "gaussian":
        fits = isinstance(space, spaces.Box) and space.shape == (task.n_outputs,)
        return None if fits else f"a Box of shape ({task.n_outputs},)"
    if task.choices is not None:
        fits = isinstance(space, spaces.MultiDiscrete) and tuple(space.nvec) == task.choices
        return None if fits else f"MultiDiscrete({list(task.choices)})"
    fits = isinstance(space, spaces.Discrete) and space.n == task.n_outputs
    return None if fits else f"Discrete({task.n_outputs})"


def _other_observations(module: Any, spec: DistillationSpec) -> str | None:
    """What a dataset needs, where a policy sees something else; arrays are flattened by SB3."""
    space, shape = module.observation_space, spec.task.observation_shape
    same = isinstance(space, spaces.Box) and np.prod(space.shape) == np.prod(shape)
    return None if same else f"a Box of shape {shape}"


def _shows_frames_undivided(module: Any) -> bool:
    """Whether SB3 shows frames of 0 to 255 as they are to an extractor of its own.

    It divides what is an image; another's extractor may divide, too.
    """
    space = module.observation_space
    image = len(space.shape) == 3 and space.dtype == np.uint8
    if module.normalize_images and image and (space.low == 0).all() and (space.high == 255).all():
        return False
    kinds = {type(each).__name__ for each in module.modules() if _is_of_sb3(each)}
    return bool(kinds & {"NatureCNN", "FlattenExtractor"})


def _is_of_sb3(module: nn.Module) -> bool:
    return type(module).__module__ == "stable_baselines3.common.torch_layers"
