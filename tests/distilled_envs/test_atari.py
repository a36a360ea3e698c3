"""Games, CNN learners, encoders, and datasets of frames."""

import io
import json

import datasets
import gymnasium as gym
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from stable_baselines3 import A2C
from torch import nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.distilled_env import DistilledEnv
from distilled_envs.envs import atari
from distilled_envs.errors import DatasetError, PolicyError, SettingsError
from distilled_envs.learners.networks import (
    SILENT,
    forward,
    initial_parameters,
    make_encoder,
    make_policy,
)
from distilled_envs.learners.one_step import inner_step
from distilled_envs.loading import load_distilled
from distilled_envs.spec import LearnerSpec, TaskSpec
from distilled_envs.storage.folder import ENCODER_FILE, ROWS_FILE, SPEC_FILE, sha256

GAMES = ("Pong", "Centipede", "SpaceInvaders", "MsPacman", "Breakout")
LEVELS = range(5)


def game_spec(game: str):
    atari.register(f"ALE/{game}-v5")
    return gym.make(f"ALE/{game}-v5", **atari.ENV_KWARGS).spec


def cnn(level: int) -> LearnerSpec:
    return LearnerSpec("nature-cnn", (512,), "relu", encoder_level=level)


@pytest.mark.parametrize("game", GAMES)
def test_one_game_and_many_show_the_same_frames(game):
    spec = game_spec(game)
    single = atari.preprocess(gym.make(spec), noops=0)
    many = atari.make_vec(spec, 1, noops=0)
    assert single.observation_space == many.single_observation_space
    assert single.action_space.n == many.single_action_space.n
    rng = np.random.default_rng(0)
    shown, _ = single.reset(seed=7)
    assert np.array_equal(shown, many.reset(seed=7)[0][0])
    total = 0.0
    for _ in range(150):
        action = rng.integers(single.action_space.n, size=1)
        shown, reward, terminated, truncated, _ = single.step(action[0])
        batch, rewards, ends, cuts, _ = many.step(action)
        assert np.array_equal(shown, batch[0])
        assert (reward, terminated, truncated) == (rewards[0], ends[0], cuts[0])
        total += abs(reward)
        if terminated or truncated:
            break
    assert total > 0 or game == "Breakout"  # rewards were compared, too


@pytest.mark.parametrize("level", LEVELS)
def test_population_gives_what_each_network_gives(level):
    spec = cnn(level)
    frames = torch.randint(0, 256, (2, *atari.FRAMES)).float()
    encoder = make_encoder(spec, frames)
    features = encoder(frames)
    parameters = initial_parameters(spec, atari.FRAMES, 6, 3)
    outputs = forward(spec, parameters, features)
    assert outputs.shape == (3, 2, 6)
    own = forward(spec, parameters, torch.stack([features, features, 0.5 * features]))
    for i in range(3):
        policy = make_policy(spec, atari.FRAMES, 6)
        policy.load_state_dict({name: value[i] for name, value in parameters.items()})
        torch.testing.assert_close(outputs[i], policy(features), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            own[i], policy(features * (0.5 if i == 2 else 1)), atol=1e-5, rtol=1e-4
        )


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


@pytest.mark.parametrize("level", LEVELS)
def test_the_meta_gradient_reaches_the_rows_as_numbers_say(level):
    """Through the inner step, against a difference quotient, in double precision."""
    spec, shape = cnn(level), (1, 36, 36)
    encoder = make_encoder(spec, 255 * torch.rand(8, *shape)).double()
    initial = initial_parameters(spec, shape, 2, 2, torch.Generator().manual_seed(0))
    initial = {name: value.double() for name, value in initial.items()}
    rows = (255 * torch.rand(2, *shape, dtype=torch.double)).requires_grad_()
    targets = torch.randn(2, 2, dtype=torch.double)
    seen = encoder(255 * torch.rand(3, *shape, dtype=torch.double)).detach()

    def loss(rows):
        trained = inner_step(spec, initial, encoder(rows), targets, 0.01, keep_graph=True)
        return forward(spec, trained, seen).square().sum()

    (gradient,) = torch.autograd.grad(loss(rows), rows)
    direction = torch.randn_like(rows)
    step = 1e-5 * direction
    quotient = (loss(rows + step) - loss(rows - step)) / 2e-5
    torch.testing.assert_close((gradient * direction).sum(), quotient, rtol=1e-3, atol=1e-8)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("level", [0, 3])
def test_a_dataset_of_frames_is_the_same_after_a_file(level, tmp_path, toy):
    dataset = toy(level)
    dataset.save(tmp_path / "saved")
    again = DistilledDataset.load(tmp_path / "saved")
    assert torch.equal(again.observations, dataset.observations)
    assert torch.equal(again.targets, dataset.targets)
    assert (tmp_path / "saved" / ENCODER_FILE).exists() == (level > 0)
    assert again.spec == dataset.spec.replace(files=again.spec.files)
    one, two = dataset.train(seed=3), again.train(seed=3)
    torch.testing.assert_close(one(dataset.observations), two(dataset.observations))


