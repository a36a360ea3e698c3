"""PPO of Stable-Baselines3 as a teacher."""

import dataclasses
import itertools
import json
import random
import sys
import types

import gymnasium as gym
import numpy as np
import pytest
import torch

from distilled_envs.errors import MissingExtraError, SettingsError
from distilled_envs.training import ppo_teacher
from distilled_envs.training.picture_features import PictureFeatures
from distilled_envs.training.playing import Playing
from distilled_envs.training.ppo_teacher import train_ppo
from distilled_envs.training.teachers import as_teacher
from distilled_envs.training.world import vector_world_of, world_of

pytest.importorskip("stable_baselines3")


def test_it_learns_and_is_imitated_under_its_normalization(tmp_path):
    world = vector_world_of("CartPole-v1")
    model = train_ppo(world, 12.0, tmp_path, progress=False)
    teacher = as_teacher(model, world)
    assert teacher.made["env_steps"] == model.num_timesteps > 4_000
    assert Playing(world, 1, 0)(teacher.answer, 16).returns.mean() > 100  # random play gets 22


def test_it_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    world = vector_world_of("FrozenLake-v1")  # one-hot, behind a wrapper
    monkeypatch.setattr(ppo_teacher, "_CHECKPOINT_SECONDS", 0.0)
    steps = train_ppo(world, 3.0, tmp_path, progress=False).num_timesteps
    spent = json.loads((tmp_path / "ppo.json").read_text())["seconds"]
    assert 3 <= spent < 8
    # No time is left, and so nothing changes.
    assert train_ppo(world, 3.0, tmp_path, progress=False).num_timesteps == steps
    longer = train_ppo(world, spent + 3, tmp_path, progress=False)
    assert longer.num_timesteps > steps
    answers = as_teacher(longer, world).answer(torch.eye(16))
    assert len(answers.argmax(1).unique()) > 1
    assert longer.learning_rate(0.0) < ppo_teacher.SHORT.learning_rate / 2  # the clock goes on, too


