import pytest
import torch
from torch import nn

from distilled_envs.errors import PolicyError
from distilled_envs.learners.one_step import inner_loss, train_one_step


def test_the_step_lowers_the_loss_of_any_module(dataset):
    class Odd(nn.Module):
        """Another depth, normalization, and a parameter that no output needs."""

        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU())
            self.head = nn.Linear(16, 4)
            self.unused = nn.Parameter(torch.ones(3))

        def forward(self, observations):
            return self.head(self.body(observations))

    policy = Odd()
    before = inner_loss(policy(dataset.observations), dataset.targets)
    with torch.no_grad():  # the step finds its own gradient
        train_one_step(policy, dataset.observations, dataset.targets, 0.05)
    assert inner_loss(policy(dataset.observations), dataset.targets) < before
    assert (policy.unused == 1).all()


def test_sb3_model_and_policy_take_the_same_step(dataset):
    from stable_baselines3 import A2C, PPO

    for algorithm in (PPO, A2C):
        model = algorithm("MlpPolicy", dataset.make_env(), seed=0, device="cpu")
        twin = algorithm("MlpPolicy", dataset.make_env(), seed=0, device="cpu")
        own = nn.Sequential(*model.policy.mlp_extractor.policy_net, model.policy.action_net)
        own = dataset.new_policy() if algorithm is PPO else own
        if algorithm is PPO:  # SB3's default network is our learner: same names in order
            ours = dict(own.named_parameters())
            theirs = [
                *model.policy.mlp_extractor.policy_net.parameters(),
                *model.policy.action_net.parameters(),
            ]
            for mine, other in zip(ours.values(), theirs, strict=True):
                mine.data.copy_(other.data)
            dataset.train(own)
        values = [p.clone() for p in model.policy.value_net.parameters()]
        assert dataset.train(model) is model
        assert dataset.train(twin.policy) is twin.policy
        if algorithm is PPO:
            for mine, other in zip(own.parameters(), theirs, strict=True):
                torch.testing.assert_close(mine, other)
        for one, two in zip(model.policy.parameters(), twin.policy.parameters(), strict=True):
            torch.testing.assert_close(one, two)
        for before, after in zip(values, model.policy.value_net.parameters(), strict=True):
            assert torch.equal(before, after)


def test_inference_mode_is_refused(dataset):
    with torch.inference_mode():
        made = nn.Linear(8, 4)
        for policy in (None, dataset.new_policy(), nn.Linear(8, 4)):
            with pytest.raises(PolicyError, match="outside of it"):
                dataset.train(policy)
    with pytest.raises(PolicyError, match="outside of it"):
        dataset.train(made)


def test_policies_that_do_not_fit_are_refused_and_left_alone(dataset):
    with pytest.raises(PolicyError, match=r"does not take torch\.float32 observations of shape"):
        dataset.train(nn.Linear(7, 4))
    with pytest.raises(PolicyError, match="needs 4 outputs"):
        dataset.train(nn.Linear(8, 5))
    with pytest.raises(PolicyError, match=r"must be a torch\.nn\.Module"):
        dataset.train("policy")
    with pytest.raises(PolicyError, match="no parameters"):
        dataset.train(nn.Identity())
    broken = nn.Linear(8, 4)
    broken.weight.data[0, 0] = float("nan")
    bias = broken.bias.detach().clone()
    with pytest.raises(PolicyError, match="not finite"):
        dataset.train(broken)
    assert torch.equal(broken.bias, bias)
    fine = nn.Linear(8, 4)
    weight = fine.weight.detach().clone()
    with pytest.raises(PolicyError, match=r"not finite.*1e\+300"):
        train_one_step(fine, dataset.observations, dataset.targets, 1e300)
    assert torch.equal(fine.weight, weight)
    with pytest.raises(ValueError, match="seed is for a fresh network"):
        dataset.train(nn.Linear(8, 4), seed=1)
