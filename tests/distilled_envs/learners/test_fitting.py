import warnings

import pytest
import torch
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.errors import FitWarning, PolicyError, SettingsError
from distilled_envs.learners.diagnosis import disagreement
from distilled_envs.learners.fitting import LEFT


@pytest.fixture(scope="module")
def hopper():
    return load_distilled("hopper", instances=64)


@pytest.fixture(scope="module")
def pairs(hopper):
    return hopper.expand(2048, seed=1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(11, 32, batch_first=True), nn.Linear(32, 3)

    def forward(self, observations):
        return self.head(self.lstm(observations.unsqueeze(1))[0][:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(1, 16), nn.Linear(16 * 11, 3)
        self.places = nn.Parameter(torch.randn(11, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, observations):
        tokens = self.embed(observations.unsqueeze(-1)) + self.places
        return self.head(self.attention(tokens, tokens, tokens)[0].flatten(1))


def small(activation=nn.Tanh):
    return nn.Sequential(nn.Linear(11, 64), activation(), nn.Linear(64, 3))


@pytest.mark.parametrize(
    "make",
    [
        small,
        Recurrent,
        Attention,
        lambda: small(nn.ReLU).double(),
        lambda: nn.Sequential(nn.Linear(11, 64), nn.LayerNorm(64), nn.Tanh(), nn.Linear(64, 3)),
    ],
)
def test_any_module_learns(hopper, pairs, make):
    policy = make()
    dtype = next(policy.parameters()).dtype
    assert hopper.fit(policy, pairs, steps=400, seed=0) is policy
    fresh = hopper.expand(256, seed=2)
    with torch.no_grad():
        answers = policy(fresh.observations.to(dtype)).float()
    assert disagreement(hopper.spec.task, answers, fresh.targets) < 0.02
    assert next(policy.parameters()).dtype == dtype


def test_half_precision_is_trained_in_full_and_given_back(hopper, pairs):
    policy = small().bfloat16()
    hopper.fit(policy, pairs, steps=300)
    assert policy[0].weight.dtype == torch.bfloat16
    answers = policy(pairs.observations.bfloat16()).float().detach()
    assert disagreement(hopper.spec.task, answers, pairs.targets) < 0.02


def test_training_ends_when_hardly_any_loss_is_left(hopper, pairs, monkeypatch):
    batches = []
    policy = small()
    policy.register_forward_hook(lambda *_: batches.append(1))
    monkeypatch.setitem(LEFT, "gaussian", 0.05)
    hopper.fit(policy, pairs)
    assert 20 < len(batches) < 1000


def test_a_fit_has_a_seed_and_keeps_the_mode(hopper, pairs):
    torch.manual_seed(0)
    first = small().eval()
    second = small().eval()
    second.load_state_dict(first.state_dict())
    for each in (first, second):
        hopper.fit(each, pairs, steps=5, seed=3)
        assert not each.training
    assert torch.equal(first[0].weight, second[0].weight)


def test_sb3_models_are_fitted(pairs, hopper):
    pytest.importorskip("mujoco")
    from stable_baselines3 import PPO

    model = PPO("MlpPolicy", hopper.make_env(), device="cpu")
    hopper.fit(model, pairs, steps=400)
    assert hopper.evaluate(model, episodes=2).greedy.mean > 1000


def test_a_logit_for_all_actions_counts_for_nothing():
    cartpole = load_distilled("cartpole_2d")
    pairs = cartpole.expand(1024)
    pairs.targets += 1_000
    policy = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4))
    cartpole.fit(policy, pairs, steps=600)
    answers = policy(pairs.observations).detach()
    assert disagreement(cartpole.spec.task, answers, pairs.targets) < 0.05


def test_bad_input_is_refused_in_one_sentence(hopper, pairs):
    for arguments in ({"steps": 0}, {"batch_size": 0}, {"learning_rate": 0.0}):
        with pytest.raises(SettingsError, match="at least 1 and learning_rate above 0"):
            hopper.fit(small(), pairs, **arguments)
    with pytest.raises(PolicyError, match="no parameters that require"):
        hopper.fit(small().requires_grad_(False), pairs)
    with pytest.raises(PolicyError, match=r"outputs of shape \(512, 2\)"):
        hopper.fit(nn.Linear(11, 2), pairs)
    with pytest.raises(PolicyError, match="does not take"):
        hopper.fit(nn.Linear(5, 3), pairs)
    with pytest.raises(SettingsError, match="another task"):
        load_distilled("cartpole_2d").fit(nn.Linear(8, 4), pairs)


def test_a_loss_that_is_not_finite_leaves_the_policy_as_it_was(hopper, pairs):
    policy = small()
    with torch.no_grad():
        policy[2].bias[0] = torch.inf
    before = policy[0].weight.clone()
    with pytest.raises(PolicyError, match="not finite"):
        hopper.fit(policy, pairs)
    assert torch.equal(policy[0].weight, before)


@pytest.mark.parametrize("name", ["SAC", "TD3"])
def test_squashed_actions_are_fitted_within_the_box(hopper, name):
    pytest.importorskip("mujoco")
    import stable_baselines3

    model = getattr(stable_baselines3, name)("MlpPolicy", hopper.make_env(), device="cpu")
    hopper.fit(model, hopper.expand(4096, seed=1), steps=500)
    assert hopper.evaluate(model, episodes=3).greedy.mean > 1000


def test_value_networks_are_fitted():
    from stable_baselines3 import DQN

    cartpole = load_distilled("cartpole_2d")
    model = DQN("MlpPolicy", cartpole.make_env(), device="cpu")
    cartpole.fit(model)
    assert cartpole.evaluate(model, episodes=3).greedy.mean > 490
    online, target = model.policy.q_net.state_dict(), model.policy.q_net_target.state_dict()
    assert all(torch.equal(online[name], target[name]) for name in online)


def test_a_fit_that_ends_far_from_the_pairs_is_warned_about():
    dataset = load_distilled("cartpole-nd-2d-min")
    pairs = dataset.expand(2048)
    blind = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4))
    with pytest.warns(FitWarning, match="loss of Sequential is left after 400 batches"):
        dataset.fit(blind, pairs, steps=400)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.fit(nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4)), pairs)
