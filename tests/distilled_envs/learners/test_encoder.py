"""Layers that all learners share."""

import warnings

import gymnasium as gym
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO
from torch import nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs import atari
from distilled_envs.errors import DatasetError, OneStepWarning, PolicyError, SettingsError
from distilled_envs.learners.encoder import SILENT, make_encoder
from distilled_envs.learners.layers import used_layers
from distilled_envs.loading import load_distilled
from distilled_envs.spec import InnerSpec, LearnerSpec
from distilled_envs.studies.generalization import generalize
from distilled_envs.studies.warm_start import can_start_warm, make_warm_model
from distilled_envs.training import refit

LEVELS = range(5)


def cnn(level: int) -> LearnerSpec:
    return LearnerSpec("nature-cnn", (512,), "relu", encoder_level=level)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_an_encoder_starts_with_features_that_tell_frames_apart(level):
    """Nearly equal frames: all the same but for a square of 6 pixels somewhere."""
    frames = torch.full((64, *atari.FRAMES), 100.0)
    for frame, (row, column) in zip(frames, torch.randint(0, 78, (64, 2)), strict=True):
        frame[:, row : row + 6, column : column + 6] = 200
    encoder = make_encoder(cnn(level), frames)
    layers = [place for place, layer in enumerate(encoder) if hasattr(layer, "weight")]
    assert len(layers) == level
    features = encoder(frames).detach().flatten(1)
    if level < 4:  # the last convolution
        assert (features > 1e-3).float().mean() < 2 * (1 - SILENT)
        assert features.square().mean() == pytest.approx(1, abs=1e-3)
        layers = layers[:-1]
    cosine = torch.nn.functional.cosine_similarity(features[:32], features[32:])
    assert cosine.mean() < 0.5
    for place in layers:  # before the activation
        given = encoder[: place + 1](frames).detach()
        others = (0, 2, 3)[: given.dim() - 1]
        torch.testing.assert_close(
            given.mean(others), torch.zeros(given.shape[1]), atol=1e-3, rtol=0
        )
        assert given.std(others).median() == pytest.approx(1, abs=1e-3)
        assert given.std(others).max() < 1.001


def test_an_encoder_of_another_level_is_refused(toy):
    dataset, other = toy(2), toy(3)
    with pytest.raises(DatasetError, match="an encoder of level 2 has the tensors"):
        DistilledDataset(
            dataset.observations, dataset.targets, dataset.spec, encoder=other.encoder.state_dict()
        )
    with pytest.raises(DatasetError, match="encoder level 2 needs an encoder"):
        DistilledDataset(dataset.observations, dataset.targets, dataset.spec)


@pytest.mark.parametrize("level", LEVELS)
def test_sb3s_cnn_takes_the_step(level, toy):
    """The same weights give the same outputs after it, in SB3's policy and in ours."""
    dataset = toy(level)
    model = A2C("CnnPolicy", dataset.make_env(), device="cpu", seed=0)
    ours, policy = dataset.new_policy(seed=5), model.policy
    theirs = [*policy.pi_features_extractor.modules(), policy.action_net]
    theirs = [each for each in theirs if hasattr(each, "weight")]
    mine = [each for each in ours.modules() if hasattr(each, "weight")]
    assert [each.weight.shape for each in theirs] == [each.weight.shape for each in mine]
    with torch.no_grad():
        for source, to in zip(mine, theirs, strict=True):
            to.weight.copy_(source.weight)
            to.bias.copy_(source.bias)
    before = [each.weight.clone() for each in theirs]
    dataset.train(model)
    dataset.train(ours)
    for place, (source, to) in enumerate(zip(mine, theirs, strict=True)):
        torch.testing.assert_close(to.weight, source.weight)
        assert torch.equal(to.weight, before[place]) == (place < level)
    assert all(p.requires_grad for p in policy.parameters())


def behind(*sizes: int) -> DistilledDataset:
    """2-D cart-pole's rows behind ReLU layers that are drawn at random."""
    plain = load_distilled("cartpole_2d", instances="min")
    learner = LearnerSpec(hidden_sizes=sizes, activation="relu", encoder_level=len(sizes))
    torch.manual_seed(0)
    encoder = make_encoder(learner, torch.randn(100, 8))
    kernel = encoder(plain.observations).square().sum(1).mean().item()
    spec = plain.spec.replace(
        name="cartpole-nd-2d-encoder",
        learner=learner,
        inner=InnerSpec(plain.targets.numel() / (4 * kernel)),
    )
    return DistilledDataset(plain.observations, plain.targets, spec, encoder=encoder.state_dict())


@pytest.fixture(scope="module")
def encoded():
    return behind(32, 32)


def state(model) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.policy.parameters()]


