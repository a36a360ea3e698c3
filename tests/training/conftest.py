"""Algorithms before their first iteration."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from distilled_envs.dataset import DistilledDataset
from distilled_envs.training import Settings, nonlinear_distillation
from distilled_envs.training.backends import checked_world, make_training_envs
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.run import make_algorithm


@pytest.fixture
def start() -> Callable[..., MetaPPO]:
    """Makes the algorithm of settings, from one and the same state of torch's generator."""
    envs = []

    def make(settings: Settings, source: DistilledDataset | None = None) -> MetaPPO:
        world = checked_world(settings)
        torch.manual_seed(0)
        envs.append(make_training_envs(settings, world, 0))
        return make_algorithm(settings, envs[-1], world.task, 0, source)

    yield make
    for env in envs:
        env.close()


@pytest.fixture
def imitation_steps(monkeypatch) -> Callable[[int], None]:
    """Sets the gradient steps of each round in which rows are learned from play."""

    def change(steps: int) -> None:
        for name in ("VECTORS", "FRAMES", "KNOWN", "BELOW"):
            effort = dataclasses.replace(getattr(nonlinear_distillation, name), steps=steps)
            if name != "VECTORS":  # each takes half a millisecond or more
                effort = dataclasses.replace(effort, states=16)
            monkeypatch.setattr(nonlinear_distillation, name, effort)

    return change
