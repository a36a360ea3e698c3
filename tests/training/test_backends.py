import dataclasses

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from distilled_envs.envs.cartpole_nd import CartPoleNDVectorEnv
from distilled_envs.training import PRESETS, for_environment
from distilled_envs.training.backends import (
    EnvPoolVectorEnv,
    checked_world,
    make_training_envs,
)

HOPPER = dataclasses.replace(for_environment("Hopper-v5"), learners=2, envs_per_learner=2)


def envs_of(settings):
    return make_training_envs(settings, checked_world(settings), 0)


def test_each_id_gets_its_backend(monkeypatch):
    assert isinstance(envs_of(HOPPER), EnvPoolVectorEnv)
    plain = dataclasses.replace(HOPPER, use_envpool=False)
    assert isinstance(envs_of(plain), SyncVectorEnv)
    assert isinstance(envs_of(PRESETS["cartpole-nd-2d-64"]), CartPoleNDVectorEnv)
    monkeypatch.setitem(__import__("sys").modules, "envpool", None)
    assert isinstance(envs_of(HOPPER), SyncVectorEnv)


@pytest.mark.parametrize("use_envpool", [True, False])
def test_the_step_after_an_end_is_a_reset(use_envpool):
    """Both kinds show the last observation, then spend a step of reward 0 on the reset."""
    env = envs_of(dataclasses.replace(HOPPER, use_envpool=use_envpool))
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    ends, ended = 0, np.zeros(4, dtype=bool)
    for _ in range(300):
        actions = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
        observations, rewards, terminated, truncated, _ = env.step(actions)
        assert (rewards[ended] == 0).all()
        assert not (terminated | truncated)[ended].any()
        starts = np.abs(observations[ended, 0] - 1.25) < 0.01  # a hopper starts 1.25 m high
        assert starts.all()
        ended = terminated | truncated
        ends += ended.sum()
    assert ends > 10
    env.close()


def test_envpool_and_gymnasium_are_the_same_task():
    """Mean episode length and return under one and the same random policy."""
    means = []
    for use_envpool in (True, False):
        settings = dataclasses.replace(HOPPER, learners=8, use_envpool=use_envpool)
        env = envs_of(settings)
        env.reset(seed=0)
        rng = np.random.default_rng(1)
        total, lengths, ends = 0.0, 0, 0
        for _ in range(400):
            actions = rng.uniform(-1, 1, (16, 3)).astype(np.float32)
            _, rewards, terminated, truncated, _ = env.step(actions)
            total, lengths = total + rewards.sum(), lengths + (rewards != 0).sum()
            ends += (terminated | truncated).sum()
        means.append((total / ends, lengths / ends))
        env.close()
    np.testing.assert_allclose(means[0], means[1], rtol=0.15)


def test_spaces_are_gymnasiums():
    env, real = envs_of(HOPPER), gym.make("Hopper-v5")
    assert env.single_observation_space == real.observation_space
    assert env.single_action_space == real.action_space
