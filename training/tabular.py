"""The best policy of an environment with few states, by counting what its actions lead to.

Brafman & Tennenholtz, "R-MAX: A General Polynomial Time Algorithm for Near-Optimal Reinforcement
Learning" (JMLR 2002): an action that was seldom tried in a state counts as better than all others,
so that play goes where it is least known; value iteration on the counts gives the policy.
"""

import contextlib
import math
import time

import numpy as np
import torch
from gymnasium import spaces

from distilled_envs.envs.preprocessing import make_vec
from distilled_envs.errors import SettingsError
from distilled_envs.learners.actions import as_taken
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.progress import step_bar
from distilled_envs.training.teachers import CHOICE
from distilled_envs.training.world import World

COPIES = 16
KNOWN = 100
"""Times that an action is tried in a state until its outcomes count as known."""
DISCOUNT = 0.995
ROUND = 125
"""Steps in each copy between value iterations."""
_SWEEPS, _EXACT = 5_000, 1e-6


def has_table(world: World) -> bool:
    """Whether observations are states by number, and actions choices by number."""
    return isinstance(world.shown, spaces.Discrete) and isinstance(world.actions, spaces.Discrete)


def solve_table(
    world: World,
    total_steps: int,
    *,
    seconds: float = math.inf,
    seed: int = 0,
    progress: bool = True,
) -> LinearPolicy:
    """Explore until all that can be reached is known, or so many steps were taken.

    Args:
        world: With observations and actions that are numbers of states and choices.
        total_steps: Environment steps at most.
        seconds: After which no more is explored, either.
        seed: Of environments and choices between equal actions.
        progress: Whether to show a bar.

    Returns:
        A policy on one-hot observations: a logit of :data:`~.teachers.CHOICE` for the best action
        in each state.

    Raises:
        SettingsError: Observations or actions are other than that.
    """
    if not has_table(world):
        raise SettingsError(
            f"A table is for observations and actions that are Discrete; those of {world.spec.id} "
            f"are {world.shown} and {world.actions}."
        )
    random, steps, started = np.random.default_rng(seed), 0, time.monotonic()
    counts = _Counts(world.task.observation_shape[0], world.task.n_outputs)
    space, copies = world.actions, np.arange(COPIES)
    bar = step_bar(f"{world.spec.id}: a table", total_steps, progress=progress)
    env = make_vec(world.spec, COPIES, world.preprocessing)
    with bar, contextlib.closing(env):
        # 1. Play where least is known.
        observations, _ = env.reset(seed=seed)
        states, over = observations.argmax(1), np.zeros(COPIES, dtype=bool)
        while steps < total_steps and time.monotonic() - started < seconds:
            values, known = counts.values(optimistic=True)
            if steps and known[counts.met].all():
                break
            for _ in range(ROUND):
                # Of equal actions any, so that all are tried.
                tied = values[states] + 1e-9 * random.random((COPIES, counts.actions))
                chosen = tied.argmax(1)
                observations, rewards, terminated, truncated, _ = env.step(as_taken(space, chosen))
                then = observations.argmax(1)
                acted = copies[~over]  # what follows an end is a reset, whatever the action
                counts.add(
                    states[acted], chosen[acted], rewards[acted], then[acted], terminated[acted]
                )
                states, over = then, terminated | truncated
            steps += ROUND * COPIES
            bar.update(ROUND * COPIES)
        # 2. What is not known counts for nothing in the end.
        values, _ = counts.values(optimistic=False)
    best = torch.from_numpy(values.argmax(1))
    weights = CHOICE * torch.eye(counts.actions, dtype=torch.float64)[:, best]
    inputs = torch.zeros(counts.states, dtype=torch.float64)
    made = {"algorithm": "R-MAX", "env_steps": steps, "total_steps": total_steps, "seed": seed}
    return LinearPolicy(weights, torch.zeros(counts.actions), inputs, inputs + 1, made)


class _Counts:
    """How often actions in states led where, and what they paid.

    Args:
        states: Their number S.
        actions: Their number A.

    Attributes:
        met: Whether a state was seen ``(S,)``.
    """

    def __init__(self, states: int, actions: int):
        self.states, self.actions = states, actions
        self.met = np.zeros(states, dtype=bool)
        self._tried = np.zeros(states * actions)
        self._paid = np.zeros(states * actions)
        self._led: dict[tuple[int, int], int] = {}

    def add(
        self,
        states: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        then: np.ndarray,
        terminated: np.ndarray,
    ) -> None:
        """Steps that were taken ``(n,)``."""
        places = states * self.actions + actions
        np.add.at(self._tried, places, 1)
        np.add.at(self._paid, places, rewards)
        self.met[states] = True
        for place, state, ended in zip(places.tolist(), then.tolist(), terminated, strict=True):
            if not ended:
                self._led[place, state] = self._led.get((place, state), 0) + 1

    def values(self, *, optimistic: bool) -> tuple[np.ndarray, np.ndarray]:
        """Values of actions ``(S, A)`` by value iteration, and which are known ``(S, A)``.

        Args:
            optimistic: Whether actions that are not known count as better than all others, or
                those that were never tried as worse.
        """
        tried = self._tried.clip(min=1)
        paid, known = self._paid / tried, self._tried >= KNOWN
        places = np.array([*self._led], dtype=int).reshape(-1, 2)
        shares = np.array([*self._led.values()], dtype=float) / tried[places[:, 0]]
        spread = np.abs(paid).max() + 1
        highest, lowest = (sign * spread / (1 - DISCOUNT) for sign in (2, -2))
        values = np.zeros(self.states)
        for _ in range(_SWEEPS):
            onward = np.bincount(places[:, 0], DISCOUNT * shares * values[places[:, 1]], len(tried))
            actions = paid + onward
            if optimistic:
                actions[~known] = highest
            else:
                actions[self._tried == 0] = lowest
            table = actions.reshape(self.states, self.actions)
            before, values = values, np.where(self.met, table.max(1), 0.0)
            if np.abs(values - before).max() < _EXACT:
                break
        return table, known.reshape(self.states, self.actions)
