"""How outputs become actions."""

import torch

from distilled_envs.learners.actions import action_distribution, choose_actions
from distilled_envs.spec import TaskSpec


def test_gaussian_log_probabilities_are_summed_over_dimensions():
    task = TaskSpec("gaussian", (1,), 3)
    mean, log_std = torch.randn(5, 3), torch.tensor([-1.0, 0.0, 0.5])
    policy = action_distribution(task, mean, log_std)
    actions = policy.sample()
    reference = torch.distributions.Normal(mean, log_std.exp()).log_prob(actions).sum(-1)
    torch.testing.assert_close(policy.log_prob(actions), reference)
    assert torch.equal(choose_actions(task, mean, None, greedy=True), mean)


def test_logits_are_normalized_before_the_ratio():
    task = TaskSpec("categorical", (1,), 4)
    logits, actions = torch.randn(6, 4), torch.arange(6) % 4
    shifted = action_distribution(task, logits + 7, None).log_prob(actions)
    torch.testing.assert_close(action_distribution(task, logits, None).log_prob(actions), shifted)
