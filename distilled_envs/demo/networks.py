"""Drawing the network that a visitor asked for."""

import dataclasses

import torch
from torch import nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.demo.choices import ACTIVATIONS, INITIALIZATIONS, Network, expected, inputs
from distilled_envs.learners.networks import has_weights, split_modules
from distilled_envs.spec import InitializationSpec


def draw(dataset: DistilledDataset, network: Network, seed: int) -> nn.Module:
    """A fresh network, behind the encoder where the dataset has one.

    Args:
        dataset: What it is for.
        network: Checked by :meth:`~.choices.Network.check`.
        seed: Of its initialization.
    """
    own = expected(dataset.spec)
    if dataclasses.replace(network, layers=own.layers) == own and network.sizes == own.sizes:
        return dataset.new_policy(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = _layers(dataset, network)
        chosen = INITIALIZATIONS[network.initialization] or dataset.spec.learner.initialization
        _initialize(learner, chosen)
    return learner if dataset.encoder is None else dataset.with_encoder(learner)


def _layers(dataset: DistilledDataset, network: Network) -> nn.Sequential:
    spec, activation = dataset.spec, getattr(nn, ACTIVATIONS[network.activation])
    modules: list[nn.Module] = []
    own = split_modules(spec.learner, spec.task.observation_shape, spec.task.n_outputs)[1]
    if any(isinstance(each, nn.Flatten) for each in own):  # the convolutions stay as they are
        last = next(i for i, each in enumerate(own) if isinstance(each, nn.Flatten))
        modules += [each.to_empty(device="cpu") for each in own[: last + 1]]
        for each in modules:
            if isinstance(each, nn.Conv2d):
                each.reset_parameters()
    width = inputs(spec)
    for units in network.sizes:
        modules += [nn.Linear(width, units), activation()]
        width = units
    return nn.Sequential(*modules, nn.Linear(width, spec.task.n_outputs))


def _initialize(learner: nn.Sequential, chosen: InitializationSpec) -> None:
    """Draw weights as a spec says; PyTorch's are drawn already."""
    if chosen.kind == "pytorch":
        return
    layers = [each for each in learner if has_weights(each)]
    for layer in layers:
        if chosen.kind == "xavier":
            nn.init.xavier_uniform_(layer.weight)
        else:
            gain = chosen.output_gain if layer is layers[-1] else chosen.hidden_gain
            nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
