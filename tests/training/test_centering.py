"""Layers that learn around the mean of their inputs."""

import pytest
import torch
from torch import nn

from distilled_envs.training.centering import (
    SHARED_GRADIENT,
    Centered,
    center,
    centered,
    damp_shared_gradient,
    plain,
)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 3 * 3, 5), nn.ReLU()
    )


def test_it_is_the_same_function_there_and_back():
    ordinary, inputs = network(), 3 + torch.rand(16, 2, 7, 7)
    expected = ordinary(inputs)
    changed = centered(ordinary)
    center(changed, inputs)
    torch.testing.assert_close(changed(inputs), expected)
    for parameter in changed.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    moved, back = changed(inputs), plain(changed)
    assert not torch.allclose(moved, expected, atol=0.01)
    torch.testing.assert_close(back(inputs), moved, rtol=1e-4, atol=1e-4)
    assert [*back.state_dict()] == [*network().state_dict()]


def test_it_can_be_centered_anew():
    one, inputs = centered(network()), 5 + torch.rand(16, 2, 7, 7)
    center(one, torch.rand(8, 2, 7, 7))
    before = one(inputs)
    torch.testing.assert_close(center(one, inputs), before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one(inputs), before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one[0].mean, inputs.mean((0, 2, 3)))
    torch.testing.assert_close(one[3].mean, one[:3](inputs).mean(0))


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 3, 2)])
def test_what_moves_all_answers_alike_moves_the_bias_alone(layer):
    shape = (32, 4) if isinstance(layer, nn.Linear) else (32, 4, 5, 5)
    inputs = 10 + torch.rand(shape)
    part = Centered(layer)
    part.center(inputs)
    part(inputs).sum().backward()
    assert layer.weight.grad.abs().max() < 0.05 * layer.bias.grad.abs().max()
    assert layer.bias.grad.abs().min() > 1


def test_a_mean_survives_saving():
    inputs = torch.rand(8, 2, 7, 7)
    one, other = centered(network()), centered(network())
    center(one, inputs)
    center(other, torch.rand(8, 2, 7, 7))
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(inputs), one(inputs))


def test_the_gradient_that_all_share_is_damped():
    outputs = torch.randn(2, 8, 3, requires_grad=True)
    torch.testing.assert_close(damp_shared_gradient(outputs), outputs)
    wanted = torch.randn(2, 8, 3)
    (damp_shared_gradient(outputs) * wanted).sum().backward()
    mean = wanted.mean((0, 1))
    torch.testing.assert_close(outputs.grad.mean((0, 1)), SHARED_GRADIENT * mean)
    torch.testing.assert_close(outputs.grad - SHARED_GRADIENT * mean, wanted - mean)


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 3, 2)])
def test_rounding_leaves_gradients(layer):
    shape = (256, 4) if isinstance(layer, nn.Linear) else (256, 4, 5, 5)
    torch.manual_seed(0)
    layer.reset_parameters()  # drawn anew: of what is rounded some errors are larger than others
    inputs = 1 + 0.1 * torch.randn(shape)
    part, wanted = Centered(layer), 1 + inputs.flatten(1)[:, :1]
    part.center(inputs)
    gradients = []
    for rounded in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            outputs = part(inputs).float()
        loss = (outputs.flatten(1) * wanted).sum()
        gradients.append(torch.autograd.grad(loss, layer.weight)[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0.02, atol=0.5)
