import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from distilled_envs import ExpandedDataset, load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DatasetError, SettingsError


@pytest.fixture(scope="module")
def cartpole():
    return load_distilled("cartpole_2d", instances="min")


def test_targets_are_the_mean_answers_of_one_step_learners(cartpole):
    pairs = cartpole.expand(300, seed=4)
    learners = cartpole.new_learners(500, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        answers = learners(pairs.observations).mean(0)
    error = (answers - pairs.targets).square().mean() / answers.square().mean()
    assert error < 1e-3  # of 64 learners and of 500 others


def test_inputs_have_the_size_of_observations(cartpole):
    hopper = load_distilled("hopper", instances=256)
    scale = hopper.spec.observation_transform.scale
    assert hopper.expand(4096).observations.std().item() == pytest.approx(scale, rel=0.02)
    rows = cartpole.observations.square().mean().sqrt().item()
    assert cartpole.expand(4096).observations.std().item() == pytest.approx(rows, rel=0.02)


def test_expansions_have_a_seed(cartpole):
    one, same, other = (cartpole.expand(64, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.observations, same.observations)
    assert torch.equal(one.targets, same.targets)
    assert not torch.equal(one.observations, other.observations)


def test_they_are_a_dataset_of_torch(cartpole):
    pairs = cartpole.expand(100)
    assert len(pairs) == 100
    (observations, targets), *_ = DataLoader(pairs, batch_size=32)
    assert torch.equal(observations, pairs.observations[:32])
    assert torch.equal(targets, pairs.targets[:32])
    assert "100 pairs" in repr(pairs)


def test_they_are_a_dataset_of_the_hub(cartpole):
    pairs = cartpole.expand(50)
    table = pairs.to_hf().with_format("numpy")
    np.testing.assert_array_equal(table["observation"][:], pairs.observations)
    np.testing.assert_array_equal(table["target"][:], pairs.targets)


def test_they_are_a_folder(cartpole, tmp_path):
    pairs = cartpole.expand(50, seed=3)
    pairs.save(tmp_path / "pairs")
    back = ExpandedDataset.load(tmp_path / "pairs")
    assert torch.equal(back.observations, pairs.observations)
    assert torch.equal(back.targets, pairs.targets)
    made = {"n": 50, "seed": 3, "source": "noise"}
    assert back.spec.provenance == {"expanded_from": "cartpole-nd-2d-min", "expansion": made}
    with pytest.raises(DatasetError, match="exists already"):
        pairs.save(tmp_path / "pairs")
    cartpole.save(tmp_path / "batch")
    with pytest.raises(DatasetError, match="holds a batch, not expanded rows"):
        ExpandedDataset.load(tmp_path / "batch")
    with pytest.raises(DatasetError, match=r"ExpandedDataset\.load"):
        DistilledDataset.load(tmp_path / "pairs")
    (tmp_path / "batch" / "train.parquet").replace(tmp_path / "pairs" / "train.parquet")
    with pytest.raises(DatasetError, match="has changed since it was written"):
        ExpandedDataset.load(tmp_path / "pairs")


def test_play_labels_what_learners_meet(cartpole):
    pairs = cartpole.expand(600, source="play", seed=0)
    again = cartpole.expand(600, source="play", seed=0)
    assert torch.equal(pairs.observations, again.observations)
    space = cartpole.make_env().observation_space
    assert all(space.contains(each) for each in pairs.observations.numpy())
    # Whole episodes, whose first states all lie within 0.05 of the middle.
    assert (pairs.observations.abs() > 0.05).any(1).float().mean() > 0.5
    learners = cartpole.new_learners(64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        answers = learners(pairs.observations).mean(0)
    agree = answers.argmax(-1) == pairs.targets.argmax(-1)
    assert agree.float().mean() > 0.9


def test_bad_input_is_refused(cartpole):
    with pytest.raises(SettingsError, match="n must be at least 1"):
        cartpole.expand(0)
    with pytest.raises(SettingsError, match="'noise' or 'play'"):
        cartpole.expand(10, source="demonstrations")


def test_states_by_number_are_expanded_by_play_and_lie_in_the_space():
    lake = load_distilled("FrozenLake-v1")
    pairs = lake.expand(300)
    assert pairs.spec.provenance["expansion"]["source"] == "play"
    scale = lake.spec.observation_transform.scale
    states = (pairs.observations > 0).sum(1)
    assert (states == 1).all()
    assert pairs.observations.max() == pytest.approx(scale)
    env = gym.make("DistilledFrozenLake-v0", expand=300)
    assert env.observation_space.contains(env.reset(seed=0)[0])
    bare = gym.make("DistilledFrozenLake-v0", expand=0)  # rows, which may be below 0
    assert bare.observation_space.contains(bare.reset(options={"index": 1})[0])
    assert lake.make_env().observation_space == lake.spec.spaces.observation


def test_games_are_expanded_by_play_only(tmp_path):
    pytest.importorskip("ale_py")
    pong = load_distilled("pong", encoder_level=4)
    with pytest.raises(SettingsError, match="source='play'"):
        pong.expand(10, source="noise")


@pytest.mark.slow
def test_a_game_is_expanded_by_play(tmp_path, monkeypatch):
    pytest.importorskip("ale_py")
    monkeypatch.setattr("distilled_envs.evaluation.visits._MAX_STEPS", 5)
    pong = load_distilled("pong", encoder_level=4)
    pairs = pong.expand(32, source="play")
    assert pairs.observations.dtype == torch.uint8
    assert pairs.observations.shape == (32, 4, 84, 84)
    pairs.save(tmp_path / "pairs")
    back = ExpandedDataset.load(tmp_path / "pairs")
    assert torch.equal(back.observations, pairs.observations)
    assert np.array_equal(pairs.to_hf().with_format("numpy")["observation"][:], pairs.observations)


def test_a_missing_simulator_is_named(cartpole, monkeypatch):
    hopper = load_distilled("hopper", instances=256)
    monkeypatch.setitem(__import__("sys").modules, "mujoco", None)
    monkeypatch.setitem(__import__("sys").modules, "gymnasium.envs.mujoco.hopper_v5", None)
    with pytest.raises(ImportError, match=r"\[\w+\]"):
        hopper.expand(10, source="play")
