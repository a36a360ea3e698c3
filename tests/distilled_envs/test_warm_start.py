import torch

from distilled_envs import load_distilled
from distilled_envs.warm_start import make_warm_model


def parameters(model, part):
    module = {"policy": model.policy.action_net, "critic": model.policy.value_net}[part]
    return torch.cat([p.detach().clone().flatten() for p in module.parameters()])


def test_the_critic_learns_first_and_the_policy_after_it():
    dataset = load_distilled("invertedpendulum")
    model, callbacks = make_warm_model(dataset, seed=0, critic_steps=2048)
    policy, critic = parameters(model, "policy"), parameters(model, "critic")
    torch.testing.assert_close(
        model.policy.log_std.detach(), torch.tensor(dataset.spec.task.target_log_std)
    )
    model.learn(2048, callback=[*callbacks])
    assert torch.equal(parameters(model, "policy"), policy)
    assert not torch.equal(parameters(model, "critic"), critic)
    assert all(p.requires_grad for p in model.policy.parameters())
    model.learn(2048, callback=[*callbacks], reset_num_timesteps=False)
    assert not torch.equal(parameters(model, "policy"), policy)
    assert dataset.evaluate(model, episodes=5).greedy.mean > 900
