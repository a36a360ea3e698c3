"""A run that begins with a guide: who learns from what, and where it ends."""

import dataclasses
import io
import math

import pytest
import torch
from torch.distributions import Categorical

from distilled_envs import load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.training import PRESETS, GameSettings, distill
from distilled_envs.training.centering import Centered
from distilled_envs.training.guided import GUIDE_WEIGHT, Guided


@pytest.fixture
def cartpole(small_cartpole) -> GameSettings:
    settings = GameSettings(**vars(small_cartpole), guide_share=0.5)
    return dataclasses.replace(settings, total_steps=4 * 8 * 16 * 60)


def weights(run: Guided) -> dict[str, list[torch.Tensor]]:
    parts = {
        "guide": run.guide.network,
        "view": run.view,
        "critic": run.critic,
        "batch": run.batch,
    }
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("level", [0, 2, 4])
def test_both_learn_until_learners_act(level, tiny, start):
    run = start(dataclasses.replace(tiny, encoder_level=level, guide_share=0.5))
    assert all(isinstance(part, Centered) for part in run.guide.network if [*part.parameters()])
    for guided in (True, False):
        before = weights(run)
        assert run.iterate()["following"] > 0
        after = weights(run)
        for name, part in before.items():
            moved = [not torch.equal(a, b) for a, b in zip(part, after[name], strict=True)]
            assert all(moved) if guided or name != "guide" else not any(moved), name


def test_followers_are_nothing_to_the_guide(tiny, start):
    """Nor to the encoder, not even through the rows, which are encoded too."""
    ends = []
    for factor in (1.0, -5.0):
        run = start(dataclasses.replace(tiny, guide_share=1.0))
        run.batch.targets.data *= factor
        run.iterate()
        ends.append(weights(run))
    for name in ends[0]:
        assert same(ends[0][name], ends[1][name]) != (name == "batch"), name


@pytest.mark.parametrize("level", [0, 4])
def test_the_guide_keeps_its_encoder_and_gets_it_back(level, tiny, start):
    settings = dataclasses.replace(tiny, encoder_level=level, guide_share=0.5)
    run = start(settings)
    frames = run.actors.at_random(8, 16)
    run.iterate()
    its_encoder = weights(run)["view"]
    answers = run.guide(run.view(frames)[None])[0]
    run.iterate()  # of the learners
    assert level == 0 or not same(its_encoder, weights(run)["view"])
    torch.testing.assert_close(run.guide.frozen_outputs(frames), answers, atol=1e-4, rtol=1e-3)
    resumed, file = start(settings), io.BytesIO()
    torch.save(run.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(
        resumed.guide.frozen_outputs(frames), run.guide.frozen_outputs(frames)
    )
    resumed.settings = dataclasses.replace(settings, total_steps=10 * settings.total_steps)
    resumed.rates = [0.0 for _ in resumed.rates]
    assert "following" in resumed.iterate()
    torch.testing.assert_close(resumed.guide(resumed.view(frames)[None])[0], answers)


def test_rates_fall_for_the_guide_and_again_for_learners(cartpole, start):
    run = start(dataclasses.replace(cartpole, guide_share=0.75))
    for iteration, left in {0: 1, 30: 1 / 3, 45: 1, 54: 0.4}.items():
        run.iteration = iteration
        run.anneal()
        assert run.critic_optimizer.param_groups[0]["lr"] == pytest.approx(left * 1e-3)


@pytest.mark.parametrize("acts", ["guide", "learners"])
def test_imitation_is_nothing_to_the_spread_of_actions(acts, start):
    settings = dataclasses.replace(
        GameSettings(**vars(PRESETS["invertedpendulum-64"])),
        guide_share=1.0 if acts == "guide" else 0.5,
        learners=2,
        envs_per_learner=2,
        epochs=1,
        minibatches=1,  # before the first step it is the spread that the actions were drawn with
        threads=1,
        max_grad_norm=1e9,  # which bounds them together
    )
    ends = []
    for factor in (1.0, 20.0):
        run = start(settings)
        run.iteration = 0 if acts == "guide" else settings.iterations // 2 + 1
        follower = run.batch.targets if acts == "guide" else run.guide.network[-1].bias
        follower.data *= factor
        follower.data += factor
        run.iterate()
        ends.append(run.batch.target_log_std.detach().clone())
    assert torch.equal(*ends)


@pytest.mark.slow
def test_the_guide_teaches_learners_that_act(cartpole, start):
    """Without rewards' help: the discount leaves nothing to learn from them."""
    apart = {}
    for weight in (GUIDE_WEIGHT, 0.0):
        run = start(dataclasses.replace(cartpole, discount=0.0, gae_lambda=0.0))
        run.guide_imitation.weight = weight
        run.guide.network[-1].weight.data *= 100  # it knows what it wants
        run.iteration = run.handover
        seen = [run.iterate()["following"] for _ in range(29)]
        apart[weight] = seen[-1] / seen[0]
    assert apart[GUIDE_WEIGHT] < 0.5 < apart[0.0]


def test_learners_come_to_play_as_the_guide_does(cartpole, start):
    run = start(cartpole)
    fresh = run.batch.targets.detach().clone()
    returns = [run.iterate()["return"] for _ in range(30)]
    assert returns[-1] > 3 * returns[0]  # of the guide
    run.settings = dataclasses.replace(cartpole, learning_rate=1e-9, critic_learning_rate=1e-9)
    run.rates = [1e-9 for _ in run.rates]
    returns += [run.iterate()["return"] for _ in range(5)]  # of learners that learn no more
    assert returns[-1] > 3 * returns[0]
    assert not torch.equal(fresh, run.batch.targets)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_an_interrupted_run_goes_on_with_its_guide(share, tmp_path, interrupted, cartpole):
    settings = dataclasses.replace(cartpole, total_steps=4 * 8 * 16 * 2, guide_share=share)
    whole = distill(settings, tmp_path / "whole", progress=False)
    interrupted(settings, tmp_path / "run")
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert torch.equal(dataset.observations, whole.observations)
    assert torch.equal(dataset.targets, whole.targets)


def test_a_run_keeps_the_dataset_that_its_guide_started_from(tmp_path, interrupted, cartpole):
    settings = dataclasses.replace(
        cartpole, guide_start="cartpole_2d", total_steps=4 * 8 * 16 * 2, consistency=0.0
    )
    interrupted(settings, tmp_path / "run")
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert dataset.spec.provenance["teacher"]["name"] == load_distilled("cartpole_2d").spec.name


def test_a_dataset_that_is_no_use_to_a_guide_is_refused(tmp_path, cartpole):
    settings = dataclasses.replace(cartpole, guide_start="cartpole_2d", hidden_sizes=(32,))
    with pytest.raises(SettingsError, match="cartpole_2d can't give a guide its start"):
        distill(settings, tmp_path / "run")


@pytest.mark.parametrize("level", [2, 3])
def test_a_guide_starts_as_a_learner_of_its_own_network(level, tiny, toy, start):
    given = toy(2)
    source = DistilledDataset(
        given.observations, 1000 * given.targets, given.spec, encoder=given.encoder.state_dict()
    )
    settings = dataclasses.replace(tiny, guide_share=1.0, encoder_level=level)
    run = start(settings, source)
    frames = run.actors.at_random(8, 64)
    outputs, taught = run.guide(run.view(frames)[None])[0], source.train()(frames)
    alike = (outputs.argmax(-1) == taught.argmax(-1)).float().mean()
    if level == 2:
        assert alike > 0.9
    else:  # a fresh one, for other features
        assert Categorical(logits=outputs).entropy().mean() > 0.99 * math.log(6)
