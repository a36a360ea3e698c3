"""Models of Stable-Baselines3 and sb3-contrib, each by its rule."""

import copy
import math
import warnings

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.errors import PolicyError
from distilled_envs.learners.one_step import inner_loss
from distilled_envs.learners.policies import (
    finish_training,
    policy_module,
    policy_outputs,
    policy_parameters,
    policy_regression,
    sb3_policy_kwargs,
)
from distilled_envs.learners.sb3_policies import SHARPNESS

ACTOR_CRITICS = (sb3.PPO, sb3.A2C, sb3_contrib.TRPO, sb3_contrib.MaskablePPO)
VALUES = (sb3.DQN, sb3_contrib.QRDQN)
GAUSSIAN = (sb3.SAC, sb3_contrib.TQC)
SQUASHED = (*GAUSSIAN, sb3.TD3, sb3.DDPG)


def make(algorithm, dataset, **settings):
    """A small model on the dataset's environment, which starts as the rows expect."""
    if algorithm not in ACTOR_CRITICS:
        settings = {"buffer_size": 10, **settings}
    settings = {"policy_kwargs": {"activation_fn": nn.Tanh, "net_arch": [64, 64]}, **settings}
    if algorithm is sb3_contrib.QRDQN:
        settings["policy_kwargs"] |= {"n_quantiles": 20}
    model = algorithm("MlpPolicy", dataset.make_env(), seed=0, device="cpu", **settings)
    if algorithm not in ACTOR_CRITICS:
        layers = [each for each in acting(model).modules() if isinstance(each, nn.Linear)]
        if algorithm in GAUSSIAN:
            layers = [each for each in layers if each is not model.actor.log_std]
        for layer in layers:
            last = layer is layers[-1]
            nn.init.orthogonal_(layer.weight, 0.01 if last else 2**0.5)
            nn.init.zeros_(layer.bias)
    return model


def acting(model):
    """What of a model without an action net makes its actions."""
    if isinstance(model, sb3.DQN):
        return model.q_net
    return model.quantile_net if isinstance(model, sb3_contrib.QRDQN) else model.actor


@pytest.fixture(scope="module")
def cartpole():
    return load_distilled("cartpole_2d", instances="min")


@pytest.fixture(scope="module")
def hopper():
    return load_distilled("hopper", instances=256)


@pytest.fixture(scope="module")
def pendulum():
    """Actions from -3 to 3: units of the Box are not those of the environment."""
    return load_distilled("invertedpendulum")


@pytest.mark.parametrize("algorithm", (*ACTOR_CRITICS, *VALUES))
def test_discrete_models_hold_the_poles_after_one_step(algorithm, cartpole):
    model = make(algorithm, cartpole)
    assert cartpole.evaluate(model, episodes=2).greedy.mean < 200
    assert cartpole.train(model) is model
    assert cartpole.evaluate(model, episodes=2).greedy.mean > 450


@pytest.mark.parametrize("algorithm", SQUASHED)
def test_continuous_models_hold_the_pendulum_after_one_step(algorithm, pendulum):
    model = make(algorithm, pendulum)
    before = pendulum.evaluate(model, episodes=2).greedy.mean
    assert pendulum.evaluate(pendulum.train(model), episodes=2).greedy.mean > max(500, 2 * before)


@pytest.mark.parametrize("algorithm", (*ACTOR_CRITICS[:3], *VALUES, *SQUASHED))
def test_outputs_name_the_action_that_predict_takes(algorithm, cartpole, pendulum):
    dataset = pendulum if algorithm in SQUASHED else cartpole
    model = dataset.train(make(algorithm, dataset))
    seen = torch.randn(50, *dataset.spec.task.observation_shape)
    with torch.no_grad():
        outputs = policy_outputs(model, seen)
    actions, _ = model.predict(seen.numpy(), deterministic=True)
    if dataset is cartpole:
        assert (outputs.argmax(-1).numpy() == actions).all()
        assert len(set(actions)) > 1
    else:
        np.testing.assert_allclose(outputs, actions, rtol=1e-5, atol=1e-6)
        assert np.ptp(actions) > 1


