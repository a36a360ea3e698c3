"""What of a teacher an encoder has to learn."""

import gymnasium as gym
import numpy as np
import torch

from distilled_envs.spec import TaskSpec
from distilled_envs.training import nonlinear_distillation
from distilled_envs.training.nonlinear_distillation import _missed
from distilled_envs.training.world import World


def looks_at(teacher, seen):
    return nonlinear_distillation.looked_at(teacher, seen, teacher(seen))


def world(kind: str, actions: gym.Space) -> World:
    return World(None, TaskSpec(kind, (3,), 2), gym.spaces.Box(-9, 9, (3,)), actions)


def test_only_what_a_teacher_looks_at_is_shown():
    seen = torch.randn(600, 5)
    found = looks_at(lambda raw: (raw[:, [1]] * raw[:, [4]]).tanh(), seen)
    assert found.tolist() == [1, 4]
    # What a teacher looks at after a mistake alone, which its own play does not show.
    careful = looks_at(lambda raw: raw[:, [0]] - 5 * raw[:, [1]] * (raw[:, [1]].abs() > 3), seen)
    assert careful.tolist() == [0, 1]
    assert looks_at(lambda raw: torch.ones(len(raw), 2), seen).tolist() == [0, 1, 2, 3, 4]


def test_what_lies_beyond_a_bound_is_missed_only_where_the_answer_lies_inside():
    torques = world("gaussian", gym.spaces.Box(-2, 2, (2,)))
    outputs = torch.tensor([[5.0, -5.0], [5.0, -5.0], [1.0, -3.0]])
    answers = torch.tensor([[2.0, -2.0], [1.0, 2.0], [2.0, -9.0]])
    wanted = torch.tensor([[0.0, 0.0], [4.0, -7.0], [-1.0, 0.0]])
    torch.testing.assert_close(_missed(outputs, answers, torques), wanted)


def test_bounds_may_lie_anywhere():
    pedals = world("gaussian", gym.spaces.Box(np.array([0, 10]), np.array([1, 20]), (2,)))
    outputs = torch.tensor([[-3.0, 5.0], [4.0, 25.0]])
    bounds = torch.tensor([[0.0, 10.0], [1.0, 20.0]])
    torch.testing.assert_close(_missed(outputs, bounds, pedals), torch.zeros(2, 2))
    inside = _missed(outputs, torch.full((2, 2), 0.5) + torch.tensor([0.0, 14.0]), pedals)
    torch.testing.assert_close(inside, torch.tensor([[-3.5, -9.5], [3.5, 10.5]]))


def test_logits_count_up_to_a_constant():
    choice = world("categorical", gym.spaces.Discrete(2))
    missed = _missed(torch.tensor([[5.0, 7.0]]), torch.tensor([[-1.0, 1.0]]), choice)
    torch.testing.assert_close(missed, torch.zeros(1, 2))
