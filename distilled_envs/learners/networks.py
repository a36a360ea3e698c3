"""The learner's network: its layers, where they are split, and how they are drawn."""

from typing import TypeGuard

import torch
from torch import Tensor, nn

from distilled_envs.seeds import checked_seed
from distilled_envs.spec import LearnerSpec

CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
"""Channels, kernel size and stride of the Nature CNN (Mnih et al., 2015)."""
NATURE = LearnerSpec("nature-cnn", (512,), "relu", encoder_level=0)
"""The whole of it."""

ACTIVATIONS = {"tanh": (nn.Tanh, torch.tanh), "relu": (nn.ReLU, torch.relu)}
_CUTS = (0, 3, 5, 8, 10)  # where the modules of a CNN are split, by encoder level
_LAYER = 2  # modules to each hidden layer of an MLP


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


class Layer(nn.Module):
    """For type checkers: what linear layers and convolutions have in common."""

    weight: Tensor
    bias: Tensor


def has_weights(module: object) -> TypeGuard[Layer]:
    """Whether a module is a layer with weights."""
    return hasattr(module, "weight")


def draw_parameters(
    spec: LearnerSpec,
    observation_shape: tuple[int, ...],
    n_outputs: int,
    population: int,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Draw the stacked parameters of a population; see :class:`.population.Population`.

    Args:
        spec: Architecture and initialization.
        observation_shape: Shape of one observation; a learner behind an encoder sees its features.
        n_outputs: Outputs.
        population: Number of networks L.
        generator: Source of randomness; None takes torch's global one.

    Returns:
        Weights ``(L, out, in)`` or ``(L, out, in, k, k)`` and biases ``(L, out)``, named as in
        :func:`make_policy`.
    """
    modules = nn.Sequential(*split_modules(spec, observation_shape, n_outputs)[1])
    layers = {name: part for name, part in modules.named_children() if has_weights(part)}
    initialization, parameters = spec.initialization, {}
    for place, (name, layer) in enumerate(layers.items()):
        size_out, *incoming = layer.weight.shape
        size_in = layer.weight[0].numel()
        shape = population, size_out, size_in
        bias = torch.zeros(population, size_out, dtype=torch.float32)
        if initialization.kind == "orthogonal":
            last = place == len(layers) - 1
            gain = initialization.output_gain if last else initialization.hidden_gain
            weight = gain * _orthogonal(*shape, generator)
        elif initialization.kind == "xavier":
            # Of a convolution, torch counts the outputs at all places of its kernel.
            bound = (6 / (size_in + layer.weight[:, 0].numel())) ** 0.5
            weight = torch.empty(shape, dtype=torch.float32)
            weight.uniform_(-bound, bound, generator=generator)
        else:
            bound = size_in**-0.5
            weight = torch.empty(shape, dtype=torch.float32)
            weight.uniform_(-bound, bound, generator=generator)
            bias.uniform_(-bound, bound, generator=generator)
        parameters[f"{name}.weight"] = weight.unflatten(-1, incoming)
        parameters[f"{name}.bias"] = bias
    return parameters


def make_policy(
    spec: LearnerSpec,
    observation_shape: tuple[int, ...],
    n_outputs: int,
    *,
    seed: int | None = None,
) -> nn.Sequential:
    """One fresh network as an ordinary module: observations ``(n, *shape)`` to outputs.

    Args:
        spec: Architecture and initialization.
        observation_shape: Shape of one observation; the module of a learner behind an encoder takes
            its features.
        n_outputs: Outputs.
        seed: Seed of the initialization; None draws from torch's global generator.
    """
    generator = None if seed is None else torch.Generator().manual_seed(checked_seed(seed))
    parameters = draw_parameters(spec, observation_shape, n_outputs, 1, generator)
    policy = nn.Sequential(*split_modules(spec, observation_shape, n_outputs)[1])
    policy.to_empty(device="cpu")
    policy.load_state_dict({name: value[0] for name, value in parameters.items()})
    return policy


def empty_encoder(spec: LearnerSpec, observation_shape: tuple[int, ...]) -> nn.Sequential:
    """The layers that learners share, observations ``(n, *shape)`` to features, without memory.

    Args:
        spec: Architecture; its encoder level says where the network is split.
        observation_shape: Shape of one observation.
    """
    return nn.Sequential(*split_modules(spec, observation_shape, 1)[0])


def split_modules(
    spec: LearnerSpec, observation_shape: tuple[int, ...], n_outputs: int
) -> tuple[list[nn.Module], list[nn.Module]]:
    """The modules of the encoder and of the learner, without memory."""
    activation = ACTIVATIONS[spec.activation][0]
    modules: list[nn.Module] = []
    with torch.device("meta"):
        if spec.architecture == "nature-cnn":
            channels, *size = observation_shape
            modules.append(Scale())
            for to, kernel, stride in CONVOLUTIONS:
                modules.append(nn.Conv2d(channels, to, kernel, stride, dtype=torch.float32))
                modules.append(activation())
                channels, size = to, [(each - kernel) // stride + 1 for each in size]
            modules.append(nn.Flatten())
            inputs = channels * size[0] * size[1]
        else:
            (inputs,) = observation_shape
        for units in spec.hidden_sizes:
            modules += [nn.Linear(inputs, units, dtype=torch.float32), activation()]
            inputs = units
        modules.append(nn.Linear(inputs, n_outputs, dtype=torch.float32))
    cnn, level = spec.architecture == "nature-cnn", spec.encoder_level
    cut = _CUTS[level] if cnn else _LAYER * level
    return modules[:cut], modules[cut:]


def _orthogonal(
    population: int, size_out: int, size_in: int, generator: torch.Generator | None
) -> Tensor:
    """Orthogonal matrices ``(population, size_out, size_in)``: torch's, for many at once."""
    tall, narrow = max(size_out, size_in), min(size_out, size_in)
    drawn = torch.randn(population, tall, narrow, generator=generator, dtype=torch.float32)
    if narrow >= 256 and tall >= 2 * narrow:
        # Far from singular, so that Cholesky's factor serves, in a quarter of the time.
        r = torch.linalg.cholesky(drawn.mT @ drawn, upper=True)
        q = torch.linalg.solve_triangular(r, drawn, upper=True, left=False)
    else:
        q, r = torch.linalg.qr(drawn)
    # The signs make the distribution uniform (Mezzadri, 2007).
    q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
    return (q if size_out >= size_in else q.mT).contiguous()
