"""What a return is read beside."""

import copy

import numpy as np
import pytest

from distilled_envs import load_distilled
from distilled_envs.evaluation.yardsticks import Yardsticks, yardsticks


def test_cart_pole_falls_at_random_and_under_one_action():
    spec = load_distilled("cartpole-nd-2d-min").spec
    found = yardsticks(spec)
    assert 15 < found.random < 25
    assert 7 < found.constant < 12
    assert found.action in range(4)
    again = yardsticks(spec)
    assert (again.random, again.constant) == (found.random, found.constant)
    assert "no better" not in found.verdict(500)
    assert "no better than playing at random" in found.verdict(18)


def test_no_time_limit_may_be_written_as_minus_one():
    spec = copy.deepcopy(load_distilled("cartpole-nd-2d-min").spec)
    spec.env.max_episode_steps = -1
    assert yardsticks(spec).random > 15


def test_the_constant_action_may_be_the_best():
    found = Yardsticks(-33.0, 0.0, np.array([0.0]), 90.0)
    assert found.verdict(-0.01).endswith("\n-0.010 is no better than repeating the action [0.].")
    assert "counts as solved from 90" in found.verdict(95)
    assert "no better" not in found.verdict(95)


def test_boxes_are_tried_at_their_middle_and_ends():
    pytest.importorskip("mujoco")
    found = yardsticks(load_distilled("invertedpendulum").spec)
    assert found.action.shape == (1,)
    assert 3 < found.constant < 60
    assert found.threshold == 950
