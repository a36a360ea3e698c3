"""A dataset's learners as a teacher, whose answers a run's own learners follow.

Kickstarting (Schmitt et al., "Kickstarting Deep Reinforcement Learning", arXiv 1803.03835): where
the learners have come to themselves, they are drawn towards what the teacher would do, beside what
the rewards tell them, and less and less of it, so that the end of the run belongs to the rewards.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from distilled_envs.catalog import load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.inner_step import inner_step
from distilled_envs.learner import forward, initial_parameters
from distilled_envs.training.settings import Settings

LEARNERS = 8
"""Learners whose mean answer is the teacher's."""


def load_teacher(settings: Settings) -> DistilledDataset:
    """The dataset that a run's ``teacher`` names.

    Raises:
        SettingsError: It is for another environment, or sees it in another way.
        DatasetError: There is none.
    """
    dataset = load_distilled(settings.teacher)
    spec = dataset.spec
    if (spec.env.id, spec.env.kwargs) != (settings.env_id, settings.env_kwargs):
        raise SettingsError(
            f"The teacher {settings.teacher} is for {spec.env.id} {spec.env.kwargs}, not for "
            f"{settings.env_id} {settings.env_kwargs}."
        )
    if spec.observation_transform is not None:
        raise SettingsError(
            f"The teacher {settings.teacher} sees transformed observations, and the run plain ones."
        )
    return dataset


def answers(dataset: DistilledDataset, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What a dataset's learners say on average: observations ``(n, *shape)`` to outputs."""
    spec, encode = dataset.spec, (dataset.encoder or nn.Identity()).to(device)
    initial = initial_parameters(
        spec.learner, spec.task.observation_shape, spec.task.n_outputs, LEARNERS
    )
    initial = {name: value.to(device) for name, value in initial.items()}
    rows, targets = dataset.observations.to(device), dataset.targets.to(device)
    learners = inner_step(spec.learner, initial, encode(rows), targets, spec.inner.learning_rate)
    return lambda seen: forward(spec.learner, learners, encode(seen.to(device))).mean(0)