def test_ctrl_c_keeps_what_was_learned(tmp_path, monkeypatch):
    from stable_baselines3 import PPO

    def interrupted(self, *arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(PPO, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_ppo(vector_world_of("CartPole-v1"), 30.0, tmp_path, progress=False)
    assert {each.name for each in tmp_path.iterdir()} == {
        "ppo.zip",
        "vec_normalize.pkl",
        "ppo.json",
    }
    monkeypatch.undo()
    model = train_ppo(vector_world_of("CartPole-v1"), 4.0, tmp_path, progress=False)
    assert model.num_timesteps > 4_096


def test_bad_input_is_refused_in_words(tmp_path, monkeypatch):
    world = vector_world_of("CartPole-v1")
    with pytest.raises(
        SettingsError, match="needs time, and vectors or an Atari game, got 0 seconds"
    ):
        train_ppo(world, 0, tmp_path)
    pictures = dataclasses.replace(
        world, task=dataclasses.replace(world.task, observation_shape=(4, 84, 84))
    )
    with pytest.raises(SettingsError, match="needs time, and vectors or an Atari game"):
        train_ppo(pictures, 1.0, tmp_path)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MissingExtraError, match="stable-baselines3"):
        train_ppo(world, 1.0, tmp_path)


def test_a_damaged_model_is_told_of(tmp_path):
    world = vector_world_of("CartPole-v1")
    train_ppo(world, 1.0, tmp_path, progress=False)
    for name in ("ppo.zip", "vec_normalize.pkl", "ppo.json"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(SettingsError, match=r"can't be read .* remove that folder"):
            train_ppo(world, 2.0, tmp_path, progress=False)
        (tmp_path / name).write_bytes(whole)
    assert train_ppo(world, 1.0, tmp_path, progress=False).num_timesteps > 0


def test_global_generators_stay(tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    wanted = torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    train_ppo(vector_world_of("CartPole-v1"), 0.5, tmp_path, seed=1, progress=False)
    assert (torch.rand(1), np.random.rand(), random.random()) == wanted  # noqa: NPY002


@pytest.mark.parametrize(
    ("env_id", "limit", "discount"),
    [
        ("Pendulum-v1", None, 0.99),
        ("CartPole-v1", 2_000, 0.995),
        ("InvertedPendulum-v5", None, 0.995),
        ("Blackjack-v1", None, 0.995),  # it has no time limit
    ],
)
def test_where_episodes_are_long_it_looks_further_ahead(env_id, limit, discount):
    world = world_of(env_id, max_episode_steps=limit)
    assert ppo_teacher.recipe_of(world).discount == discount


class Pictured(gym.Env):
    """A dot is to be said to be left or right; which of two colors it has does not matter."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, shape=(6, 6, 2)):
        self.observation_space = gym.spaces.Box(0, 200, shape, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps = 0
        return self._shown(), {}

    def step(self, action):
        reward, self._steps = float(action == self._right), self._steps + 1
        return self._shown(), reward, False, self._steps == 10, {}

    def _shown(self):
        picture = np.zeros((6, 6, 2), np.uint8)
        row, column, color = (self.np_random.integers(limit) for limit in picture.shape)
        picture[row, column, color], self._right = 200, column >= 3
        return picture if self.observation_space.shape[2] == 2 else picture.transpose(2, 0, 1)


@pytest.fixture
def pictured(monkeypatch):
    """An id, in a module that can be named."""
    module = types.SimpleNamespace(Pictured=Pictured)
    monkeypatch.setitem(sys.modules, "pictured_envs", module)
    gym.register("Pictured-v0", entry_point="pictured_envs:Pictured")
    yield
    gym.registry.pop("Pictured-v0")


@pytest.mark.parametrize("shape", [(6, 6, 2), (2, 6, 6)])
def test_small_pictures_are_seen_by_a_cnn(tmp_path, pictured, shape):
    world = world_of("Pictured-v0", {"shape": shape})
    assert world.is_picture
    model = train_ppo(world, 10.0, tmp_path, progress=False)
    seen, teacher = [], as_teacher(model, world)
    # A dot in each place, in a picture that was flattened.
    for row, column in itertools.product(range(6), range(6)):
        picture = np.zeros((6, 6, 2), np.float32)
        picture[row, column, 1] = 200
        seen.append(picture if shape[2] == 2 else picture.transpose(2, 0, 1))
    answers = teacher.answer(torch.from_numpy(np.stack(seen)).flatten(1)).argmax(1)
    right = answers == torch.tensor(6 * [0, 0, 0, 1, 1, 1])
    assert right.sum() >= 33  # of 36
    # It goes on, too.
    steps = model.num_timesteps
    assert train_ppo(world, 13.0, tmp_path, progress=False).num_timesteps > steps


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ((3, 3, 1), (1, 1)),
        ((10, 10, 4), (8, 8)),
        ((10, 10, 10), (8, 8)),
        ((60, 40, 3), (14, 9)),
        ((3, 40, 60), (9, 14)),
    ],
)
def test_filters_are_further_apart_in_larger_pictures(shape, sides):
    shown = gym.spaces.Box(0, 255, shape, np.uint8)
    vectors = gym.spaces.utils.flatten_space(shown)
    features = PictureFeatures(vectors, shown)
    (filters,) = (each for each in features.modules() if isinstance(each, torch.nn.Conv2d))
    met = []
    filters.register_forward_hook(lambda module, given, found: met.append((given[0], found)))
    picture = np.zeros(shape, np.float32)
    picture[1, 2, 0] = 255  # in a row, a column and a channel, or a channel, a row and a column
    assert features(torch.from_numpy(picture).flatten()[None]).shape == (1, 128)
    ((given, found),) = met
    assert found.shape[2:] == sides
    place = (0, 1, 2, 0) if shape[0] < shape[2] else (0, 0, 1, 2)
    assert given.nonzero().tolist() == [list(place)]
    assert given.max() == 1


@pytest.mark.parametrize(
    ("shown", "is_picture"),
    [
        (gym.spaces.Box(0, 1, (10, 10, 4), bool), True),
        (gym.spaces.Box(0, 255, (7, 7), np.uint8), False),  # perhaps a table
        (gym.spaces.Box(-1.0, 1.0, (10, 10, 4)), False),
        (gym.spaces.Box(0.0, np.inf, (10, 10, 4)), False),
        (gym.spaces.Box(0.0, float(np.finfo(np.float32).max), (10, 10, 4)), False),
        (gym.spaces.Box(0, 0, (10, 10, 4), np.uint8), False),
        (gym.spaces.Box(0, 1, (10, 2, 2), bool), False),
        (gym.spaces.Discrete(5), False),
    ],
)
def test_pictures_are_told_from_other_spaces(shown, is_picture):
    world = dataclasses.replace(vector_world_of("FrozenLake-v1"), shown=shown)
    assert world.is_picture == is_picture
