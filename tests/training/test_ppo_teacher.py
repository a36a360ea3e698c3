"""PPO of Stable-Baselines3 as a teacher."""

import dataclasses
import json
import random
import sys

import numpy as np
import pytest
import torch

from distilled_envs.errors import DivergedError, MissingExtraError, SettingsError
from distilled_envs.training import ppo_teacher
from distilled_envs.training.playing import Playing
from distilled_envs.training.ppo_teacher import best_ppo, train_ppo
from distilled_envs.training.teachers import as_teacher
from distilled_envs.training.world import vector_world_of

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
    assert longer.learning_rate(0.0) < ppo_teacher.LEARNING_RATE / 2  # the clock goes on, too


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
    with pytest.raises(SettingsError, match="vectors and time, got 0 seconds"):
        train_ppo(world, 0, tmp_path)
    with pytest.raises(SettingsError, match=r"discount must be one of \[0.99, 0.999\], got 0.5"):
        train_ppo(world, 1.0, tmp_path, discount=0.5)
    pictures = dataclasses.replace(
        world, task=dataclasses.replace(world.task, observation_shape=(4, 84, 84))
    )
    with pytest.raises(SettingsError, match="needs vectors"):
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


def test_where_episodes_are_long_the_discount_is_tried(tmp_path, monkeypatch):
    trained = []

    def fake(world, seconds, folder, *, discount, pause, seed, progress):
        trained.append((seconds, pause, folder.name, discount))

        def answer(observations):
            # The pole stays up by the second one's answers: it pushes where the pole leans.
            return 20 * observations[..., 1:2] * (discount > 0.99)

        answer.num_timesteps = 1_000
        return answer

    monkeypatch.setattr(ppo_teacher, "train_ppo", fake)
    model, spent = best_ppo(vector_world_of("InvertedPendulum-v5"), 10.0, tmp_path, progress=False)
    assert trained == [
        (7.5, 2.5, "0.99", 0.99),
        (7.5, 2.5, "0.999", 0.999),
        (7.5, None, "0.999", 0.999),
    ]
    assert model(torch.ones(4)) == 20
    assert spent > 1_000  # the other's, and those of the choice
    trained.clear()
    # What was chosen stays so.
    again = best_ppo(vector_world_of("InvertedPendulum-v5"), 10.0, tmp_path, progress=False)
    assert trained == [(7.5, None, "0.999", 0.999)]
    assert again[1] == spent
    trained.clear()
    assert best_ppo(vector_world_of("Pendulum-v1"), 10.0, tmp_path)[1] == 0
    assert trained == [(10.0, None, "0.99", 0.99)]


def test_a_pause_keeps_the_pace(tmp_path):
    world = vector_world_of("CartPole-v1")
    model = train_ppo(world, 8.0, tmp_path, pause=2.0, progress=False)
    assert 2 <= json.loads((tmp_path / "ppo.json").read_text())["seconds"] < 5
    assert model.learning_rate(0.0) > ppo_teacher.LEARNING_RATE / 3
    model = train_ppo(world, 8.0, tmp_path, progress=False)
    assert json.loads((tmp_path / "ppo.json").read_text())["seconds"] >= 8
    assert model.learning_rate(0.0) == 0


def test_one_that_diverges_leaves_the_other(tmp_path, monkeypatch):
    world, failing = vector_world_of("InvertedPendulum-v5"), {0.99}

    def fake(world, seconds, folder, *, discount, pause, seed, progress):
        if discount in failing:
            raise DivergedError(f"PPO diverged with {discount}.")

        def answer(observations):
            return 0 * observations[..., :1]

        answer.num_timesteps, answer.discount = 1_000, discount
        return answer

    monkeypatch.setattr(ppo_teacher, "train_ppo", fake)
    assert best_ppo(world, 10.0, tmp_path, progress=False)[0].discount == 0.999
    failing.add(0.999)
    with pytest.raises(DivergedError, match=r"diverged with 0\.99"):
        best_ppo(world, 10.0, tmp_path / "new", progress=False)