def test_a_squashed_step_is_that_of_a_plain_network_in_units_of_the_box(pendulum):
    """SAC's mean is what a module with the same weights gives on targets / 3, times 1.3."""
    model = make(sb3.SAC, pendulum)
    twin = copy.deepcopy(nn.Sequential(*model.actor.latent_pi, model.actor.mu))
    rows, targets = pendulum.observations, pendulum.targets
    assert pendulum.make_env().action_space.high == 3
    loss = inner_loss(twin(rows), SHARPNESS * targets / 3)
    parameters = list(twin.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= pendulum.spec.inner.learning_rate * gradient
    pendulum.train(model)
    torch.testing.assert_close(policy_outputs(model, rows), 3 * twin(rows).tanh())


def test_quantiles_move_as_one_output_does(cartpole):
    """The step of QR-DQN by hand: the mean over quantiles is a linear layer, times sqrt(N)."""
    model = make(sb3_contrib.QRDQN, cartpole)
    *hidden, last = copy.deepcopy([*model.quantile_net.quantile_net])
    root, actions = math.sqrt(20), cartpole.spec.task.n_outputs
    twin = nn.Sequential(*hidden, nn.Linear(64, actions))
    with torch.no_grad():
        twin[-1].weight.copy_(root * last.weight.view(20, actions, 64).mean(0))
        twin[-1].bias.copy_(root * last.bias.view(20, actions).mean(0))
    rows = cartpole.observations
    torch.testing.assert_close(policy_outputs(model, rows), twin(rows))
    cartpole.train(model)
    cartpole.train(twin)
    torch.testing.assert_close(policy_outputs(model, rows), twin(rows), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("algorithm", GAUSSIAN)
def test_deviations_become_the_datasets(algorithm, pendulum):
    model = make(algorithm, pendulum)
    pendulum.train(model)
    seen = torch.randn(5, 4)
    log_std = model.actor.get_action_dist_params(seen)[1]
    wanted = pendulum.spec.task.target_log_std[0] - math.log(3)
    torch.testing.assert_close(log_std, torch.full((5, 1), wanted))
    finish_training(model, None)
    torch.testing.assert_close(model.actor.get_action_dist_params(seen)[1], log_std)


def test_only_what_acts_is_trained_and_targets_are_copies(cartpole, pendulum):
    for algorithm, online, target in (
        (sb3.DQN, "q_net", "q_net_target"),
        (sb3_contrib.QRDQN, "quantile_net", "quantile_net_target"),
        (sb3.TD3, "actor", "actor_target"),
        (sb3.SAC, "actor", None),
    ):
        dataset = pendulum if online == "actor" else cartpole
        model = make(algorithm, dataset)
        others = [
            p.clone()
            for name, p in model.policy.named_parameters()
            if not name.startswith((online, target or online))
        ]
        before = copy.deepcopy(getattr(model.policy, online).state_dict())
        dataset.train(model)
        after = getattr(model.policy, online).state_dict()
        assert any(not torch.equal(before[name], value) for name, value in after.items())
        if target is not None:
            copied = getattr(model.policy, target).state_dict()
            assert all(torch.equal(copied[name], value) for name, value in after.items())
        left = [
            p
            for name, p in model.policy.named_parameters()
            if not name.startswith((online, target or online))
        ]
        assert all(map(torch.equal, others, left))


@pytest.mark.parametrize("algorithm", (sb3.DQN, sb3.SAC, sb3_contrib.TQC))
def test_a_saved_model_plays_the_same(algorithm, cartpole, pendulum, tmp_path):
    dataset = cartpole if algorithm is sb3.DQN else pendulum
    model = dataset.train(make(algorithm, dataset))
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model", device="cpu")
    scores = [dataset.evaluate(each, episodes=2, seed=3) for each in (model, loaded)]
    for mode in ("sampled", "greedy"):
        one, two = (getattr(score, mode).returns for score in scores)
        np.testing.assert_array_equal(one, two)


def test_rl_goes_on_from_a_trained_model(cartpole):
    model = cartpole.train(make(sb3.DQN, cartpole, learning_starts=0, batch_size=2))
    model.learn(8)
    assert all(p.isfinite().all() for p in model.policy.parameters())


def test_a_policy_serves_as_its_model_does(pendulum):
    model, twin = (make(sb3.SAC, pendulum) for _ in range(2))
    pendulum.train(model)
    assert pendulum.train(twin.policy) is twin.policy
    assert policy_module(model) is model.policy
    for one, two in zip(model.policy.parameters(), twin.policy.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_critics_with_layers_of_their_own(cartpole):
    """The features of an actor-critic that shares none come as a pair."""
    settings = {"policy_kwargs": {"share_features_extractor": False}}
    for algorithm in (sb3.PPO, sb3_contrib.MaskablePPO):
        model = cartpole.train(make(algorithm, cartpole, **settings))
        assert cartpole.evaluate(model, episodes=1).greedy.mean > 450


def test_regression_is_in_outputs_and_targets_as_they_are_for_modules(cartpole):
    module = cartpole.new_policy(seed=0)
    given, targets = policy_regression(module, cartpole.observations, cartpole.targets)
    torch.testing.assert_close(given, module(cartpole.observations))
    assert targets is cartpole.targets
    module[0].requires_grad_(False)
    assert policy_parameters(module) == [*module[2].parameters(), *module[4].parameters()]


@pytest.mark.parametrize("algorithm", VALUES)
def test_value_networks_of_games_take_the_encoder(algorithm, toy):
    dataset = toy(4)
    model = algorithm("CnnPolicy", dataset.make_env(), device="cpu", seed=0, buffer_size=1)
    network = acting(model)
    linear = network.features_extractor.linear[0]
    dataset.train(model)
    weights = [each for each in dataset.encoder if isinstance(each, nn.Linear)]
    assert torch.equal(linear.weight, weights[0].weight)
    seen = dataset.observations
    features = network.extract_features(seen, network.features_extractor)
    torch.testing.assert_close(features, dataset.encoder(seen))


def test_what_a_dataset_can_not_train_is_refused_by_name(cartpole, hopper):
    recurrent = sb3_contrib.RecurrentPPO("MlpLstmPolicy", cartpole.make_env(), device="cpu")
    for policy, name in ((recurrent, "RecurrentPPO"), (recurrent.policy, "Recurrent.*Policy")):
        with pytest.raises(PolicyError, match=f"^{name} is recurrent"):
            cartpole.train(policy)
    with pytest.raises(PolicyError, match=r"the ones of PPO, .* and DDPG can be .*, not CrossQ"):
        hopper.train(sb3_contrib.CrossQ("MlpPolicy", hopper.make_env(), buffer_size=10))
    with pytest.raises(PolicyError, match="not Actor"):
        hopper.train(make(sb3.SAC, hopper).actor)
    for algorithm in (sb3.PPO, sb3.SAC):
        with pytest.raises(PolicyError, match="without use_sde"):
            hopper.train(make(algorithm, hopper, use_sde=True))
    squashed = {"use_sde": True, "policy_kwargs": {"squash_output": True}}
    with pytest.raises(PolicyError, match="without squash_output"):
        hopper.train(sb3.PPO("MlpPolicy", hopper.make_env(), device="cpu", **squashed))
    frozen = make(sb3.SAC, hopper)
    frozen.actor.requires_grad_(False)
    with pytest.raises(PolicyError, match="no parameters that require a gradient"):
        hopper.train(frozen)


@pytest.mark.parametrize(
    ("name", "algorithm", "drawn_anew"),
    [
        ("cartpole-nd-2d-min", sb3.PPO, False),
        ("cartpole-nd-2d-min", sb3.DQN, True),
        ("hopper-min", sb3.A2C, False),
        ("reacher-encoder", sb3.PPO, False),
    ],
)
def test_models_are_made_like_the_networks_that_rows_are_for(name, algorithm, drawn_anew):
    dataset = load_distilled(name)
    kwargs = dataset.sb3_policy_kwargs()
    model = algorithm("MlpPolicy", dataset.make_env(), policy_kwargs=kwargs, device="cpu", seed=0)
    if drawn_anew:  # they are not drawn orthogonal, as actor-critics are
        dataset.initialize(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.train(model)


def test_cnns_are_made_like_those_of_games():
    learner = load_distilled("pong-level4").spec.learner
    env = gym.make_vec("DistilledPong-v0", num_envs=1)
    space = env.single_observation_space
    env.close()

    class Frames(gym.Env):
        observation_space, action_space = space, gym.spaces.Discrete(6)

    model = sb3.PPO("CnnPolicy", Frames(), policy_kwargs=sb3_policy_kwargs(learner), device="cpu")
    assert model.policy.action_net.in_features == 512 == model.policy.features_dim
