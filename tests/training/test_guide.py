"""A run that begins with a guide: who learns from what, and where it ends."""

import dataclasses

import pytest
import torch

from distilled_envs.errors import SettingsError
from distilled_envs.training import PRESETS, Settings, distill
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.centred import Centred
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.run import checked_environment


@pytest.fixture
def cartpole(small_cartpole) -> Settings:
    return dataclasses.replace(small_cartpole, guide_share=0.5, total_steps=4 * 8 * 16 * 60)


def started(settings: Settings) -> MetaPPO:
    _, task = checked_environment(settings)
    torch.manual_seed(0)
    return MetaPPO(settings, make_training_envs(settings, 0), task)


def weights(run: MetaPPO) -> dict[str, list[torch.Tensor]]:
    parts = {"guide": run.guide, "encoder": run.encoder, "critic": run.critic, "batch": run.batch}
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}


def same(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("level", [0, 2, 4])
def test_both_learn_whoever_leads(level, tiny):
    run = started(dataclasses.replace(tiny, encoder_level=level, guide_share=0.5))
    assert all(isinstance(part, Centred) for part in run.guide if [*part.parameters()])
    for _ in range(2):
        before = weights(run)
        assert run.iterate()["following"] > 0
        after = weights(run)
        for name, part in before.items():
            moved = [not torch.equal(a, b) for a, b in zip(part, after[name], strict=True)]
            assert all(moved), name


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_who_follows_is_nothing_to_who_leads(share, tiny):
    """Nor to the encoder, not even through the rows, which are encoded too."""
    ends = []
    for factor in (1.0, -5.0):
        run = started(dataclasses.replace(tiny, guide_share=share))
        run.iteration = 0 if share == 1 else 1
        follower = run.batch.targets if share == 1 else run.guide[0].layer.weight
        follower.data *= factor
        run.iterate()
        ends.append(weights(run))
    for name in ends[0]:
        follows = name == ("batch" if share == 1 else "guide")
        assert same(ends[0][name], ends[1][name]) != follows, name


def test_imitation_is_nothing_to_the_spread_of_actions():
    settings = dataclasses.replace(
        PRESETS["invertedpendulum-64"],
        guide_share=1.0,
        learners=2,
        envs_per_learner=2,
        threads=1,
        max_grad_norm=1e9,  # which bounds them together
    )
    ends = []
    for factor in (1.0, 20.0):
        run = started(settings)
        run.batch.targets.data *= factor
        run.iterate()
        ends.append(run.batch.target_log_std.detach().clone())
    assert torch.equal(*ends)


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


def test_an_interrupted_run_goes_on_with_its_guide(tmp_path, interrupted, cartpole):
    settings = dataclasses.replace(cartpole, total_steps=4 * 8 * 16 * 2, guide_share=1.0)
    whole = distill(settings, tmp_path / "whole", progress=False)
    interrupted(settings, tmp_path / "run")
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert torch.equal(dataset.observations, whole.observations)
    assert torch.equal(dataset.targets, whole.targets)


@pytest.mark.parametrize("other", [{"teacher": "cartpole_2d"}, {"constant_start": True}])
def test_a_run_has_one_to_follow(other, cartpole):
    with pytest.raises(SettingsError, match="leave out teacher and constant_start"):
        dataclasses.replace(cartpole, **other)


def test_a_run_from_before_there_were_guides_goes_on(cartpole):
    run = started(dataclasses.replace(cartpole, guide_share=0.0))
    state = run.state_dict()
    del state["guide"]
    run.load_state_dict(state)
    assert "following" not in run.iterate()