def test_datasets_reads_the_frames_as_pictures(tmp_path, toy):
    dataset = toy(0)
    dataset.save(tmp_path / "saved")
    rows = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "saved" / ROWS_FILE), cache_dir=str(tmp_path / "cache")
    )["train"]
    assert isinstance(rows.features["observation"].feature, datasets.Image)
    frames = np.stack([np.asarray(each) for each in rows[1]["observation"]])
    assert np.array_equal(frames, dataset.observations[1].numpy())


def damaged(folder, change):
    """A dataset whose rows are changed, with a hash that fits them."""
    table = pq.read_table(folder / ROWS_FILE)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), folder / ROWS_FILE)
    spec = json.loads((folder / SPEC_FILE).read_text())
    spec["files"][ROWS_FILE] = sha256(folder / ROWS_FILE)
    (folder / SPEC_FILE).write_text(json.dumps(spec))


def picture(mode: str, size: tuple[int, int]) -> bytes:
    png = io.BytesIO()
    Image.new(mode, size).save(png, format="PNG")
    return png.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing", "row 1 that is not readable as PNG"),
        (picture("L", (90, 84)), r"gray images of 84 x 84 pixels, and row 1 has .*\(90, 84\)"),
        (picture("RGB", (84, 84)), "row 1 has one of mode RGB"),
    ],
)
def test_what_is_no_frame_is_refused(content, message, tmp_path, toy):
    toy(0).save(tmp_path / "saved")

    def change(rows):
        rows[1]["observation"][2]["bytes"] = content

    damaged(tmp_path / "saved", change)
    with pytest.raises(DatasetError, match=message):
        DistilledDataset.load(tmp_path / "saved")


def test_a_small_file_with_many_frames_is_refused(toy, tmp_path):
    toy(0).save(tmp_path / "saved")
    damaged(tmp_path / "saved", lambda rows: rows.extend(200 * rows[:1]))
    assert (tmp_path / "saved" / ROWS_FILE).stat().st_size < 2**18
    with pytest.raises(DatasetError, match=r"train\.parquet holds \d+ MiB, and the limit is 8 MiB"):
        DistilledDataset.load(tmp_path / "saved", max_bytes=8 * 2**20)


def test_frames_are_whole_numbers_of_the_games_range(toy):
    dataset = toy(0)
    for frames in (dataset.observations / 255, dataset.observations + 1):
        with pytest.raises(DatasetError, match="whole numbers from 0 to 255"):
            DistilledDataset(frames, dataset.targets, dataset.spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": LearnerSpec()}, r"learner\.architecture can't be 'mlp'"),
        ({"preprocessing": None}, "preprocessing can't be None"),
        ({"task": TaskSpec("categorical", (1, 84, 84), 6)}, r"task\.observation_shape"),
    ],
)
def test_specs_that_contradict_themselves_are_refused(changes, message, toy):
    with pytest.raises(DatasetError, match=message):
        toy(0).spec.replace(**changes)


def test_what_the_vector_environment_can_not_do_is_refused(toy):
    dataset = toy(0)
    dataset.spec.env.kwargs["mode"] = 1
    with pytest.raises(DatasetError, match=r"ALE/Pong-v5 with .*'mode': 1.* no vector environment"):
        dataset.make_vec_env(2)


def test_a_damaged_or_missing_encoder_is_refused(tmp_path, toy):
    toy(2).save(tmp_path / "saved")
    file = tmp_path / "saved" / ENCODER_FILE
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(DatasetError, match=r"encoder\.safetensors has changed"):
        DistilledDataset.load(tmp_path / "saved")
    file.unlink()
    with pytest.raises(DatasetError, match=r"encoder\.safetensors is missing"):
        DistilledDataset.load(tmp_path / "saved")


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
    four_actions = atari.preprocess(gym.make(game_spec("Breakout")))
    model = A2C("CnnPolicy", four_actions, device="cpu")
    before = [p.clone() for p in model.policy.parameters()]
    with pytest.raises(PolicyError, match="has 4 outputs, and pong-level2 needs 6"):
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


def test_the_drop_in_has_the_games_spaces(toy):
    dataset = toy(0)
    env, real = DistilledEnv(dataset), dataset.make_env()
    assert (env.observation_space, env.action_space) == (real.observation_space, real.action_space)
    observation, info = env.reset(options={"index": 1})
    assert observation.dtype == np.uint8
    assert env.step(int(info["target"].argmax()))[1] == 0


def test_fresh_learners_play_whole_games_for_points(toy):
    evaluation = toy(4).evaluate(learners=2, episodes=1)
    # A game of Pong ends at 21 points; noise loses it.
    assert -21 <= evaluation.sampled.returns.min() <= evaluation.sampled.returns.max() <= -10


@pytest.mark.parametrize("level", [-1, 5, 2.5])
def test_levels_outside_0_to_4_are_refused(level):
    with pytest.raises((SettingsError, DatasetError), match="encoder_level"):
        load_distilled("cartpole_2d", encoder_level=level)
    with pytest.raises(DatasetError, match=r"learner\.encoder_level"):
        cnn(level)


def test_a_level_that_is_not_there_is_named():
    with pytest.raises(DatasetError, match="no variant with encoder_level=3"):
        load_distilled("cartpole_2d", encoder_level=3)
