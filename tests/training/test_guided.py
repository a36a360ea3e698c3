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
from distilled_envs.learner import forward, make_policy
from distilled_envs.training import PRESETS, Settings, distill, guide, meta_ppo
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.centred import Centred
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.run import checked_environment
from distilled_envs.training.teacher import start_as_learner


@pytest.fixture
def cartpole(small_cartpole) -> Settings:
    return dataclasses.replace(small_cartpole, guide_share=0.5, total_steps=4 * 8 * 16 * 60)


def started(settings: Settings) -> MetaPPO:
    _, task = checked_environment(settings)
    torch.manual_seed(0)
    return MetaPPO(settings, make_training_envs(settings, 0), task)


def weights(run: MetaPPO) -> dict[str, list[torch.Tensor]]:
    parts = {
        "guide": run.guide.network,
        "encoder": run.encoder,
        "critic": run.critic,
        "batch": run.batch,
    }
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}


def same(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("level", [0, 2, 4])
def test_both_learn_until_learners_lead(level, tiny):
    run = started(dataclasses.replace(tiny, encoder_level=level, guide_share=0.5))
    assert all(isinstance(part, Centred) for part in run.guide.network if [*part.parameters()])
    for guided in (True, False):
        before = weights(run)
        assert run.iterate()["following"] > 0
        after = weights(run)
        for name, part in before.items():
            moved = [not torch.equal(a, b) for a, b in zip(part, after[name], strict=True)]
            assert all(moved) if guided or name != "guide" else not any(moved), name


def test_who_follows_is_nothing_to_who_leads(tiny):
    """Nor to the encoder, not even through the rows, which are encoded too."""
    ends = []
    for factor in (1.0, -5.0):
        run = started(dataclasses.replace(tiny, guide_share=1.0))
        run.batch.targets.data *= factor
        run.iterate()
        ends.append(weights(run))
    for name in ends[0]:
        assert same(ends[0][name], ends[1][name]) != (name == "batch"), name


@pytest.mark.parametrize("level", [0, 4])
def test_the_guide_keeps_its_encoder_and_gets_it_back(level, tiny):
    settings = dataclasses.replace(tiny, encoder_level=level, guide_share=0.5)
    run = started(settings)
    frames = run.actors.at_random(8, 16)
    run.iterate()
    its_encoder = weights(run)["encoder"]
    answers = run.guide(run.features(frames)[None])[0]
    run.iterate()  # of the learners
    assert level == 0 or not same(its_encoder, weights(run)["encoder"])
    torch.testing.assert_close(run._guide_as_it_was(frames), answers, atol=1e-4, rtol=1e-3)
    resumed, file = started(settings), io.BytesIO()
    torch.save(run.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(resumed._guide_as_it_was(frames), run._guide_as_it_was(frames))
    resumed.settings = dataclasses.replace(settings, total_steps=10 * settings.total_steps)
    resumed._rates = [0.0 for _ in resumed._rates]
    assert "following" in resumed.iterate()
    torch.testing.assert_close(resumed.guide(resumed.features(frames)[None])[0], answers)


def test_rates_fall_for_the_guide_and_again_for_learners(cartpole):
    run = started(dataclasses.replace(cartpole, guide_share=0.75))
    for iteration, left in {0: 1, 30: 1 / 3, 45: 1, 54: 0.4}.items():
        run.iteration = iteration
        run._anneal()
        assert run.critic_optimizer.param_groups[0]["lr"] == pytest.approx(left * 1e-3)


@pytest.mark.parametrize("leads", ["guide", "learners"])
def test_imitation_is_nothing_to_the_spread_of_actions(leads):
    settings = dataclasses.replace(
        PRESETS["invertedpendulum-64"],
        guide_share=1.0 if leads == "guide" else 0.5,
        learners=2,
        envs_per_learner=2,
        epochs=1,
        minibatches=1,  # before the first step it is the spread that the actions were drawn with
        threads=1,
        max_grad_norm=1e9,  # which bounds them together
    )
    ends = []
    for factor in (1.0, 20.0):
        run = started(settings)
        run.iteration = 0 if leads == "guide" else settings.iterations // 2 + 1
        follower = run.batch.targets if leads == "guide" else run.guide.network[-1].bias
        follower.data *= factor
        follower.data += factor
        run.iterate()
        ends.append(run.batch.target_log_std.detach().clone())
    assert torch.equal(*ends)


def test_the_guide_teaches_learners_that_lead(cartpole, monkeypatch):
    """Without rewards' help: the discount leaves nothing to learn from them."""
    apart = {}
    for weight in (guide.TEACHING, 0.0):
        monkeypatch.setattr(meta_ppo, "TEACHING", weight)
        run = started(dataclasses.replace(cartpole, discount=0.0, gae_lambda=0.0))
        run.guide.network[-1].weight.data *= 100  # it knows what it wants
        run.iteration = run._handover()
        seen = [run.iterate()["following"] for _ in range(29)]
        apart[weight] = seen[-1] / seen[0]
    assert apart[guide.TEACHING] < 0.5 < apart[0.0]


def test_learners_come_to_play_as_the_guide_does(cartpole):
    run = started(cartpole)
    fresh = run.batch.targets.detach().clone()
    returns = [run.iterate()["return"] for _ in range(30)]
    assert returns[-1] > 3 * returns[0]  # of the guide
    run.settings = dataclasses.replace(cartpole, learning_rate=1e-9, critic_learning_rate=1e-9)
    run._rates = [1e-9 for _ in run._rates]
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
        cartpole, teacher="cartpole_2d", total_steps=4 * 8 * 16 * 2, consistency=0.0
    )
    interrupted(settings, tmp_path / "run")
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert dataset.spec.provenance["teacher"]["name"] == load_distilled("cartpole_2d").spec.name


def test_a_teacher_that_is_no_use_to_a_guide_is_refused(tmp_path, cartpole):
    settings = dataclasses.replace(cartpole, teacher="cartpole_2d", hidden_sizes=(32,))
    with pytest.raises(SettingsError, match="cartpole_2d can't give a guide its start"):
        distill(settings, tmp_path / "run")


def test_a_run_has_one_start(cartpole):
    with pytest.raises(SettingsError, match="leave out constant_start"):
        dataclasses.replace(cartpole, constant_start=True)


@pytest.mark.parametrize("level", [2, 3])
def test_a_guide_starts_as_a_learner_of_its_own_network(level, tiny, toy):
    given = toy(2)
    teacher = DistilledDataset(
        given.observations, 1000 * given.targets, given.spec, encoder=given.encoder.state_dict()
    )
    settings = dataclasses.replace(tiny, guide_share=1.0, encoder_level=level)
    _, task = checked_environment(settings)
    run = MetaPPO(settings, make_training_envs(settings, 0), task, teacher=teacher)
    frames = run.actors.at_random(8, 64)
    outputs, taught = run.guide(run.features(frames)[None])[0], teacher.train()(frames)
    alike = (outputs.argmax(-1) == taught.argmax(-1)).float().mean()
    if level == 2:
        assert alike > 0.9
    else:  # a fresh one, for other features
        assert Categorical(logits=outputs).entropy().mean() > 0.99 * math.log(6)
    assert run.teacher is None


def test_answers_keep_their_order_where_a_learner_explores(dataset):
    decided = DistilledDataset(dataset.observations, 100 * dataset.targets, dataset.spec)
    policy = make_policy(dataset.spec.learner, (8,), 4)
    states = torch.randn(200, 8)
    torch.manual_seed(0)
    start_as_learner(policy, decided, states)
    torch.manual_seed(0)
    sharp = forward(dataset.spec.learner, decided.new_learners(1), states)[0]
    outputs = policy(states)
    assert torch.equal(outputs.argmax(-1), sharp.argmax(-1))
    entropy, before = (Categorical(logits=each).entropy().mean() for each in (outputs, sharp))
    assert before < 0.3 < 0.7 * math.log(4) <= entropy < 0.8 * math.log(4)


def test_a_run_from_before_there_were_guides_goes_on(cartpole):
    run = started(dataclasses.replace(cartpole, guide_share=0.0))
    state = run.state_dict()
    del state["guide"]
    run.load_state_dict(state)
    assert "following" not in run.iterate()
