"""A dataset's learners as a teacher: a run's own learners follow them, or its guide starts as one.

Kickstarting (Schmitt et al., "Kickstarting Deep Reinforcement Learning", arXiv 1803.03835): where
the learners have come to themselves, they are drawn towards what the teacher would do, beside what
the rewards tell them, and less and less of it, so that the end of the run belongs to the rewards.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import torch
from gymnasium.envs.registration import EnvSpec
from torch import Tensor, nn
from torch.distributions import Categorical

from distilled_envs.catalog import load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.learner import forward
from distilled_envs.spec import LearnerSpec

LEARNERS = 8
"""Learners whose mean answer is the teacher's."""

OPEN = 0.7
"""Entropy, as a share of the highest one, of a guide that starts as a teacher's learner."""


def load_teacher(
    name: str | Path, env_spec: EnvSpec, guide: LearnerSpec | None = None
) -> DistilledDataset:
    """The dataset of a name, as a teacher for an environment.

    Args:
        name: As in ``load_distilled``.
        env_spec: The environment of the run.
        guide: The network of the run's guide, if it has one.

    Raises:
        SettingsError: It is for another environment, or can't teach.
        DatasetError: There is none.
    """
    dataset = load_distilled(name)
    spec = dataset.spec
    if (spec.env.id, spec.env.kwargs) != (env_spec.id, env_spec.kwargs):
        raise SettingsError(
            f"The teacher {name} is for {spec.env.id} with {spec.env.kwargs}, and the run for "
            f"{env_spec.id} with {env_spec.kwargs}."
        )
    if spec.observation_transform is not None or spec.task.kind != "categorical":
        raise SettingsError(
            f"{name} can't be a teacher: it has transformed observations or continuous actions."
        )
    if guide not in (None, dataset.spec.learner) and dataset.encoder is None:
        raise SettingsError(
            f"{name} can't give a guide its start: its learners are {dataset.spec.learner}, the "
            f"guide is {guide}, and it has no encoder whose layers could be taken."
        )
    return dataset


def answers(dataset: DistilledDataset, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What a dataset's learners say on average: observations ``(n, *shape)`` to outputs."""
    # A copy: the dataset stays where it is.
    encode = copy.deepcopy(dataset.encoder or nn.Identity()).to(
        device, memory_format=torch.channels_last
    )
    learners = dataset.new_learners(LEARNERS)
    learners = {name: value.to(device) for name, value in learners.items()}
    return lambda seen: forward(dataset.spec.learner, learners, encode(seen.to(device))).mean(0)


@torch.no_grad()
def start_as_learner(policy: nn.Sequential, dataset: DistilledDataset, seen: Tensor) -> None:
    """Make a policy one of a dataset's learners, but with answers that leave room to explore.

    What learners came to answer at the end of a run leaves hardly a choice, and whoever goes on
    from there finds little new. The same answers, divided by a temperature, order actions alike.

    Args:
        policy: Of the same network as the learners; changed in place.
        dataset: The teacher.
        seen: Examples of what it sees ``(n, *shape)``; entropies are a mean over them.
    """
    policy.load_state_dict({name: value[0] for name, value in dataset.new_learners(1).items()})
    outputs = policy(dataset.encoder(seen) if dataset.encoder else seen)
    highest, temperature = math.log(outputs.shape[-1]), 1.0
    while Categorical(logits=outputs / temperature).entropy().mean() < OPEN * highest:
        temperature *= 1.1
    for parameter in [*policy.parameters()][-2:]:  # of the last layer
        parameter /= temperature
