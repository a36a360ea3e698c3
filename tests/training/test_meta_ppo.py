"""The outer loss by hand, and what its terms do."""

import dataclasses

import gymnasium as gym
import pytest
import torch

from distilled_envs.actions import action_distribution, choose_actions
from distilled_envs.inner_step import inner_loss, inner_step
from distilled_envs.learner import forward, initial_parameters
from distilled_envs.spec import TaskSpec
from distilled_envs.training import Settings
from distilled_envs.training.meta_ppo import MetaPPO

SETTINGS = Settings(
    name="t", env_id="CartPoleND-v0", dims=1, instances=4, total_steps=100_000, learners=4,
    envs_per_learner=2, horizon=16, minibatches=2,
)  # fmt: skip


def algorithm(**changes) -> MetaPPO:
    torch.manual_seed(0)
    settings = dataclasses.replace(SETTINGS, **changes)
    count = settings.learners * settings.envs_per_learner
    env = gym.make_vec("CartPoleND-v0", num_envs=count, dims=1)
    return MetaPPO(settings, env, TaskSpec("categorical", (4,), 2))


def test_clipped_loss_by_hand_skips_resets():
    # Three transitions with advantages 1, 2, 3 (normalised: -a, 0, a), then a reset step.
    advantages = torch.tensor([[1.0, 2.0, 3.0, 1e6]])
    weights = torch.tensor([[1.0, 1.0, 1.0, 0.0]]) / 3
    ratio = torch.tensor([[0.5, 1.0, 1.5, 1e3]])
    a = (3 / 2) ** 0.5
    # A falling probability of a bad action is clipped at 0.8, a rising one of a good at 1.2.
    expected = -(-0.8 * a + 0 + 1.2 * a) / 3
    loss = algorithm()._clipped_loss(ratio.log(), advantages, weights)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    # The wrong way round nothing is clipped: the loss must pull back.
    loss = algorithm()._clipped_loss(ratio.flip(1).roll(-1, 1).log(), advantages, weights)
    assert loss.item() == pytest.approx(-(-1.5 * a + 0 + 0.5 * a) / 3, rel=1e-5)


def test_consistency_term_makes_learners_fit_the_rows():
    def post_step_loss(weight):
        run = algorithm(consistency=weight)
        for _ in range(60):
            run.iterate()
        batch, learner = run.batch, run.learner
        initial = initial_parameters(learner, (4,), 2, 50, torch.Generator().manual_seed(1))
        with torch.no_grad():
            trained = inner_step(
                learner, initial, batch.observations, batch.targets, batch.learning_rate
            )
            after = inner_loss(forward(learner, trained, batch.observations), batch.targets)
        return (after.mean() / batch.targets.square().mean()).item()

    assert post_step_loss(1.0) < 0.2 * post_step_loss(0.0)


def test_minibatch_of_resets_only_does_no_harm():
    run = algorithm(learners=1, envs_per_learner=1, horizon=64, minibatches=64)
    for _ in range(3):
        run.iterate()
    assert run.batch.observations.isfinite().all()


def test_gaussian_log_probabilities_are_summed_over_dimensions():
    task = TaskSpec("gaussian", (1,), 3)
    mean, log_std = torch.randn(5, 3), torch.tensor([-1.0, 0.0, 0.5])
    policy = action_distribution(task, mean, log_std)
    actions = policy.sample()
    reference = torch.distributions.Normal(mean, log_std.exp()).log_prob(actions).sum(-1)
    torch.testing.assert_close(policy.log_prob(actions), reference)
    assert torch.equal(choose_actions(task, mean, None, greedy=True), mean)


def test_logits_are_normalised_before_the_ratio():
    task = TaskSpec("categorical", (1,), 4)
    logits, actions = torch.randn(6, 4), torch.arange(6) % 4
    shifted = action_distribution(task, logits + 7, None).log_prob(actions)
    torch.testing.assert_close(action_distribution(task, logits, None).log_prob(actions), shifted)
