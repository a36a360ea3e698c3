"""Better starts than a random policy: an action that is preferred, a learner of another dataset."""

import math

import torch
from torch import Tensor, nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.learners.actions import action_distribution
from distilled_envs.training.meta_ppo import MetaPPO

START_ENTROPY = 0.7
"""Entropy that a guide starts with, as a share of that of uniformly random actions."""


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
