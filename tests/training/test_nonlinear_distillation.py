"""What of a teacher an encoder has to learn."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

from distilled_envs.bars import tqdm
from distilled_envs.learners.actions import comparable
from distilled_envs.learners.encoder import make_encoder
from distilled_envs.learners.networks import NATURE, has_weights, make_policy
from distilled_envs.learners.population import Population
from distilled_envs.spec import FRAMES, TaskSpec
from distilled_envs.training import nonlinear_distillation
from distilled_envs.training.batch import DistilledBatch
from distilled_envs.training.efforts import BELOW
from distilled_envs.training.nonlinear_distillation import (
    _missed,
    learn_from_play,
    start_spanning,
)
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


class Squares:
    """Learners of a teacher that sees where a square is, with rows to learn it from."""

    def __init__(self, level: int):
        torch.manual_seed(0)
        self.seen = torch.zeros(160, *FRAMES, dtype=torch.uint8)
        for frame, (row, column) in zip(
            self.seen, torch.randint(64, (160, 2)).tolist(), strict=True
        ):
            frame[:, row : row + 20, column : column + 20] = 255
        self.teacher = make_policy(NATURE, FRAMES, 3).requires_grad_(False)
        [each for each in self.teacher if has_weights(each)][-1].weight.mul_(100)
        self.answers = self.teacher(self.seen)
        self.task = TaskSpec("categorical", FRAMES, 3)
        self.learner = dataclasses.replace(NATURE, encoder_level=level)
        self.encoder = make_encoder(self.learner, self.seen, self.teacher)
        self.space = gym.spaces.Box(0, 255, FRAMES, np.uint8)
        self.batch = DistilledBatch(self.space, 64, 3, 0.05, observations=self.seen[:64].float())
        self.world = World(gym.spec("CartPole-v1"), self.task, self.space, gym.spaces.Discrete(3))

    def start(self) -> None:
        start_spanning(self.batch, self.encoder, self.learner, self.seen, self.answers, self.task)

    @torch.no_grad()
    def missed(self) -> float:
        """Fresh learners' mean square error after their step, as a share of the answers'."""
        fresh = Population.draw(self.learner, self.task, 4)
        wanted = comparable(self.task, self.answers)
        rows = self.encoder(self.batch.observations)
        learners = fresh.step(rows, self.batch.targets, self.batch.learning_rate)
        error = comparable(self.task, learners(self.encoder(self.seen))) - wanted
        return float(error.square().mean() / wanted.square().mean())


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_rows_start_where_fresh_learners_follow_already(level, monkeypatch):
    monkeypatch.setattr(nonlinear_distillation, "CANDIDATES", 128)
    squares = Squares(level)
    before = squares.missed()
    squares.start()
    assert squares.missed() < 0.5 * before


@pytest.mark.slow
@pytest.mark.parametrize(("level", "effort"), [(3, "BELOW"), (4, "KNOWN")])
def test_learning_goes_on_from_there(level, effort, monkeypatch):
    monkeypatch.setattr(nonlinear_distillation, "CANDIDATES", 128)
    squares = Squares(level)
    squares.start()
    before = squares.missed()
    effort = dataclasses.replace(getattr(nonlinear_distillation, effort), steps=40, states=32)
    nonlinear_distillation._learn(
        squares.encoder,
        squares.batch,
        squares.learner,
        squares.task,
        squares.seen,
        squares.answers,
        0,
        squares.world,
        effort,
        tqdm(disable=True),
    )
    assert squares.missed() < before


def test_targets_are_sharpened_as_play_shows(imitation_steps, monkeypatch):
    monkeypatch.setattr(nonlinear_distillation, "CANDIDATES", 128)
    imitation_steps(1)
    squares, tried = Squares(3), []

    def play(several):
        tried.extend(several)
        return 2, squares.seen, float(len(tried))

    found = learn_from_play(
        squares.teacher,
        squares.teacher,
        squares.world,
        squares.seen,
        squares.answers,
        lambda raw: raw,
        squares.space,
        squares.learner,
        8,
        1,
        play,
        progress=False,
    )
    assert len(tried) == 6  # in two rounds, of which the second got more
    sharper = BELOW.sharper[2]
    torch.testing.assert_close(found.targets, sharper * tried[3].targets)
    assert found.targets is tried[5].targets