def same(model, before) -> bool:
    return all(torch.equal(p, b) for p, b in zip(model.policy.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("algorithm", "net_arch"), [(PPO, {"pi": [32, 32], "vf": [8]}), (DQN, [32, 32])]
)
def test_sb3s_mlp_takes_the_step_too(algorithm, net_arch, encoded):
    """Its hidden layers become the encoder, and its output layer alone is trained."""
    kwargs = {"net_arch": net_arch, "activation_fn": nn.ReLU}
    model = algorithm("MlpPolicy", encoded.make_env(), policy_kwargs=kwargs, device="cpu")
    before = state(model)
    encoded.diagnose(model)
    assert same(model, before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OneStepWarning)  # the rows were not made for it
        encoded.train(model)
    *hidden, output = used_layers(model, encoded.observations)
    torch.testing.assert_close(output.inputs, encoded.features)
    shared = [each for each in encoded.encoder if hasattr(each, "weight")]
    for used, source in zip(hidden, shared, strict=True):
        assert torch.equal(used.layer.weight, source.weight)
        assert used.layer.weight.requires_grad
    # As a learner of our own with the same first weights.
    drawn = algorithm("MlpPolicy", encoded.make_env(), policy_kwargs=kwargs, device="cpu", seed=3)
    head = nn.Linear(32, 4)
    head.load_state_dict(used_layers(drawn, encoded.observations)[-1].layer.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OneStepWarning)
        encoded.train(drawn)
        own = encoded.train(encoded.with_encoder(head))
    trained = used_layers(drawn, encoded.observations)[-1].layer
    torch.testing.assert_close(trained.weight, own.learner.weight)


def test_models_that_have_no_place_for_the_encoder_are_refused_and_left(encoded):
    for dataset, algorithm, kwargs, reason in (
        (encoded, PPO, {}, r"\(64, 8\), \(64, 64\), \(4, 64\)\], and the encoder's"),
        (encoded, PPO, {"net_arch": [32, 32]}, "makes something else of the encoder's weights"),
        (behind(8, 4), DQN, {"net_arch": [8], "activation_fn": nn.ReLU}, "must come first"),
    ):
        model = algorithm("MlpPolicy", dataset.make_env(), policy_kwargs=kwargs, device="cpu")
        before = state(model)
        with pytest.raises(PolicyError, match=reason) as refused:
            dataset.train(model)
        sizes = list(dataset.spec.learner.hidden_sizes)
        assert f"net_arch={sizes}, activation_fn=torch.nn.ReLU" in str(refused.value)
        assert same(model, before)


@pytest.mark.parametrize("hidden", [(), (64,)])
def test_learners_behind_an_encoder_are_initialized_for_its_features(hidden, encoded):
    layers, before = [], 32
    for units in hidden:
        layers += [nn.Linear(before, units), nn.Tanh()]
        before = units
    policy = encoded.with_encoder(nn.Sequential(*layers, nn.Linear(before, 4)))
    assert encoded.diagnose(encoded.initialize(policy)).learns


def test_a_narrow_layer_behind_an_encoder_holds_what_the_rows_features_have(encoded):
    narrow = nn.Linear(32, 4)
    policy = encoded.with_encoder(nn.Sequential(narrow, nn.Tanh(), nn.Linear(4, 4)))
    encoded.initialize(policy)
    directions = torch.linalg.svd(encoded.features, full_matrices=False).Vh
    held = narrow.weight.detach() @ directions.T @ directions
    torch.testing.assert_close(held, narrow.weight.detach(), atol=1e-4, rtol=1e-3)


def test_what_is_for_whole_networks_says_so(encoded):
    for use in (refit, generalize, lambda dataset: make_warm_model(dataset, seed=0)):
        with pytest.raises(SettingsError, match=r"(has|or) an encoder"):
            use(encoded)
    assert not can_start_warm(encoded)


def toy_with_other_encoder(toy) -> DistilledDataset:
    dataset = toy(4)
    state = {name: 2 * value for name, value in dataset.encoder.state_dict().items()}
    return DistilledDataset(dataset.observations, dataset.targets, dataset.spec, encoder=state)


def test_policies_do_not_share_the_encoder(toy):
    dataset = toy(3)
    policy = dataset.new_policy()
    policy.double().requires_grad_(True)
    assert dataset.train()(dataset.observations).dtype == torch.float32
    assert not any(p.requires_grad for p in dataset.encoder.parameters())


def test_a_model_that_does_not_fit_is_left_as_it_is(toy):
    atari.register("ALE/Breakout-v5")
    four_actions = atari.preprocess(gym.make("ALE/Breakout-v5", **atari.ENV_KWARGS))
    model = A2C("CnnPolicy", four_actions, device="cpu")
    before = [p.clone() for p in model.policy.parameters()]
    with pytest.raises(PolicyError, match=r"Discrete\(4\), and pong-level2 needs Discrete\(6\)"):
        toy(2).train(model)
    assert all(torch.equal(p, b) for p, b in zip(model.policy.parameters(), before, strict=True))


@pytest.mark.parametrize(
    "learner",
    [LearnerSpec(), LearnerSpec("nature-cnn", (512,), "relu", encoder_level=3)],
)
def test_learners_that_do_not_fit_the_encoder_are_refused(learner, toy):
    with pytest.raises(SettingsError, match="pong-level2 is for learners of kind 'nature-cnn'"):
        toy(2).evaluate(learner=learner, learners=1, episodes=1)


def test_a_learner_of_ones_own_goes_behind_the_encoder(toy):
    dataset = toy(4)
    with pytest.warns(OneStepWarning, match=r"dataset\.initialize\(policy\)"):
        policy = dataset.train(dataset.with_encoder(nn.Linear(512, 6)))
    assert policy(dataset.observations).shape == (3, 6)
    with pytest.raises(PolicyError, match=r"does not take the encoder's features .*\(1, 512\)"):
        dataset.with_encoder(nn.Linear(100, 6))
    with pytest.raises(PolicyError, match=r"gives outputs of shape \(1, 4\)"):
        dataset.with_encoder(nn.Linear(512, 4))
    with pytest.raises(PolicyError, match=r"must be a torch\.nn\.Module, got function"):
        dataset.with_encoder(lambda features: features)
    with pytest.raises(PolicyError, match=r"dataset\.with_encoder\(learner\)"):
        dataset.train(nn.Sequential(nn.Flatten(), nn.Linear(4 * 84 * 84, 6)))
    with pytest.raises(PolicyError, match="has another encoder than pong-level4"):
        dataset.train(toy_with_other_encoder(toy).new_policy())
    with pytest.raises(DatasetError, match="has no encoder"):
        toy(0).with_encoder(nn.Linear(512, 6))
