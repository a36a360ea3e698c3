"""Starting from the best constant player."""

import dataclasses
import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch.distributions import Categorical

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.learners.networks import make_policy
from distilled_envs.spec import TaskSpec
from distilled_envs.training import GameSettings, distill, starts
from distilled_envs.training.backends import checked_world
from distilled_envs.training.presets import PRESETS
from distilled_envs.training.starts import best_constant_action, prefer, start_as_learner
from distilled_envs.training.world import World


class Paying(VectorEnv):
    """Action 2 pays 1 a step for five steps, action 1 pays 100, but only in the second episode."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    num_envs = 3 * starts.EPISODES
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


def test_the_action_that_pays_best_in_its_first_episode_is_found(monkeypatch, tiny):
    env = Paying()
    monkeypatch.setattr(starts, "make_training_envs", lambda settings, world, seed, count: env)
    steps = 5 * Paying.num_envs  # nothing is left to wait for
    assert best_constant_action(tiny, choosing(3), progress=False) == (2, steps)


class Lucky(Paying):
    """Action ``i`` pays i; in the first 64 episodes action 1 pays 100, as by luck."""

    def __init__(self, count, seed):
        self.num_envs, self.seeds = count, seed + np.arange(count)

    def step(self, actions):
        rewards = np.where((actions == 1) & (self.seeds < 64), 100.0, actions)
        ended = np.ones(self.num_envs, dtype=bool)
        return np.zeros((self.num_envs, 1), np.float32), rewards, ended, np.zeros_like(ended), {}


def test_luck_does_not_decide(monkeypatch, tiny):
    tried = []

    def make(settings, world, seed, count):
        tried.append((seed, count))
        return Lucky(count, seed)

    monkeypatch.setattr(starts, "make_training_envs", make)
    assert best_constant_action(tiny, choosing(8), progress=False) == (7, 2 * 64)
    assert tried == [(0, 64), (64, 64)]  # by seed: eight actions, then the best two


@pytest.mark.parametrize("preset", ["pong-level4", "pong-level0", "centipede-level0"])
def test_learners_prefer_it_about_as_often_as_asked(preset, start):
    settings = dataclasses.replace(
        PRESETS[preset],
        guide_share=0.0,
        learners=4,
        envs_per_learner=1,
        horizon=16,
        minibatches=2,
        threads=1,
    )
    run = start(settings)
    prefer(run, 1)
    outputs = []
    collect = run.actors.collect
    run.actors.collect = lambda *args: outputs.append(collect(*args)) or outputs[-1]
    run.iterate()
    chosen = torch.softmax(outputs[0].outputs, -1).mean((0, 1))
    assert chosen[1] == pytest.approx(0.97, abs=0.03)
    assert chosen.argmax() == 1


@pytest.mark.slow
def test_a_run_counts_the_trial_and_starts_from_it_once(tmp_path, monkeypatch, interrupted, tiny):
    monkeypatch.setattr(starts, "STEPS", 10)
    monkeypatch.setattr(starts, "EPISODES", 2)
    settings = dataclasses.replace(tiny, constant_start=True)
    interrupted(settings, tmp_path / "run")
    monkeypatch.setattr(starts, "STEPS", 1)  # would be counted, were there another
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert dataset.spec.provenance["env_steps"] == 32 + 6 * 2 * 10
    assert dataset.targets.mean(0).max() > 1  # where targets without a shift have a mean near 0


def test_targets_that_lead_nowhere_are_told(tiny, start):
    settings = dataclasses.replace(tiny, initial_inner_learning_rate=1e-9)
    run = start(settings)
    with pytest.raises(SettingsError, match="larger initial_inner_learning_rate"):
        prefer(run, 1)


def test_continuous_actions_have_no_constant_start():
    settings = GameSettings(**vars(PRESETS["hopper-64"]), constant_start=True)
    with pytest.raises(SettingsError, match="constant_start is for discrete actions"):
        checked_world(settings)


def test_answers_keep_their_order_where_a_learner_explores(dataset):
    decided = DistilledDataset(dataset.observations, 100 * dataset.targets, dataset.spec)
    policy = make_policy(dataset.spec.learner, (8,), 4)
    states = torch.randn(200, 8)
    torch.manual_seed(0)
    start_as_learner(policy, decided, states)
    torch.manual_seed(0)
    sharp = decided.new_learners(1)(states)[0]
    outputs = policy(states)
    assert torch.equal(outputs.argmax(-1), sharp.argmax(-1))
    entropy, before = (Categorical(logits=each).entropy().mean() for each in (outputs, sharp))
    assert before < 0.3 < 0.7 * math.log(4) <= entropy < 0.8 * math.log(4)
