"""What the terms of the outer loss do."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from distilled_envs.learners.one_step import inner_loss
from distilled_envs.learners.population import Population
from distilled_envs.training import Settings
from distilled_envs.training.meta_ppo import MetaPPO

SETTINGS = Settings(
    name="t", env_id="CartPoleND-v0", dims=1, instances=4, total_steps=100_000, learners=4,
    envs_per_learner=2, horizon=16, minibatches=2,
)  # fmt: skip


@pytest.fixture
def algorithm(start) -> Callable[..., MetaPPO]:
    return lambda **changes: start(dataclasses.replace(SETTINGS, **changes))


def test_consistency_term_makes_learners_fit_the_rows(algorithm):
    def post_step_loss(weight):
        run = algorithm(consistency=weight)
        for _ in range(60):
            run.iterate()
        batch, generator = run.batch, torch.Generator().manual_seed(1)
        fresh = Population.draw(run.settings.learner, run.task, 50, generator)
        with torch.no_grad():
            learners = fresh.step(batch.observations, batch.targets, batch.learning_rate)
            after = inner_loss(learners(batch.observations), batch.targets)
        return (after.mean() / batch.targets.square().mean()).item()

    assert post_step_loss(1.0) < 0.2 * post_step_loss(0.0)


def test_minibatch_of_resets_only_does_no_harm(algorithm):
    run = algorithm(learners=1, envs_per_learner=1, horizon=64, minibatches=64)
    for _ in range(3):
        run.iterate()
    assert run.batch.observations.isfinite().all()
