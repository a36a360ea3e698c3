"""The learner's network: its initialisation and its forward pass, alone or as a population.

A population is L networks side by side: parameters keep the names of the single network's
``state_dict`` and gain a leading dimension L, so that one batched matrix product serves all.
Another architecture is another branch in these three functions.
"""

import itertools

import torch
from torch import Tensor, nn

from distilled_envs.spec import LearnerSpec

Parameters = dict[str, Tensor]

_ACTIVATIONS = {"tanh": (nn.Tanh, torch.tanh), "relu": (nn.ReLU, torch.relu)}


def initial_parameters(
    spec: LearnerSpec,
    n_inputs: int,
    n_outputs: int,
    population: int,
    generator: torch.Generator | None = None,
) -> Parameters:
    """Draw fresh networks.

    Args:
        spec: Architecture and initialisation.
        n_inputs: Observation coordinates.
        n_outputs: Outputs.
        population: Number of networks L.
        generator: Source of randomness; None takes torch's global one.

    Returns:
        Weights ``(L, out, in)`` and biases ``(L, out)``, named as in :func:`make_policy`.
    """
    sizes = (n_inputs, *spec.hidden_sizes, n_outputs)
    last = len(sizes) - 2
    parameters = {}
    for layer, (size_in, size_out) in enumerate(itertools.pairwise(sizes)):
        initialisation, shape = spec.initialisation, (population, size_out, size_in)
        bias = torch.zeros(population, size_out)
        if initialisation.kind == "orthogonal":
            gain = initialisation.output_gain if layer == last else initialisation.hidden_gain
            weight = gain * _orthogonal(*shape, generator)
        elif initialisation.kind == "xavier":
            bound = (6 / (size_in + size_out)) ** 0.5
            weight = torch.empty(shape).uniform_(-bound, bound, generator=generator)
        else:
            bound = size_in**-0.5
            weight = torch.empty(shape).uniform_(-bound, bound, generator=generator)
            bias.uniform_(-bound, bound, generator=generator)
        # Linear layers stand at even places, activations between them.
        parameters[f"{2 * layer}.weight"], parameters[f"{2 * layer}.bias"] = weight, bias
    return parameters


def forward(spec: LearnerSpec, parameters: Parameters, observations: Tensor) -> Tensor:
    """Outputs of every network of a population.

    Args:
        spec: Architecture.
        parameters: Stacked parameters of L networks.
        observations: ``(L, n, n_inputs)``, or ``(n, n_inputs)`` to show all of them the same.

    Returns:
        Outputs ``(L, n, n_outputs)``.
    """
    activation = _ACTIVATIONS[spec.activation][1]
    weights = [value for name, value in parameters.items() if name.endswith("weight")]
    biases = [value for name, value in parameters.items() if name.endswith("bias")]
    hidden = observations.expand(len(weights[0]), *observations.shape[-2:])
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        hidden = torch.baddbmm(bias.unsqueeze(1), hidden, weight.mT)
        if layer < len(weights) - 1:
            hidden = activation(hidden)
    return hidden


def make_policy(
    spec: LearnerSpec, n_inputs: int, n_outputs: int, *, seed: int | None = None
) -> nn.Sequential:
    """One fresh network as an ordinary module: observations ``(n, n_inputs)`` to outputs.

    Args:
        spec: Architecture and initialisation.
        n_inputs: Observation coordinates.
        n_outputs: Outputs.
        seed: Seed of the initialisation; None draws from torch's global generator.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    parameters = initial_parameters(spec, n_inputs, n_outputs, 1, generator)
    sizes = (n_inputs, *spec.hidden_sizes, n_outputs)
    layers: list[nn.Module] = []
    for size_in, size_out in itertools.pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, size_in, size_out)
        layers += [linear, _ACTIVATIONS[spec.activation][0]()]
    policy = nn.Sequential(*layers[:-1])
    policy.load_state_dict({name: value[0] for name, value in parameters.items()})
    return policy


def _orthogonal(
    population: int, size_out: int, size_in: int, generator: torch.Generator | None
) -> Tensor:
    """Orthogonal matrices ``(population, size_out, size_in)``: torch's, for many at once."""
    tall, narrow = max(size_out, size_in), min(size_out, size_in)
    q, r = torch.linalg.qr(torch.randn(population, tall, narrow, generator=generator))
    # The signs make the distribution uniform (Mezzadri, 2007).
    q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
    return (q if size_out >= size_in else q.mT).contiguous()
