"""Better starts than a random policy: the best constant action, or a learner of another dataset.

In some games rewards come late and at random, and the policy gradient of a random player is almost
only noise. A player that repeats one action is easy to evaluate, and can be far better (Bellemare
et al., "The Arcade Learning Environment", 2013, baseline "Const").
"""

import contextlib
import math

import numpy as np
import torch
from torch import Tensor, nn

from distilled_envs.bars import tqdm
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.evaluation.episodes import first_episodes
from distilled_envs.learners.actions import action_distribution, as_taken
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.settings import Settings
from distilled_envs.training.world import World

EPISODES = 8
"""Episodes of each action in the first round of the trial, side by side."""
STEPS = 2000
"""Steps after which an episode of the trial is cut, for games that one action never ends."""
START_ENTROPY = 0.7
"""Entropy that a guide starts with, as a share of that of uniformly random actions."""


def best_constant_action(
    settings: Settings, world: World, *, progress: bool = True
) -> tuple[int, int]:
    """The action that pays best when it is repeated through whole episodes.

    Each round plays as many episodes as the one before, with the best quarter of its actions, so
    that the good ones are told apart by more episodes each (Karnin et al., "Almost Optimal
    Exploration in Multi-Armed Bandits", 2013: successive halving, here quartering).

    Args:
        settings: The run's settings.
        world: The environment, of discrete actions.
        progress: Whether to show a progress bar.

    Returns:
        The action with the highest mean return, in the environment's rewards, and the environment
        steps of the trial.
    """
    n_actions = world.task.n_outputs
    candidates, steps, seed = np.arange(n_actions), 0, settings.seed
    while len(candidates) > 1:
        players = np.repeat(candidates, EPISODES * n_actions // len(candidates))
        returns, taken = _returns(settings, world, players, seed, progress)
        steps += taken
        seed += len(players)  # each copy has a seed of its own, and no game is played twice
        best = (-returns.reshape(len(candidates), -1).mean(1)).argsort(kind="stable")
        candidates = candidates[best[: max(1, len(candidates) // 4)]]
    return int(candidates[0]), steps


@torch.no_grad()
def prefer(run: MetaPPO, action: int, probability: float = 0.97) -> None:
    """Make learners prefer an action, by adding a constant to its targets.

    The constant is doubled until it is large enough, and then bisected.

    Args:
        run: The run before its first iteration.
        action: The action.
        probability: Mean probability that learners then give it, in what a random player sees.

    Raises:
        SettingsError: No constant is large enough.
    """
    fresh = run.fresh_learners()
    seen = run.view(run.actors.at_random(run.settings.horizon, 128))
    targets = run.batch.targets[:, action].clone()

    def chosen(shift: float) -> float:
        run.batch.targets[:, action] = targets + shift
        return run.after_step(fresh)(seen).softmax(-1)[..., action].mean().item()

    low, high = 0.0, 1.0
    while chosen(high) < probability:
        low, high = high, 2 * high
        if high > 1000:
            raise SettingsError(
                f"Learners can't be made to prefer action {action} by their targets: choose a "
                "larger initial_inner_learning_rate, or leave out constant_start."
            )
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if chosen(middle) < probability else (low, middle)
    chosen(high)


@torch.no_grad()
def start_as_learner(policy: nn.Sequential, dataset: DistilledDataset, seen: Tensor) -> None:
    """Make a policy a learner of a dataset, with logits scaled down so that it explores.

    Learners are nearly deterministic at the end of a run, and training that starts from them finds
    little that is new. Logits divided by a temperature keep the order of actions.

    Args:
        policy: Of the learners' architecture; changed in place.
        dataset: The dataset, of categorical actions.
        seen: Observations ``(n, *shape)``. The temperature is raised until the mean entropy on
            them is at least :data:`START_ENTROPY` of the highest possible.
    """
    learner = dataset.new_learners(1).parameters
    policy.load_state_dict({name: value[0] for name, value in learner.items()})
    outputs = policy(dataset.encoder(seen) if dataset.encoder else seen)
    task, temperature = dataset.spec.task, 1.0
    wanted = START_ENTROPY * sum(math.log(alternatives) for alternatives in task.parts)
    while action_distribution(task, outputs / temperature, None).entropy().mean() < wanted:
        temperature *= 1.1
    for parameter in [*policy.parameters()][-2:]:  # of the last layer
        parameter.div_(temperature)


def _returns(
    settings: Settings, world: World, actions: np.ndarray, seed: int, progress: bool
) -> tuple[np.ndarray, int]:
    """Returns ``(n,)`` of players that repeat one action each, and the environment steps taken."""
    taken = as_taken(world.actions, actions)
    bar = tqdm(total=STEPS, desc="players of one action", leave=False, disable=not progress)

    def act(seen: np.ndarray, going: np.ndarray) -> np.ndarray:
        bar.update()
        return taken

    env = make_training_envs(settings, world, seed, len(actions))
    with bar, contextlib.closing(env):
        returns, lengths = first_episodes(env, act, STEPS, seed)
    return returns, int(lengths.max()) * len(actions)
