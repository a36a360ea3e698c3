"""EnvPool's environments for Stable-Baselines3."""

import numpy as np
import pytest

from distilled_envs.training.sb3_envs import teacher_envs
from distilled_envs.training.world import vector_world_of

pytest.importorskip("stable_baselines3")
pytest.importorskip("envpool")


def played(env_id: str, copies: int, steps: int):
    """Each step at random: observations, ends, infos."""
    env = teacher_envs(vector_world_of(env_id), copies, seed=3)
    env.action_space.seed(0)
    env.reset()
    for _ in range(steps):
        observations, _, ended, infos = env.step(
            np.stack([env.action_space.sample() for _ in range(copies)])
        )
        yield observations.copy(), ended, infos
    env.close()


def test_an_end_shows_the_last_observation_and_starts_anew_at_once():
    ends = 0
    for observations, ended, infos in played("CartPole-v1", 5, 80):
        for place in np.flatnonzero(ended):
            last = infos[place]["terminal_observation"]
            assert abs(last[0]) > 2.4 or abs(last[2]) > 0.2
            assert np.abs(observations[place]).max() <= 0.05
            assert not infos[place]["TimeLimit.truncated"]
            assert infos[place]["episode"]["r"] == infos[place]["episode"]["l"] >= 8
            ends += 1
        assert all("terminal_observation" not in infos[p] for p in np.flatnonzero(~ended))
    assert ends > 8


def test_a_time_limit_is_told_from_an_end():
    steps = [*played("Pendulum-v1", 2, 201)]
    assert [number for number, (_, ended, _) in enumerate(steps, 1) if ended.any()] == [200]
    _, ended, infos = steps[199]
    assert ended.all()
    assert all(each["TimeLimit.truncated"] and each["episode"]["l"] == 200 for each in infos)
    assert steps[200][2][0].keys().isdisjoint({"episode", "terminal_observation"})
