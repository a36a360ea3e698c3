"""What the terms of the outer loss do."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from distilled_envs.errors import SettingsError
from distilled_envs.learners.limit import LimitPopulation
from distilled_envs.learners.mixture import Mixture
from distilled_envs.learners.one_step import inner_loss
from distilled_envs.learners.population import Population
from distilled_envs.training import PRESETS, Settings
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


def test_a_run_starts_in_the_limit_and_ends_with_networks(algorithm):
    run = algorithm(limit_share=0.5, total_steps=4 * 4 * 2 * 16)
    kinds = []
    for _ in range(4):
        kinds.append(type(run.fresh_learners()))
        run.iterate()
    assert kinds == [LimitPopulation] * 2 + [Mixture] * 2
    assert run.batch.observations.isfinite().all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"limit_share": 1.5}, r"limit_share must lie in 0\.\.1"),
        ({"limit_share": 0.5, "families": ("pytorch",)}, "whose limit is known"),
    ],
)
def test_a_limit_that_is_not_known_is_refused(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        dataclasses.replace(SETTINGS, **changes)
    with pytest.raises(SettingsError, match="CNNs have no linear limit"):
        dataclasses.replace(PRESETS["pong-level4"], limit_share=0.5)
