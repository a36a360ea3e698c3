"""The three ways to a policy, and what ten networks that took one get in the real environment."""

import contextlib
import copy
import functools
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.demo.choices import Network
from distilled_envs.demo.networks import draw
from distilled_envs.envs.making import ending
from distilled_envs.envs.real import make_ending_vec_env
from distilled_envs.errors import FitWarning, OneStepWarning, SettingsError
from distilled_envs.evaluation.episodes import first_episodes
from distilled_envs.evaluation.players import (
    player_of,
    player_of_outputs,
    side_by_side,
    together,
)
from distilled_envs.evaluation.yardsticks import random_returns
from distilled_envs.expanded import ExpandedDataset
from distilled_envs.learners.generators import kept_generators
from distilled_envs.learners.threads import torch_threads

NETWORKS = 10
STEPS_OF_A_GAME = 1_000
"""Steps after which an episode of a game is cut here: ten networks that play Pong take minutes."""


@dataclass(frozen=True)
class Trained:
    """Networks before and after their training.

    Attributes:
        before: As they were drawn.
        after: The same, trained.
        seconds: What the training of one took, on average.
    """

    before: list[nn.Module]
    after: list[nn.Module]
    seconds: float


def step(dataset: DistilledDataset, policy: nn.Module, seed: int) -> None:
    """One gradient step, whatever comes of it: the page says that before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OneStepWarning)
        dataset.train(policy)


def initialize_and_step(dataset: DistilledDataset, policy: nn.Module, seed: int) -> None:
    """Draw the layers anew for this dataset, then one gradient step."""
    dataset.initialize(policy, seed=seed)
    step(dataset, policy, seed)


FITTED = 200_000
"""Parameters of a network that the page fits. Ten of three layers of 256 units
take half a minute."""


def fit(dataset: DistilledDataset, policy: nn.Module, seed: int) -> None:
    """Ordinary training on expanded rows.

    Raises:
        SettingsError: The dataset is of a game, or the network too large.
    """
    if dataset.spec.has_frames:
        raise SettingsError(
            "Fitting a network to a game takes an hour of a processor, too long for a page: use "
            "dataset.fit in Python instead."
        )
    count = sum(each.numel() for each in policy.parameters())
    if count > FITTED:
        raise SettingsError(
            f"Fitting ten networks of {count:,} parameters takes minutes, too long for a page, "
            f"which fits networks of up to {FITTED:,}: use dataset.fit in Python instead."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        dataset.fit(policy, _pairs(dataset), seed=seed)


WAYS: dict[str, Callable[[DistilledDataset, nn.Module, int], None]] = {
    "one step": step,
    "initialize, one step": initialize_and_step,
    "fit": fit,
}


def train(dataset: DistilledDataset, network: Network, way: str) -> Iterator[Trained]:
    """Draw ten networks and train them, one after another.

    Args:
        dataset: What they learn.
        network: What they are.
        way: A key of :data:`WAYS`.

    Yields:
        Those that are trained so far.

    Raises:
        DistilledEnvsError: They can't be.
    """
    network.check(dataset.spec)
    before: list[nn.Module] = []
    after: list[nn.Module] = []
    spent = 0.0
    for seed in range(NETWORKS):
        before.append(draw(dataset, network, seed))
        after.append(copy.deepcopy(before[-1]))
        start = time.perf_counter()
        WAYS[way](dataset, after[-1], seed)
        spent += time.perf_counter() - start
        yield Trained(before, after, spent / len(after))


@torch_threads(1)
@torch.no_grad()
def loss(dataset: DistilledDataset, policy: nn.Module) -> float:
    """Mean squared error of a network on the rows."""
    return float((policy(dataset.observations) - dataset.targets).square().mean())


@torch_threads(1)
def returns(dataset: DistilledDataset, policies: list[nn.Module]) -> np.ndarray:
    """Returns ``(policies,)`` of an episode each, of likeliest actions or as people watch it.

    Raises:
        DistilledEnvsError: The environment can't be made here.
    """
    task, greedy = dataset.spec.task, dataset.spec.shown_by == "greedy"
    with contextlib.closing(make_ending_vec_env(dataset.spec, len(policies))) as env:
        # Networks have no memory, to which it would matter where episodes start.
        space = env.single_action_space
        if (outputs := together(policies)) is not None:
            act = player_of_outputs(outputs, task, space, greedy=greedy)
        else:
            act = side_by_side([player_of(each, task, space, greedy=greedy) for each in policies])
        with kept_generators():
            torch.manual_seed(0)
            return first_episodes(env, act, _longest(dataset), seed=0).returns


@functools.lru_cache(maxsize=16)
def random_return(dataset: DistilledDataset) -> float:
    """Mean return of uniformly random actions, of as many episodes as there are networks."""
    return float(random_returns(dataset.spec, NETWORKS, _longest(dataset), seed=0).mean())


def _longest(dataset: DistilledDataset) -> int:
    """Steps after which an episode is cut."""
    if dataset.spec.has_frames:
        return STEPS_OF_A_GAME
    return ending(dataset.spec.env).max_episode_steps or STEPS_OF_A_GAME


@functools.lru_cache(maxsize=2)
def _pairs(dataset: DistilledDataset) -> ExpandedDataset:
    return dataset.expand()
