"""Starting by preferring an action, or as a learner of another dataset."""

import dataclasses
import math

import pytest
import torch
from torch.distributions import Categorical

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.learners.networks import make_policy
from distilled_envs.training import GameSettings, constant_action, distill
from distilled_envs.training.backends import checked_world
from distilled_envs.training.presets import PRESETS
from distilled_envs.training.starts import prefer, start_as_learner


@pytest.mark.parametrize("preset", ["pong-level4", "pong-level0", "centipede-level0"])
def test_learners_prefer_it_about_as_often_as_asked(preset, start):
    settings = dataclasses.replace(
        PRESETS[preset],
        guide_share=0.0,
        learners=4,
        envs_per_learner=1,
        horizon=16,
        minibatches=2,
        threads=1,
    )
    run = start(settings)
    prefer(run, 1)
    outputs = []
    collect = run.actors.collect
    run.actors.collect = lambda *args: outputs.append(collect(*args)) or outputs[-1]
    run.iterate()
    chosen = torch.softmax(outputs[0].outputs, -1).mean((0, 1))
    assert chosen[1] == pytest.approx(0.97, abs=0.03)
    assert chosen.argmax() == 1


@pytest.mark.slow
def test_a_run_counts_the_trial_and_starts_from_it_once(tmp_path, monkeypatch, interrupted, tiny):
    monkeypatch.setattr(constant_action, "STEPS", 10)
    monkeypatch.setattr(constant_action, "EPISODES", 2)
    settings = dataclasses.replace(tiny, constant_start=True)
    interrupted(settings, tmp_path / "run")
    monkeypatch.setattr(constant_action, "STEPS", 1)  # would be counted, were there another
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert dataset.spec.provenance["env_steps"] == 32 + 7 * 2 * 10
    assert dataset.targets.mean(0).max() > 1  # where targets without a shift have a mean near 0


def test_targets_that_lead_nowhere_are_told(tiny, start):
    settings = dataclasses.replace(tiny, initial_inner_learning_rate=1e-9)
    run = start(settings)
    with pytest.raises(SettingsError, match="larger initial_inner_learning_rate"):
        prefer(run, 1)


def test_continuous_actions_have_no_constant_start():
    settings = GameSettings(**vars(PRESETS["hopper-64"]), constant_start=True)
    with pytest.raises(SettingsError, match="constant_start is for discrete actions"):
        checked_world(settings)


def test_answers_keep_their_order_where_a_learner_explores(dataset):
    decided = DistilledDataset(dataset.observations, 100 * dataset.targets, dataset.spec)
    policy = make_policy(dataset.spec.learner, (8,), 4)
    states = torch.randn(200, 8)
    torch.manual_seed(0)
    start_as_learner(policy, decided, states)
    torch.manual_seed(0)
    sharp = decided.new_learners(1)(states)[0]
    outputs = policy(states)
    assert torch.equal(outputs.argmax(-1), sharp.argmax(-1))
    entropy, before = (Categorical(logits=each).entropy().mean() for each in (outputs, sharp))
    assert before < 0.3 < 0.7 * math.log(4) <= entropy < 0.8 * math.log(4)
