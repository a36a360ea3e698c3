"""The learner's network: its initialisation and its forward pass, alone or as a population.

A population is L networks side by side: parameters keep the names of the single network's
``state_dict`` and gain a leading dimension L, so that one batched matrix product serves all.
Convolutions go one network after the other: grouped ones are slower.
"""

import itertools
import operator

import torch
from torch import Tensor, nn
from torch.nn import functional

from distilled_envs.spec import LearnerSpec

Parameters = dict[str, Tensor]

CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
"""Channels, kernel size and stride of the Nature CNN (Mnih et al., 2015)."""

SILENT = 0.98
"""Share of an encoder's last feature maps that starts silent."""

_ACTIVATIONS = {"tanh": (nn.Tanh, torch.tanh), "relu": (nn.ReLU, torch.relu)}
_CUTS = (0, 3, 5, 8, 10)  # where the modules of a CNN are split, by encoder level


class Scale(nn.Module):
    """Frames of 0 to 255 as numbers from 0 to 1."""

    def forward(self, frames: Tensor) -> Tensor:
        """Divide ``(n, stack, height, width)`` by 255."""
        if frames.dtype == torch.uint8:  # one copy does it all: type, channels last, bfloat16
            device = frames.device.type
            kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
            frames = frames.to(dtype=kind or torch.float32, memory_format=torch.channels_last)
            return frames.div_(255)
        return frames / 255


def initial_parameters(
    spec: LearnerSpec,
    observation_shape: tuple[int, ...],
    n_outputs: int,
    population: int,
    generator: torch.Generator | None = None,
) -> Parameters:
    """Draw fresh networks.

    Args:
        spec: Architecture and initialisation.
        observation_shape: Shape of one observation; a learner behind an encoder sees its features.
        n_outputs: Outputs.
        population: Number of networks L.
        generator: Source of randomness; None takes torch's global one.

    Returns:
        Weights ``(L, out, in)`` or ``(L, out, in, k, k)`` and biases ``(L, out)``, named as in
        :func:`make_policy`.
    """
    modules = nn.Sequential(*_split_modules(spec, observation_shape, n_outputs)[1])
    layers = {name: part for name, part in modules.named_children() if hasattr(part, "weight")}
    initialisation, parameters = spec.initialisation, {}
    for place, (name, layer) in enumerate(layers.items()):
        size_out, *incoming = layer.weight.shape
        size_in = layer.weight[0].numel()
        shape, bias = (population, size_out, size_in), torch.zeros(population, size_out)
        if initialisation.kind == "orthogonal":
            last = place == len(layers) - 1
            gain = initialisation.output_gain if last else initialisation.hidden_gain
            weight = gain * _orthogonal(*shape, generator)
        elif initialisation.kind == "xavier":
            # Of a convolution, torch counts the outputs at all places of its kernel.
            bound = (6 / (size_in + layer.weight[:, 0].numel())) ** 0.5
            weight = torch.empty(shape).uniform_(-bound, bound, generator=generator)
        else:
            bound = size_in**-0.5
            weight = torch.empty(shape).uniform_(-bound, bound, generator=generator)
            bias.uniform_(-bound, bound, generator=generator)
        parameters[f"{name}.weight"] = weight.unflatten(-1, incoming)
        parameters[f"{name}.bias"] = bias
    return parameters


def forward(spec: LearnerSpec, parameters: Parameters, observations: Tensor) -> Tensor:
    """Outputs of every network of a population.

    Args:
        spec: Architecture.
        parameters: Stacked parameters of L networks.
        observations: ``(L, n, *shape)``, or ``(n, *shape)`` to show all of them the same, where
            shape is that of an observation, or of an encoder's features.

    Returns:
        Outputs ``(L, n, n_outputs)``.
    """
    activation = _ACTIVATIONS[spec.activation][1]
    weights = [value for name, value in parameters.items() if name.endswith("weight")]
    biases = [value for name, value in parameters.items() if name.endswith("bias")]
    one = weights[0].dim() - 2  # dimensions of one input: 1 of numbers, 3 of an image
    hidden = observations.expand(len(weights[0]), *observations.shape[-one - 1 :])
    if spec.architecture == "nature-cnn" and spec.encoder_level == 0:
        hidden = hidden / 255
    strides = {size: stride for _, size, stride in CONVOLUTIONS}
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if weight.dim() == 5:
            stride, networks = strides[weight.shape[-1]], zip(hidden, weight, bias, strict=True)
            hidden = torch.stack([functional.conv2d(*each, stride) for each in networks])
        else:
            hidden = torch.baddbmm(bias.unsqueeze(1), hidden.flatten(2), weight.mT)
        if layer < len(weights) - 1:
            hidden = activation(hidden)
    return hidden


def make_policy(
    spec: LearnerSpec,
    observation_shape: tuple[int, ...],
    n_outputs: int,
    *,
    seed: int | None = None,
) -> nn.Sequential:
    """One fresh network as an ordinary module: observations ``(n, *shape)`` to outputs.

    Args:
        spec: Architecture and initialisation.
        observation_shape: Shape of one observation; the module of a learner behind an encoder takes
            its features.
        n_outputs: Outputs.
        seed: Seed of the initialisation; None draws from torch's global generator.
    """
    generator = None if seed is None else torch.Generator().manual_seed(operator.index(seed))
    parameters = initial_parameters(spec, observation_shape, n_outputs, 1, generator)
    policy = nn.Sequential(*_split_modules(spec, observation_shape, n_outputs)[1])
    policy.to_empty(device="cpu")
    policy.load_state_dict({name: value[0] for name, value in parameters.items()})
    return policy


