"""Starting from the best constant player."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from distilled_envs.errors import SettingsError
from distilled_envs.training import constant_start, distill
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.constant_start import best_constant_action, prefer
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.presets import PRESETS
from distilled_envs.training.run import checked_environment


class Paying(VectorEnv):
    """Action 2 pays 1 a step for five steps, action 1 pays 100, but only in the second episode."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    num_envs = 3 * constant_start.EPISODES
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


def test_the_action_that_pays_best_in_its_first_episode_is_found(monkeypatch, tiny):
    env = Paying()
    monkeypatch.setattr(constant_start, "make_training_envs", lambda settings, seed, count: env)
    steps = 5 * Paying.num_envs  # nothing is left to wait for
    assert best_constant_action(tiny, 3, progress=False) == (2, steps)


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

    def make(settings, seed, count):
        tried.append((seed, count))
        return Lucky(count, seed)

    monkeypatch.setattr(constant_start, "make_training_envs", make)
    assert best_constant_action(tiny, 8, progress=False) == (7, 2 * 64)
    assert tried == [(0, 64), (64, 64)]  # by seed: eight actions, then the best two


@pytest.mark.parametrize("preset", ["pong-level4", "pong-level0", "centipede-level0"])
def test_learners_prefer_it_about_as_often_as_asked(preset):
    settings = dataclasses.replace(
        PRESETS[preset],
        guide_share=0.0,
        learners=4,
        envs_per_learner=1,
        horizon=16,
        minibatches=2,
        threads=1,
    )
    _, task = checked_environment(settings)
    env = make_training_envs(settings, 0)
    torch.manual_seed(0)
    run = MetaPPO(settings, env, task)
    prefer(run, 1)
    outputs = []
    collect = run.actors.collect
    run.actors.collect = lambda *args: outputs.append(collect(*args)) or outputs[-1]
    run.iterate()
    env.close()
    chosen = torch.softmax(outputs[0].outputs, -1).mean((0, 1))
    assert chosen[1] == pytest.approx(0.97, abs=0.03)
    assert chosen.argmax() == 1


def test_a_run_counts_the_trial_and_starts_from_it_once(tmp_path, monkeypatch, interrupted, tiny):
    monkeypatch.setattr(constant_start, "STEPS", 10)
    monkeypatch.setattr(constant_start, "EPISODES", 2)
    settings = dataclasses.replace(tiny, constant_start=True)
    interrupted(settings, tmp_path / "run")
    monkeypatch.setattr(constant_start, "STEPS", 1)  # would be counted, were there another
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert dataset.spec.provenance["env_steps"] == 32 + 6 * 2 * 10
    assert dataset.targets.mean(0).max() > 1  # where targets without a shift have a mean near 0


def test_targets_that_lead_nowhere_are_told(tiny):
    settings = dataclasses.replace(tiny, initial_inner_learning_rate=1e-9)
    _, task = checked_environment(settings)
    env = make_training_envs(settings, 0)
    run = MetaPPO(settings, env, task)
    with pytest.raises(SettingsError, match="larger initial_inner_learning_rate"):
        prefer(run, 1)
    env.close()


def test_continuous_actions_have_no_constant_start():
    settings = dataclasses.replace(PRESETS["hopper-64"], constant_start=True)
    with pytest.raises(SettingsError, match="constant_start is for discrete actions"):
        checked_environment(settings)
