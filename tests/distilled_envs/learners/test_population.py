"""Many networks side by side give what each gives alone."""

import pytest
import torch
from torch import nn

from distilled_envs.envs.atari import FRAMES
from distilled_envs.learners.encoder import make_encoder
from distilled_envs.learners.networks import make_policy
from distilled_envs.learners.population import Population
from distilled_envs.spec import LearnerSpec, TaskSpec

LEVELS = range(5)


def cnn(level: int) -> LearnerSpec:
    return LearnerSpec("nature-cnn", (512,), "relu", encoder_level=level)


def in_double(population: Population) -> Population:
    parameters = {name: value.double() for name, value in population.parameters.items()}
    return Population(population.network, parameters)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_population_gives_what_each_network_gives(activation):
    spec = LearnerSpec(hidden_sizes=(16, 8), activation=activation)
    population = Population.draw(spec, TaskSpec("categorical", (6,), 3), 4)
    assert len(population) == 4
    shared, own = torch.randn(5, 6), torch.randn(4, 5, 6)
    for i in range(4):
        policy = make_policy(spec, (6,), 3)
        policy.load_state_dict({name: value[i] for name, value in population.parameters.items()})
        torch.testing.assert_close(population(shared)[i], policy(shared))
        torch.testing.assert_close(population(own)[i], policy(own[i]))


@pytest.mark.parametrize("level", LEVELS)
def test_a_population_of_cnns_gives_what_each_network_gives(level):
    spec = cnn(level)
    frames = torch.randint(0, 256, (2, *FRAMES)).float()
    encoder = make_encoder(spec, frames)
    features = encoder(frames)
    population = Population.draw(spec, TaskSpec("categorical", FRAMES, 6), 3)
    outputs = population(features)
    assert outputs.shape == (3, 2, 6)
    own = population(torch.stack([features, features, 0.5 * features]))
    for i in range(3):
        policy = make_policy(spec, FRAMES, 6)
        policy.load_state_dict({name: value[i] for name, value in population.parameters.items()})
        torch.testing.assert_close(outputs[i], policy(features), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            own[i], policy(features * (0.5 if i == 2 else 1)), atol=1e-5, rtol=1e-4
        )


def test_population_step_equals_sgd_on_each_network(dataset):
    fresh = Population.draw(dataset.spec.learner, dataset.spec.task, 3)
    stepped = fresh.step(dataset.observations, dataset.targets, 0.5).parameters
    for i in range(3):
        policy = dataset.new_policy()
        policy.load_state_dict({name: value[i] for name, value in fresh.parameters.items()})
        reference = dataset.new_policy()
        reference.load_state_dict(policy.state_dict())
        sgd = torch.optim.SGD(reference.parameters(), lr=0.5)
        nn.functional.mse_loss(reference(dataset.observations), dataset.targets).backward()
        sgd.step()
        dataset.train(policy)
        for name, value in policy.state_dict().items():
            torch.testing.assert_close(value, reference.state_dict()[name])
            torch.testing.assert_close(value, stepped[name][i])


def test_meta_gradient_agrees_with_finite_differences():
    """Through the inner step, into observations, targets and learning rate, in float64."""
    spec = LearnerSpec(hidden_sizes=(5, 4))
    torch.manual_seed(0)
    fresh = in_double(Population.draw(spec, TaskSpec("categorical", (3,), 2), 2))
    probe = torch.randn(2, 6, 3, dtype=torch.double)
    direction = torch.randn(2, 6, 2, dtype=torch.double)

    def outer_loss(observations, targets, log_learning_rate):
        learners = fresh.step(observations, targets, log_learning_rate.exp(), keep_graph=True)
        return (learners(probe).log_softmax(-1) * direction).sum()

    inputs = [
        torch.randn(4, 3, dtype=torch.double),
        torch.randn(4, 2, dtype=torch.double),
        torch.tensor(0.3, dtype=torch.double),
    ]
    for value in inputs:
        value.requires_grad_()
    gradients = torch.autograd.grad(outer_loss(*inputs), inputs)
    eps = 1e-6
    for which, gradient in enumerate(gradients):
        assert gradient.abs().max() > 1e-4  # the comparison is not of zeros
        for place in range(gradient.numel()):
            shifted = []
            for sign in (1, -1):
                moved = [value.detach().clone() for value in inputs]
                moved[which].view(-1)[place] += sign * eps
                shifted.append(outer_loss(*moved).detach())
            numeric = (shifted[0] - shifted[1]) / (2 * eps)
            torch.testing.assert_close(gradient.reshape(-1)[place], numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("level", LEVELS)
def test_the_meta_gradient_of_a_cnn_reaches_the_rows_as_numbers_say(level):
    """Through the inner step, against a difference quotient, in double precision."""
    spec, shape = cnn(level), (1, 36, 36)
    encoder = make_encoder(spec, 255 * torch.rand(8, *shape)).double()
    task, generator = TaskSpec("categorical", shape, 2), torch.Generator().manual_seed(0)
    fresh = in_double(Population.draw(spec, task, 2, generator))
    rows = (255 * torch.rand(2, *shape, dtype=torch.double)).requires_grad_()
    targets = torch.randn(2, 2, dtype=torch.double)
    seen = encoder(255 * torch.rand(3, *shape, dtype=torch.double)).detach()

    def loss(rows):
        learners = fresh.step(encoder(rows), targets, 0.01, keep_graph=True)
        return learners(seen).square().sum()

    (gradient,) = torch.autograd.grad(loss(rows), rows)
    direction = torch.randn_like(rows)
    step = 1e-5 * direction
    quotient = (loss(rows + step) - loss(rows - step)) / 2e-5
    torch.testing.assert_close((gradient * direction).sum(), quotient, rtol=1e-3, atol=1e-8)
    assert gradient.abs().max() > 0


def test_a_network_that_is_not_finite_is_found():
    population = Population.draw(LearnerSpec(), TaskSpec("categorical", (3,), 2), 4)
    assert population.is_finite()
    population.parameters["2.bias"][3, 0] = float("inf")
    assert not population.is_finite()


def test_a_step_leaves_the_fresh_networks_as_they_were(dataset):
    fresh = Population.draw(dataset.spec.learner, dataset.spec.task, 2)
    before = {name: value.clone() for name, value in fresh.parameters.items()}
    fresh.step(dataset.observations, dataset.targets, 0.5)
    assert all(torch.equal(fresh.parameters[name], value) for name, value in before.items())
