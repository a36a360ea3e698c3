"""What a teacher showed of itself, which rows are made of."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.real import transformed_space
from distilled_envs.evaluation import EVALUATION_SEED, one_step_returns
from distilled_envs.spaces import EnvSpaces
from distilled_envs.spec import (
    DistillationSpec,
    InnerSpec,
    LearnerSpec,
    ObservationTransform,
)
from distilled_envs.studies.drop_in import share_of_own
from distilled_envs.training.imitation_settings import ImitationSettings
from distilled_envs.training.settings import dataset_name
from distilled_envs.training.teachers import Teacher
from distilled_envs.training.world import World

STD = 0.1
"""Deviation of sampled actions, in units of their bounds, of teachers that have none."""


@dataclass(frozen=True)
class Shown:
    """A teacher, where it acts, and what it showed there.

    Attributes:
        teacher: It.
        world: Where it acts.
        settings: How it is imitated.
        seen: What it met ``(n, *shape)``.
        answers: What it answered ``(n, n_outputs)``.
        returns: What it got ``(episodes,)``; empty where nothing was played.
    """

    teacher: Teacher
    world: World
    settings: ImitationSettings
    seen: Tensor
    answers: Tensor
    returns: np.ndarray

    @cached_property
    def normal(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of what it met, ``(n_inputs,)`` each."""
        mean, std = self.seen.mean(0), self.seen.std(0)
        return mean, torch.where(std > 1e-6, std, 1.0)

    def kept_by(self, dataset: DistilledDataset) -> dict[str, Any]:
        """What networks get after one step on a dataset, and which share of its return that is.

        They are others than those of the evaluation, since rows are chosen by them.
        """
        returns = one_step_returns(
            dataset,
            self.settings.episodes,
            seed=EVALUATION_SEED + 1_000,
            greedy=self.world.is_played_greedily,
        )
        numbers = {"return": returns.mean(), "std": returns.std(), "least": returns.min()}
        found = {key: round(float(value), 3) for key, value in numbers.items()}
        return found | {"share": share_of_own(found["return"], float(self.returns.mean()))}

    def dataset(
        self,
        observations: Tensor,
        targets: Tensor,
        learning_rate: float,
        fixed: ObservationTransform | None,
        *,
        minimum: bool = False,
        learner: LearnerSpec | None = None,
        encoder: dict[str, Tensor] | None = None,
    ) -> DistilledDataset:
        """Rows of what it did, with all that belongs to them.

        Args:
            observations: ``(k, *shape)``, as learners see them.
            targets: ``(k, n_outputs)``.
            learning_rate: Of the one step.
            fixed: What learners see of the environment's observations; None shows them as they are.
            minimum: Whether no fewer rows can teach it.
            learner: The networks; None takes those like SB3's.
            encoder: State of their hidden layers, where these come with the rows.
        """
        world, log_std = self.world, self.teacher.log_std
        if world.task.kind == "gaussian" and log_std is None:
            low, high = world.bounds
            log_std = tuple((STD * (high - low) / 2).log().tolist())
        learner, shape = learner or LearnerSpec(), observations.shape[1:]
        space = world.observations
        if fixed is not None:
            space = transformed_space(fixed, space)
        spec = DistillationSpec(
            name=dataset_name(
                world.spec.id,
                len(observations),
                world.spec.kwargs.get("dims"),
                encoder_level=learner.encoder_level if world.shows_frames else None,
                minimum=minimum,
                encoded=encoder is not None,
                wide=self.settings.width is not None,
            ),
            learner=learner,
            env=world.spec,
            task=dataclasses.replace(world.task, observation_shape=shape, target_log_std=log_std),
            inner=InnerSpec(learning_rate=learning_rate),
            observation_transform=fixed,
            spaces=EnvSpaces(space, world.actions),
            preprocessing=world.preprocessing,
            env_module=world.module,
        )
        return DistilledDataset(observations, targets, spec, encoder=encoder)
