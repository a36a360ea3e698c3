import pytest
import torch

from distilled_envs import load_distilled
from distilled_envs.studies.warm_start import make_warm_model


def parameters(model, part):
    module = {"policy": model.policy.action_net, "critic": model.policy.value_net}[part]
    return torch.cat([p.detach().clone().flatten() for p in module.parameters()])


@pytest.mark.slow
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


def test_the_policy_takes_a_part_of_each_step_and_the_critic_all_of_it():
    dataset = load_distilled("cartpole_1d")
    moved = {}
    for pace in (0.25, 1.0):
        model, _ = make_warm_model(dataset, seed=0, pace=pace)
        before = {part: parameters(model, part) for part in ("policy", "critic")}
        for parameter in model.policy.parameters():
            parameter.grad = torch.ones_like(parameter)
        model.policy.optimizer.step()
        moved[pace] = {part: parameters(model, part) - each for part, each in before.items()}
    torch.testing.assert_close(moved[0.25]["critic"], moved[1.0]["critic"])
    torch.testing.assert_close(
        moved[0.25]["policy"], moved[1.0]["policy"] / 4, atol=1e-6, rtol=0.01
    )
    assert moved[1.0]["policy"].abs().min() > 0
