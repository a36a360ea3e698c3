"""Datasets as teachers: loaded and checked against the environment of a run."""

import copy
from pathlib import Path

import torch
from gymnasium.envs.registration import EnvSpec
from torch import Tensor, nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.registering import is_same
from distilled_envs.errors import SettingsError
from distilled_envs.learners.population import Population
from distilled_envs.loading import load_distilled
from distilled_envs.spec import LearnerSpec
from distilled_envs.training.imitation import Teacher
from distilled_envs.training.views import to_device

LEARNERS = 8
"""Learners of a dataset whose mean output is the teacher's."""


def load_teacher(name: str | Path, env_spec: EnvSpec) -> DistilledDataset:
    """The dataset of a name, as a teacher for an environment.

    Args:
        name: As in ``load_distilled``.
        env_spec: The environment of the run.

    Raises:
        SettingsError: It is for another environment, or can't teach.
        DatasetError: There is none.
    """
    dataset = load_distilled(name)
    spec = dataset.spec
    if not is_same(spec.env, env_spec):
        raise SettingsError(
            f"The teacher {name} is for {spec.env.id} with {spec.env.kwargs}, and the run for "
            f"{env_spec.id} with {env_spec.kwargs}."
        )
    if spec.observation_transform is not None or spec.task.kind != "categorical":
        raise SettingsError(
            f"{name} can't be a teacher: it has transformed observations or continuous actions."
        )
    return dataset


def load_guide_start(name: str | Path, env_spec: EnvSpec, guide: LearnerSpec) -> DistilledDataset:
    """The dataset of a name, as the start of a guide and of the run's encoder.

    Args:
        name: As in ``load_distilled``.
        env_spec: The environment of the run.
        guide: The guide's architecture. If it is not that of the dataset's learners, the guide
            starts fresh, and only layers of the encoder are taken.

    Raises:
        SettingsError: It is for another environment, or nothing of it can be taken.
        DatasetError: There is none.
    """
    dataset = load_teacher(name, env_spec)
    if guide != dataset.spec.learner and dataset.encoder is None:
        raise SettingsError(
            f"{name} can't give a guide its start: its learners are {dataset.spec.learner}, the "
            f"guide is {guide}, and it has no encoder whose layers could be taken."
        )
    return dataset


def as_teacher(dataset: DistilledDataset, device: torch.device | str) -> Teacher:
    """A teacher that answers with the mean output of a dataset's learners.

    Args:
        dataset: The dataset, which stays as and where it is.
        device: Where the teacher computes.
    """
    encoder = copy.deepcopy(dataset.encoder) if dataset.encoder is not None else nn.Sequential()
    encoder = to_device(encoder, device)
    learners = dataset.new_learners(LEARNERS)
    moved = {name: value.to(device) for name, value in learners.parameters.items()}
    learners = Population(learners.network, moved)

    def answer(observations: Tensor) -> Tensor:
        return learners(encoder(observations.to(device))).mean(0)

    return answer