def empty_encoder(spec: LearnerSpec, observation_shape: tuple[int, ...]) -> nn.Sequential:
    """The layers that learners share, observations ``(n, *shape)`` to features, without memory.

    Args:
        spec: Architecture; its encoder level says where the network is split.
        observation_shape: Shape of one observation.
    """
    return nn.Sequential(*_split_modules(spec, observation_shape, 1)[0])


def make_encoder(
    spec: LearnerSpec, observations: Tensor, given: nn.Sequential | None = None
) -> nn.Sequential:
    """The layers of :func:`empty_encoder`, orthogonal, and scaled to what they will see.

    Two frames of a game differ in a handful of pixels, and so little do a random network's
    features of them (in Pong by 5 parts in 100) that a step on a few rows changes all of a
    learner's answers alike. So each channel or unit starts with mean 0 and variance 1 over
    observations (Krahenbuhl et al., "Data-dependent Initializations of Convolutional Neural
    Networks", 2016). A convolution at the end is shifted and scaled once more, so that 2% of each
    channel's places are active, and their mean square is 1 over all places.

    Args:
        spec: Architecture; its encoder level says where the network is split.
        observations: What the network is for, ``(n, *shape)``, n at least 2.
        given: Another encoder, whose layers are taken where their shapes fit. One of the same
            level is taken as it is.
    """
    encoder = empty_encoder(spec, tuple(observations.shape[1:])).to_empty(device="cpu")
    hidden, known = observations, [] if given is None else [*given]
    with torch.no_grad():
        for layer, own in itertools.zip_longest(encoder, known[: len(encoder)]):
            if hasattr(own, "weight") and own.weight.shape == layer.weight.shape:
                layer.load_state_dict(own.state_dict())
            elif hasattr(layer, "weight"):
                nn.init.orthogonal_(layer.weight)
                nn.init.zeros_(layer.bias)
                drawn = layer(hidden)
                others = tuple(place for place in range(drawn.dim()) if place != 1)
                mean, std = drawn.mean(others), drawn.std(others)
                std = std.clamp(min=0.1 * std.mean()).clamp(min=1e-6)  # a unit may see no change
                layer.weight /= std.view(-1, *[1] * (layer.weight.dim() - 1))
                layer.bias -= mean / std
            hidden = layer(hidden)
        if len(known) != len(encoder):  # the fresh layers that follow did not follow before
            _silence_background(encoder, observations)
    return encoder


def _silence_background(encoder: nn.Sequential, observations: Tensor) -> None:
    """Make a convolution at the encoder's end answer only where it answers most.

    Fresh layers follow, which weigh all places alike: what stands still on the screen would drown
    what moves.
    """
    places = [place for place, layer in enumerate(encoder) if hasattr(layer, "weight")]
    if not places or not isinstance(layer := encoder[places[-1]], nn.Conv2d):
        return
    drawn = encoder[: places[-1] + 1](observations).transpose(0, 1).flatten(1)
    threshold = drawn.quantile(SILENT, dim=1)
    size = (drawn - threshold.unsqueeze(1)).relu().square().mean().sqrt().clamp(min=1e-6)
    layer.weight /= size
    layer.bias.sub_(threshold).div_(size)


def _split_modules(
    spec: LearnerSpec, observation_shape: tuple[int, ...], n_outputs: int
) -> tuple[list[nn.Module], list[nn.Module]]:
    """The modules of the encoder and of the learner, without memory."""
    activation = _ACTIVATIONS[spec.activation][0]
    modules: list[nn.Module] = []
    with torch.device("meta"):
        if spec.architecture == "nature-cnn":
            channels, *size = observation_shape
            modules.append(Scale())
            for to, kernel, stride in CONVOLUTIONS:
                modules += [nn.Conv2d(channels, to, kernel, stride), activation()]
                channels, size = to, [(each - kernel) // stride + 1 for each in size]
            modules.append(nn.Flatten())
            inputs = channels * size[0] * size[1]
        else:
            (inputs,) = observation_shape
        for units in spec.hidden_sizes:
            modules += [nn.Linear(inputs, units), activation()]
            inputs = units
        modules.append(nn.Linear(inputs, n_outputs))
    cut = _CUTS[spec.encoder_level]
    return modules[:cut], modules[cut:]


def _orthogonal(
    population: int, size_out: int, size_in: int, generator: torch.Generator | None
) -> Tensor:
    """Orthogonal matrices ``(population, size_out, size_in)``: torch's, for many at once."""
    tall, narrow = max(size_out, size_in), min(size_out, size_in)
    drawn = torch.randn(population, tall, narrow, generator=generator)
    if narrow >= 256 and tall >= 2 * narrow:
        # Far from singular, so that Cholesky's factor serves, in a quarter of the time.
        r = torch.linalg.cholesky(drawn.mT @ drawn, upper=True)
        q = torch.linalg.solve_triangular(r, drawn, upper=True, left=False)
    else:
        q, r = torch.linalg.qr(drawn)
    # The signs make the distribution uniform (Mezzadri, 2007).
    q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
    return (q if size_out >= size_in else q.mT).contiguous()
