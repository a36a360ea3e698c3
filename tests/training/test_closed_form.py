import dataclasses
import time

import pytest
import torch

from distilled_envs.errors import SettingsError
from distilled_envs.learners.population import Population
from distilled_envs.spec import InitializationSpec, LearnerSpec, TaskSpec
from distilled_envs.training.closed_form import closed_form


def policy(outputs, inputs, rank=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
    if rank is not None:
        left, strengths, right = torch.linalg.svd(weights, full_matrices=False)
        weights = (left[:, :rank] * strengths[:rank]) @ right[:rank]
    return weights, 0.3 * torch.randn(outputs, generator=generator)


def missed(weights, bias, learner, scale, **settings):
    """What fresh networks miss a policy by, as a share of its mean square, on average of 16."""
    rows = closed_form(weights / scale, bias, learner, **settings)
    task = TaskSpec("gaussian", (weights.shape[1],), len(bias))
    fresh = Population.draw(learner, task, 16, torch.Generator().manual_seed(1))
    inputs = torch.randn(512, weights.shape[1], generator=torch.Generator().manual_seed(2))
    trained = fresh.step(rows.observations, rows.targets, rows.learning_rate)
    wanted = inputs @ weights.T + bias
    return ((trained(scale * inputs) - wanted).square().mean() / wanted.square().mean()).item()


@pytest.mark.parametrize(
    ("gain", "depth"),
    [(gain, depth) for gain in (1.0, 2**0.5) for depth in range(6)]
    + [(2.0, depth) for depth in range(4)],  # deeper ones bend at any size of inputs
)
def test_every_fresh_network_answers_as_the_policy(gain, depth):
    learner = LearnerSpec(hidden_sizes=(64,) * depth)
    learner = dataclasses.replace(
        learner, initialization=InitializationSpec(hidden_gain=gain, output_gain=0.01)
    )
    weights, bias = policy(3, 11)
    # Large inputs bend tanh, in deep networks soon; small ones let the step move hidden layers.
    found = [missed(0.3 * weights, bias, learner, scale) for scale in (0.02, 0.05, 0.1)]
    assert min(found) < 0.005, found


@pytest.mark.parametrize(("outputs", "inputs"), [(1, 4), (6, 17), (17, 45), (4, 2), (1, 1)])
@pytest.mark.parametrize("width", [64, 256])
def test_any_number_of_inputs_and_outputs(outputs, inputs, width):
    weights, bias = policy(outputs, inputs)
    rows = closed_form(weights, bias, LearnerSpec(hidden_sizes=(width, width)))
    assert len(rows.observations) == min(outputs, inputs) + 1
    assert missed(weights, bias, LearnerSpec(hidden_sizes=(width, width)), 0.07) < 0.005


def test_rows_are_as_many_as_the_rank_and_one_more():
    weights, bias = policy(6, 17, rank=2)
    rows = closed_form(weights, bias, LearnerSpec())
    assert rows.observations.shape == (3, 17)
    assert rows.targets.shape == (3, 6)
    assert rows.observations.sum(0).abs().max() < 1e-6
    assert missed(weights, bias, LearnerSpec(), 0.1) < 0.005


def test_fewer_rows_keep_the_strongest_directions():
    weights, bias = policy(4, 8)
    left, strengths, right = torch.linalg.svd(weights, full_matrices=False)
    strongest = (left[:, :2] * strengths[:2]) @ right[:2]
    fewer = closed_form(weights, bias, LearnerSpec(), instances=3)
    wanted = closed_form(strongest, bias, LearnerSpec())
    assert torch.allclose(
        fewer.targets.T @ fewer.observations, wanted.targets.T @ wanted.observations, atol=1e-6
    )
    assert len(closed_form(weights, bias, LearnerSpec(), instances=64).observations) == 5


def test_a_constant_policy_is_two_rows():
    bias = torch.tensor([0.5, -1.0])
    rows = closed_form(torch.zeros(2, 3), bias, LearnerSpec())
    assert len(rows.observations) == 2
    assert missed(torch.zeros(2, 3), bias, LearnerSpec(), 0.1) < 0.005


def test_it_takes_milliseconds():
    weights, bias = policy(17, 45)
    closed_form(weights, bias, LearnerSpec())
    started = time.process_time()
    closed_form(weights, bias, LearnerSpec())
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": torch.zeros(3)}, r"weights \(n_outputs, n_inputs\)"),
        ({"weights": torch.zeros(3, 0)}, r"weights \(n_outputs, n_inputs\)"),
        ({"bias": torch.zeros(2)}, r"got shapes \(3, 11\) and \(2,\)"),
        ({"bias": torch.full((3,), torch.nan)}, "must be finite"),
        ({"instances": 1}, "two instances at least"),
        ({"size": 0.0}, "a size above 0"),
        ({"size": torch.nan}, "a size above 0"),
        ({"learner": LearnerSpec(activation="relu")}, "tanh layers with orthogonal"),
        (
            {"learner": LearnerSpec(initialization=InitializationSpec("pytorch"))},
            "pytorch initialization",
        ),
        ({"learner": LearnerSpec("nature-cnn", (512,), "relu")}, "got nature-cnn"),
    ],
)
def test_what_has_no_closed_form_is_refused(changes, message):
    weights, bias = policy(3, 11)
    given = {"weights": weights, "bias": bias, "learner": LearnerSpec()} | changes
    with pytest.raises(SettingsError, match=message):
        closed_form(**given)
