"""The best player that repeats one action."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from distilled_envs.spec import TaskSpec
from distilled_envs.training import constant_action
from distilled_envs.training.constant_action import EPISODES, ConstantAction, best_constant_action
from distilled_envs.training.world import World


class Paying(VectorEnv):
    """Action 2 pays 1 a step for five steps, action 1 pays 100, but only in the second episode."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    num_envs = 4 * EPISODES  # one of them of random play
    single_observation_space = gym.spaces.Box(-1, 1, (1,))
    single_action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros((self.num_envs, 1), np.float32), {}

    def step(self, actions):
        self.steps += 1
        rewards = np.where(actions == 2, 1.0, 0.0)
        if self.steps > 5:
            rewards = np.where(actions == 1, 100.0, rewards)
        ended = np.full(self.num_envs, self.steps == 5)
        return np.zeros((self.num_envs, 1), np.float32), rewards, ended, np.zeros_like(ended), {}


def choosing(n):
    box, actions = gym.spaces.Box(-1, 1, (1,)), gym.spaces.Discrete(n)
    return World(None, TaskSpec("categorical", (1,), n), box, actions)


def test_the_action_that_pays_best_in_its_first_episode_is_found(monkeypatch):
    env = Paying()
    monkeypatch.setattr(constant_action, "make_vector_env", lambda *_: env)
    steps = 5 * Paying.num_envs  # nothing is left to wait for
    best = best_constant_action(choosing(3), 0, progress=False)
    assert (best.action, best.mean_return, best.steps) == (2, 5.0, steps)
    assert 0 < best.at_random < 5


class Lucky(Paying):
    """Action ``i`` pays i; in the first 72 episodes action 1 pays 100, as by luck."""

    def __init__(self, count, seed):
        self.num_envs, self.seeds = count, seed + np.arange(count)

    def step(self, actions):
        rewards = np.where((actions == 1) & (self.seeds < 72), 100.0, actions)
        ended = np.ones(self.num_envs, dtype=bool)
        return np.zeros((self.num_envs, 1), np.float32), rewards, ended, np.zeros_like(ended), {}


def test_luck_does_not_decide(monkeypatch):
    tried = []

    def make(world, count, seed, threads):
        tried.append((seed, count))
        return Lucky(count, seed)

    monkeypatch.setattr(constant_action, "make_vector_env", make)
    best = best_constant_action(choosing(8), 0, progress=False)
    assert (best.action, best.steps) == (7, 72 + 64)
    assert tried == [(0, 72), (72, 64)]  # by seed: random play and eight actions, then the best two


@pytest.mark.parametrize(
    ("mean_return", "at_random", "is_far"),
    [
        (10_195, 2_000, True),
        (285, 150, False),
        (21, 0, True),
        (0, 0, False),
        (-21, -20.5, False),
        (-5, -20, False),
        (25, -20, True),
    ],
)
def test_far_better_is_three_times_what_random_play_gets(mean_return, at_random, is_far):
    assert ConstantAction(0, mean_return, at_random, 1).is_far_better == is_far
