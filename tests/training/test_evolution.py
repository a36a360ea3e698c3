"""CMA-ES over linear policies."""

import sys

import numpy as np
import pytest
import torch

from distilled_envs.errors import MissingExtraError
from distilled_envs.training import evolution
from distilled_envs.training.backends import make_vector_env
from distilled_envs.training.evolution import evolve
from distilled_envs.training.playing import Playing
from distilled_envs.training.world import vector_world_of


@pytest.fixture(scope="module")
def balanced():
    world = vector_world_of("CartPole-v1")
    return world, evolve(world, 60_000, progress=False)


def test_a_linear_policy_of_choices_is_found(balanced):
    world, found = balanced
    assert found.mean > 300
    assert found.policy.made["env_steps"] == found.env_steps > 60_000
    # It plays as well where nothing was searched, and logits are as large as they are asked to be.
    played = Playing(world, 1, seed=7)(found.policy, 32)
    assert played.returns.mean() == pytest.approx(found.mean, rel=0.25)
    gap = (played.answers[:, 0] - played.answers[:, 1]).abs().mean()
    assert 4 < gap < 16


def test_a_seed_gives_the_same_policy(balanced):
    world, found = balanced
    again = evolve(world, 60_000, progress=False)
    assert torch.equal(again.policy.weights, found.policy.weights)
    other = evolve(world, 5_000, seed=1, progress=False)
    assert not torch.equal(other.policy.weights, found.policy.weights)


def test_continuous_actions_are_in_their_own_units():
    world = vector_world_of("Pendulum-v1")  # within -2 and 2
    env = make_vector_env(world, 64, 0, 1)
    arena = evolution._Arena(env, world, 0)
    candidate = np.array([-3.0, -1.0, -2.0, 0.5])
    returns, steps = arena.play(candidate[None].repeat(64, 0), keep=True)
    assert steps == 64 * 200
    env.close()
    played = Playing(world, 1, seed=3)(arena.policy(candidate), 64)
    assert played.returns.mean() == pytest.approx(returns.mean(), rel=0.1)
    assert played.answers.abs().max() > 1


def test_a_search_ends_where_nothing_gets_better(monkeypatch):
    monkeypatch.setattr(evolution, "PATIENCE", 1)
    world = vector_world_of("MountainCar-v0")
    found = evolve(world, 10_000_000, progress=False)
    assert found.env_steps < 1_000_000


def test_one_generation_is_all_where_few_fit_into_the_time(monkeypatch):
    monkeypatch.setattr(evolution, "LEAST", 10_000)
    world = vector_world_of("Pendulum-v1")
    found = evolve(world, 10**9, seconds=60, progress=False)
    one = evolution.CANDIDATES * evolution.EPISODES * 200
    # Statistics, the generation, and the policy's own play.
    assert found.env_steps == one // 2 + evolution.ROUNDS * one + one
    assert found.policy.made["wall_seconds"] < 30


def test_the_library_is_named(monkeypatch, balanced):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(MissingExtraError, match="cma"):
        evolve(balanced[0], 1_000)
