"""Environments with few states."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from distilled_envs import imitate
from distilled_envs.errors import SettingsError
from distilled_envs.training.playing import Playing
from distilled_envs.training.tabular import has_table, solve_table
from distilled_envs.training.world import vector_world_of, world_of


class Corridor(gym.Env):
    """States and actions that don't count from 0; only the last state pays, and only by going on.

    Args:
        states: Their number.
        slip: Probability that a step goes the other way.
    """

    action_space = spaces.Discrete(2, start=-1)

    def __init__(self, states: int = 12, slip: float = 0.0):
        self.observation_space = spaces.Discrete(states, start=3)
        self._last, self._slip = states - 1, slip

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._at = 0
        return np.int64(3), {}

    def step(self, action):
        back = (action == -1) != (self.np_random.random() < self._slip)
        self._at = max(0, self._at - 1) if back else self._at + 1
        there = self._at == self._last
        return np.int64(3 + self._at), float(there), there, False, {}


@pytest.fixture(autouse=True)
def corridor():
    gym.register("Corridor-v0", f"{__name__}:Corridor", max_episode_steps=60)
    yield
    gym.registry.pop("Corridor-v0")


def test_what_only_the_end_pays_is_found():
    world = vector_world_of("Corridor-v0")
    policy = solve_table(world, 100_000, progress=False)
    assert policy.made["env_steps"] < 100_000  # it ends where all is known
    best = policy.weights.argmax(0)
    assert best[:11].tolist() == [1] * 11
    assert (Playing(world, 1, 0)(policy, 16).returns == 1).all()


def test_chance_is_counted():
    policy = solve_table(world_of("Corridor-v0", {"slip": 0.2}), 200_000, progress=False)
    assert policy.weights.argmax(0)[:11].tolist() == [1] * 11


def test_a_budget_ends_it():
    policy = solve_table(vector_world_of("Corridor-v0"), 1, progress=False)
    assert policy.made["env_steps"] == 2_000


def test_fresh_networks_are_as_wide_as_there_are_states():
    world = world_of("Corridor-v0", {"states": 100}, max_episode_steps=600)
    policy = solve_table(world, 200_000, progress=False)
    dataset = imitate(policy, world.spec, progress=False)
    assert dataset.spec.learner.hidden_sizes == (128, 128)
    assert len(dataset) == 3
    assert dataset.evaluate(learners=16, episodes=1).greedy.mean == 1


def test_other_spaces_are_refused():
    world = vector_world_of("Acrobot-v1")
    assert not has_table(world)
    with pytest.raises(SettingsError, match="Acrobot-v1 are Box"):
        solve_table(world, 1_000)
