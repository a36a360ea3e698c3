"""How many learners answer together."""

import dataclasses

import pytest
import torch

from distilled_envs import load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.learners.expansion import one_step_learners


@pytest.mark.parametrize(
    ("hidden_sizes", "count"),
    [((64, 64), 64), ((2_048,), 64), ((512,) * 16, 8), ((3_000,) * 3, 1)],
)
def test_learners_fit_into_their_memory(hidden_sizes, count):
    dataset = load_distilled("frozenlake-min")
    learner = dataclasses.replace(dataset.spec.learner, hidden_sizes=hidden_sizes)
    large = DistilledDataset(
        dataset.observations, dataset.targets, dataset.spec.replace(learner=learner)
    )
    learners = one_step_learners(large, torch.Generator().manual_seed(0))
    assert len(learners) == count
    assert learners.is_finite()
