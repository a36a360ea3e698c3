"""The one action that pays best when nothing else is played, as a place to start from.

Where scores come late and at random, a random player's policy gradient is little but noise, and
steps along it lead nowhere for a long time. A player of one action is easy to judge, and can be far
better (Bellemare et al., "The Arcade Learning Environment", 2013, baseline "Const").
"""

import numpy as np
import torch
from tqdm import trange

from distilled_envs.errors import SettingsError
from distilled_envs.learner import forward
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.settings import Settings

EPISODES = 8
"""Episodes that each action is tried in at first, side by side."""
STEPS = 2000
"""Steps that count of each, for games that one action never ends."""


def best_constant_action(
    settings: Settings, n_actions: int, *, progress: bool = True
) -> tuple[int, int]:
    """Try every action by itself, and of eight or more the best quarter again, more often.

    As many episodes for fewer actions tell good ones apart (Karnin et al., "Almost Optimal
    Exploration in Multi-Armed Bandits", 2013, successive halving, here quartering).

    Args:
        settings: The run's settings.
        n_actions: Number of the environment's discrete actions.
        progress: Whether to show a progress bar.

    Returns:
        The action with the highest mean return, in real rewards, and the environment steps that
        the trial took.
    """
    left, steps, seed = np.arange(n_actions), 0, settings.seed
    while len(left) > 1:
        players = np.repeat(left, EPISODES * n_actions // len(left))
        returns, taken = _returns(settings, players, seed, progress)
        steps += taken
        seed += len(players)  # copies have seeds in a row, and none is to be played in again
        best = (-returns.reshape(len(left), -1).mean(1)).argsort(kind="stable")
        left = left[best[: max(1, len(left) // 4)]]
    return int(left[0]), steps


@torch.no_grad()
def prefer(run: MetaPPO, action: int, probability: float = 0.97) -> None:
    """Shift an action's targets, before the first iteration.

    Args:
        run: The run, whose environments are played in at random.
        action: The action.
        probability: How often learners then choose it, on average, in what a random player sees.

    Raises:
        SettingsError: No shift does it.
    """
    initial = run.initial_parameters()
    seen = run.features(run.actors.at_random(run.settings.horizon, 128))
    targets = run.batch.targets[:, action].clone()

    def chosen(shift: float) -> float:
        run.batch.targets[:, action] = targets + shift
        outputs = forward(run.learner, run.trained(initial), seen)
        return outputs.softmax(-1)[..., action].mean().item()

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


def _returns(
    settings: Settings, actions: np.ndarray, seed: int, progress: bool
) -> tuple[np.ndarray, int]:
    """What players of one action each, ``(n,)``, get in an episode, and the steps they took."""
    returns, going, steps = np.zeros(len(actions)), np.ones(len(actions), dtype=bool), 0
    env = make_training_envs(settings, seed, len(actions))
    try:
        env.reset(seed=seed)
        for _ in trange(STEPS, desc="players of one action", leave=False, disable=not progress):
            _, rewards, terminated, truncated, _ = env.step(actions)
            steps += len(actions)
            returns += rewards * going
            going &= ~(terminated | truncated)
            if not going.any():
                break
    finally:
        env.close()
    return returns, steps
