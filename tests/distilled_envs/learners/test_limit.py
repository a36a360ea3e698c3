import pytest
import torch

from distilled_envs.learners.limit import LimitPopulation
from distilled_envs.learners.population import Population
from distilled_envs.loading import load_distilled
from distilled_envs.spec import InitializationSpec, LearnerSpec, TaskSpec

TASK = TaskSpec("gaussian", (6,), 3)


def rows():
    generator = torch.Generator().manual_seed(0)
    return 0.05 * torch.randn(4, 6, generator=generator), torch.randn(4, 3, generator=generator)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_wide_networks_answer_as_their_limit(depth, gain):
    network = LearnerSpec(
        hidden_sizes=(512,) * depth, initialization=InitializationSpec(hidden_gain=gain)
    )
    (observations, targets), rate = rows(), 100.0
    limit = LimitPopulation.draw(network, TASK, 5).step(observations, targets, rate)
    fresh = Population.draw(network, TASK, 5, torch.Generator().manual_seed(1))
    inputs = 0.05 * torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    answers = fresh.step(observations, targets, rate)(inputs)
    assert limit(inputs).shape == answers.shape == (5, 40, 3)
    error = (answers - limit(inputs)).square().mean() / answers.square().mean()
    assert error < 0.01


def test_each_may_see_its_own_inputs():
    limit = LimitPopulation.draw(LearnerSpec(), TASK, 3)
    assert len(limit) == 3
    inputs = torch.randn(3, 7, 6)
    assert not limit(inputs).any()
    stepped = limit.step(*rows(), 10.0)
    for one in range(3):
        assert torch.allclose(stepped(inputs)[one], stepped(inputs[one])[one], atol=1e-5)
    assert stepped.is_finite()
    assert not limit.step(rows()[0], rows()[1] * torch.inf, 1.0).is_finite()


def test_learners_differ_more_than_networks_do():
    """What they learn has to bear it. A policy is the same with a constant added to all logits."""
    dataset = load_distilled("cartpole-nd-2d-64")
    spec, generator = dataset.spec, torch.Generator().manual_seed(0)
    states = torch.randn(500, 8, generator=generator) * torch.tensor([0.6, 0.4, 0.05, 0.3] * 2)
    spread = []
    for kind in (LimitPopulation, Population):
        torch.manual_seed(0)
        fresh = kind.draw(spec.learner, spec.task, 200)
        answers = fresh.step(dataset.observations, dataset.targets, spec.inner.learning_rate)(
            states
        )
        spread.append((answers - answers.mean(-1, keepdim=True)).std(0).square().mean().sqrt())
    assert 1 < spread[0] / spread[1] < 3


def test_the_gradient_reaches_the_batch():
    parts = [value.requires_grad_() for value in (*rows(), torch.tensor(10.0))]
    limit = LimitPopulation.draw(LearnerSpec(), TASK, 2)
    limit.step(*parts, keep_graph=True)(torch.ones(1, 6)).square().sum().backward()
    assert all(part.grad.abs().sum() > 0 for part in parts)
    assert not limit.step(*parts).weights.requires_grad
