"""The critic by least squares: what it finds, of what it forgets, and a run that learns with it."""

import copy
import dataclasses
import itertools

import pytest
import torch

from distilled_envs.errors import SettingsError
from distilled_envs.training import PRESETS, Settings
from distilled_envs.training.backends import checked_world
from distilled_envs.training.critics import QuadraticCritic
from distilled_envs.training.ppo import Steps
from distilled_envs.training.settings import QUADRATIC_INPUTS

SETTINGS = Settings(
    name="t", env_id="CartPoleND-v0", dims=2, instances=4, total_steps=100_000, learners=4,
    envs_per_learner=2, horizon=32, minibatches=2, critic="quadratic",
)  # fmt: skip


def steps_of(seen, returns, valid=None):
    """Steps ``(1, n)`` of which a critic sees observations and returns."""
    flat = torch.zeros(1, len(seen))
    valid = torch.ones_like(flat) if valid is None else valid.unsqueeze(0)
    return Steps(seen.unsqueeze(0), flat, flat, flat, returns.unsqueeze(0), valid)


def quadratic(seen):
    """A function that the critic can be."""
    x, y, z = seen.T
    return 3 - 2 * x + 40 * y - 5 * x * y + x.square() - 1e4 * z.square() + 30 * z * x


def draw(count, seed=0):
    """Observations whose coordinates differ by orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=generator) * torch.tensor([2.0, 0.3, 0.01])


def test_a_quadratic_function_is_found():
    critic, seen, other = QuadraticCritic(3), draw(2_000), draw(100, seed=1)
    assert not critic(other).any()
    critic.fit(steps_of(seen, quadratic(seen)))
    assert critic(other).shape == (100, 1)
    torch.testing.assert_close(critic(other).squeeze(1), quadratic(other), rtol=1e-3, atol=1e-2)


def test_resets_are_no_steps():
    critic, seen, other = QuadraticCritic(3), draw(2_000), draw(100, seed=1)
    valid = (torch.arange(2_000) % 3 > 0).float()
    critic.fit(steps_of(seen, torch.where(valid > 0, quadratic(seen), 1e6), valid))
    torch.testing.assert_close(critic(other).squeeze(1), quadratic(other), rtol=1e-3, atol=1e-2)


def test_former_returns_are_forgotten():
    critic, seen = QuadraticCritic(3), draw(2_000)
    means = []
    for value in [1.0] * 3 + [0.0] * 12:
        critic.fit(steps_of(seen, torch.full((2_000,), value)))
        means.append(critic(seen).mean().item())
    assert means[2] == pytest.approx(1, abs=1e-3)
    assert all(later < before for before, later in itertools.pairwise(means[2:]))
    assert 0 < means[-1] < 0.1


def test_a_coordinate_that_never_moves_does_no_harm():
    seen = draw(500)
    seen[:, 1] = 0
    critic = QuadraticCritic(3)
    critic.fit(steps_of(seen, quadratic(seen)))
    assert critic.coefficients.isfinite().all()
    torch.testing.assert_close(critic(seen).squeeze(1), quadratic(seen), rtol=1e-3, atol=1e-2)


def test_a_run_with_it_learns_and_no_gradient_moves_it(start, monkeypatch):
    run = start(SETTINGS)
    before = run.batch.rows.detach().clone()
    fits = []

    def fit(critic, steps, original=QuadraticCritic.fit):
        original(critic, steps)
        fits.append(critic.coefficients.clone())

    monkeypatch.setattr(QuadraticCritic, "fit", fit)
    for count in range(1, 4):
        assert run.iterate()["value_loss"] > 0
        assert len(fits) == count
        assert torch.equal(fits[-1], run.critic.coefficients)
    assert fits[-1].any()
    assert not torch.equal(run.batch.rows, before)


def test_its_state_goes_on(start):
    run, other = start(SETTINGS), start(SETTINGS)
    run.iterate()
    state = copy.deepcopy(run.state_dict())
    expected = run.iterate()
    other.load_state_dict(state)
    torch.testing.assert_close(other.iterate(), expected, equal_nan=True)
    torch.testing.assert_close(other.critic.state_dict(), run.critic.state_dict())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"env_id": "Ant-v5", "dims": None}, f"at most {QUADRATIC_INPUTS} numbers"),
        ({"critic": "linear"}, "critic must be network or quadratic"),
    ],
)
def test_what_it_is_not_for_is_refused(changes, says):
    with pytest.raises(SettingsError, match=says):
        checked_world(dataclasses.replace(SETTINGS, **changes))


def test_frames_are_not_for_it():
    with pytest.raises(SettingsError, match="quadratic critic"):
        dataclasses.replace(PRESETS["pong-level4"], critic="quadratic")
