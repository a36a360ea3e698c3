"""PPO's parts by hand."""

import dataclasses

import pytest
import torch

from distilled_envs.training.ppo import Steps, approximate_kl, clipped_loss, log_ratio

# Three transitions with advantages 1, 2, 3 (normalized: -a, 0, a), then a reset step.
STEPS = Steps(
    observations=torch.zeros(1, 4, 2),
    actions=torch.zeros(1, 4),
    log_probs=torch.zeros(1, 4),
    advantages=torch.tensor([[1.0, 2.0, 3.0, 1e6]]),
    returns=torch.zeros(1, 4),
    valid=torch.tensor([[1.0, 1.0, 1.0, 0.0]]),
)
A = (3 / 2) ** 0.5


def test_clipped_loss_skips_resets():
    ratio = torch.tensor([[0.5, 1.0, 1.5, 1e3]])
    # A falling probability of a bad action is clipped at 0.8, a rising one of a good at 1.2.
    expected = -(-0.8 * A + 0 + 1.2 * A) / 3
    assert clipped_loss(ratio.log(), STEPS, 0.2).item() == pytest.approx(expected, rel=1e-5)
    # The wrong way round nothing is clipped: the loss must pull back.
    ratio = ratio.flip(1).roll(-1, 1)
    expected = -(-1.5 * A + 0 + 0.5 * A) / 3
    assert clipped_loss(ratio.log(), STEPS, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_ratio_and_divergence_skip_resets():
    ratio = log_ratio(torch.tensor([[0.0, 0.1, -0.1, 50.0]]), STEPS)
    torch.testing.assert_close(ratio, torch.tensor([[0.0, 0.1, -0.1, 0.0]]))
    by_hand = sum(r.exp().item() - 1 - r.item() for r in ratio[0, :3]) / 3
    assert approximate_kl(ratio, STEPS).item() == pytest.approx(by_hand, abs=1e-7)


@pytest.mark.parametrize("advice", [None, torch.arange(4.0).view(1, 4, 1)])
def test_minibatches_have_every_step_once(advice):
    steps = dataclasses.replace(STEPS, actions=torch.arange(4.0)[None], advice=advice)
    parts = [*steps.minibatches(2)]
    assert [part.valid.shape for part in parts] == [(1, 2), (1, 2)]
    assert torch.cat([part.actions for part in parts], 1).sort().values.tolist() == [[0, 1, 2, 3]]
    for part in parts:  # what belongs together stays together
        torch.testing.assert_close(part.advantages, STEPS.advantages[:, part.actions[0].long()])
        assert (
            part.advice is None
            if advice is None
            else torch.equal(part.advice[..., 0], part.actions)
        )


def test_a_minibatch_of_resets_weighs_nothing():
    steps = dataclasses.replace(STEPS, valid=torch.zeros(1, 4))
    assert clipped_loss(torch.randn(1, 4), steps, 0.2) == 0
