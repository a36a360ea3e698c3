"""CMA-ES over linear policies: the best that one step can teach, found without gradients.

Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv 1604.00772), by the library pycma. Each
candidate is a linear policy, and plays some episodes. Scores need no reward on the way, and first
candidates are as different as can be, which is exploration enough for many sparse rewards: on one
core a policy of MountainCar-v0 gets -107 after 15 seconds, where random play gets -200. It is for
policies of some hundred numbers; :mod:`.random_search` is for larger ones.
"""

import contextlib
import dataclasses
import math
import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from distilled_envs.errors import MissingExtraError, SettingsError
from distilled_envs.evaluation.episodes import first_episodes
from distilled_envs.formatting import written
from distilled_envs.learners.actions import as_taken, choose_actions
from distilled_envs.learners.generators import kept_generators
from distilled_envs.seeds import small_seed
from distilled_envs.training.backends import make_vector_env
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.progress import step_bar
from distilled_envs.training.world import World

EPISODES, ROUNDS = 8, 2
"""Copies in which each candidate plays, and episodes of it in each: with 2 episodes in all noise
decides, and MountainCar-v0 ends at -125, with 16 at -106."""
CANDIDATES = 16
"""Candidates of a generation at least."""
FIRST_STEPS = 100
"""Steps of random play in each copy, for the statistics that observations are normalized by."""
PATIENCE = 160
"""Generations without a better one after which a search ends: on Acrobot-v1 networks get -101 with
40, and -86 with 160."""
LEAST = 20
"""Generations that have to fit into the time: where the first takes so long that they do not, as on
BipedalWalker-v3 with its 1,600 steps, it stays the only one."""
LONGEST = 3_000
"""Steps after which an episode is cut."""
GAP = 8.0
"""Mean distance of the likeliest action's logit from the next: sampled actions are mostly it.

Networks follow smaller logits more closely, since their hidden layers move less in the step: in
MountainCar-v0 100 of them get -115 with 8 and -108 with 2 (likeliest actions), where the policy has
-107; but of sampled actions -129 and -172.
"""
_LARGE = 150
"""Numbers of a policy beyond which their variances are learned, and not their correlations."""


@dataclass(frozen=True)
class Evolved:
    """What :func:`evolve` found.

    Attributes:
        policy: The linear policy.
        mean: Its mean return, in episodes that had no part in choosing it.
        env_steps: Environment steps of all candidates.
    """

    policy: LinearPolicy
    mean: float
    env_steps: int


def pycma() -> ModuleType:
    """The library of the search.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import cma
    except ImportError:
        raise MissingExtraError("cma", "A search for linear policies", "train") from None
    return cma


def evolve(
    world: World,
    total_steps: int,
    *,
    seconds: float = math.inf,
    seed: int = 0,
    threads: int = 1,
    progress: bool = True,
) -> Evolved:
    """Search for a linear policy.

    Args:
        world: Where it acts.
        total_steps: Environment steps after which no generation starts. It also ends where
            generations no longer get better.
        seconds: After which no generation starts, either; nor does a second one where
            :data:`LEAST` of them would take longer.
        seed: Of candidates and environments.
        threads: Of the simulator, where EnvPool has the environment.
        progress: Whether to show a bar.

    Raises:
        SettingsError: No step is allowed, or the environment shows frames.
        MissingExtraError: The library ``cma`` is not installed.
    """
    cma = pycma()
    if total_steps < 1 or len(world.task.observation_shape) != 1:
        raise SettingsError(
            f"A search for linear policies needs vectors and at least one step, got {total_steps} "
            f"steps of observations {world.observations}."
        )
    started = time.monotonic()
    (inputs,), outputs = world.task.observation_shape, world.task.n_outputs
    size = outputs * (inputs + 1)
    candidates = max(CANDIDATES, 4 + int(3 * np.log(size)))  # as pycma has it
    env = make_vector_env(world, candidates * EPISODES, seed, threads)
    best, waited = None, 0
    bar = step_bar(f"{world.spec.id}: linear policies", total_steps, progress=progress)

    def late() -> bool:
        return time.monotonic() - started > seconds

    with bar, contextlib.closing(env), kept_generators():  # pycma seeds numpy's
        arena, steps = _Arena(env, world, seed), FIRST_STEPS * env.num_envs
        options = {"seed": small_seed(seed) + 1, "popsize": candidates, "verbose": -9}
        options["CMA_diagonal"] = size > _LARGE
        strategy, began = cma.CMAEvolutionStrategy(np.zeros(size), 1.0, options), time.monotonic()
        while best is None or not (steps >= total_steps or late() or strategy.stop()):
            # 1. A generation plays, and the distribution moves to its better half.
            asked = np.array(strategy.ask())
            played = [arena.play(asked.repeat(EPISODES, 0)) for _ in range(ROUNDS)]
            returns, taken = np.mean([each for each, _ in played], 0), sum(e for _, e in played)
            means = returns.reshape(candidates, EPISODES).mean(1)
            strategy.tell(asked, -means)
            steps += taken
            bar.set_postfix_str(f"return {written(means.mean())}", refresh=False)
            bar.update(taken)
            # 2. The distribution's mean is kept where a generation was better than all before.
            if best is None or means.mean() > best[0]:
                best, waited = (means.mean(), strategy.result.xfavorite), 0
            waited += 1
            # 3. It ends where nothing gets better, or few generations would fit into the time.
            first = strategy.countiter == 1
            if waited > PATIENCE or (first and LEAST * (time.monotonic() - began) > seconds):
                break
        returns, taken = arena.play(best[1][None].repeat(env.num_envs, 0), keep=True)
    made = {"algorithm": "CMA-ES", "env_steps": steps + taken, "total_steps": total_steps}
    made |= {"episodes": ROUNDS * EPISODES, "candidates": candidates, "seed": seed}
    made["wall_seconds"] = round(time.monotonic() - started, 1)
    policy = dataclasses.replace(arena.policy(best[1]), made=made)
    return Evolved(policy, float(returns.mean()), steps + taken)


class _Arena:
    """Where candidates play: flat numbers become policies here.

    Args:
        env: Copies of the environment.
        world: It.
        seed: Of random play, by which observations are normalized.
    """

    def __init__(self, env: gym.vector.VectorEnv, world: World, seed: int):
        self._env, self._world = env, world
        space = env.single_action_space
        space.seed(seed)
        seen, (observations, _) = [], env.reset(seed=seed)
        for _ in range(FIRST_STEPS):
            seen.append(observations)
            actions = np.stack([space.sample() for _ in range(env.num_envs)])
            observations = env.step(actions)[0]
        self._seen = np.concatenate(seen).astype(np.float64)
        std = self._seen.std(0)
        self._mean, self._std = self._seen.mean(0), np.where(std < 1e-6, 1.0, std)
        # Candidates are drawn of unit size, and actions of a Box in units of its half width.
        self._middle: Any = 0.0
        self._half: Any = 1.0
        if isinstance(space, spaces.Box):
            self._middle, self._half = (space.low + space.high) / 2, (space.high - space.low) / 2

    def play(self, candidates: np.ndarray, *, keep: bool = False) -> tuple[np.ndarray, int]:
        """An episode of each candidate.

        Args:
            candidates: ``(copies, numbers)``, one in each copy.
            keep: Whether :meth:`policy` is to be of observations as they are met now.

        Returns:
            Returns ``(copies,)``, and the steps that were taken.
        """
        env, task = self._env, self._world.task
        weights, bias = self._split(candidates)
        met: list[np.ndarray] = []

        def act(observations: np.ndarray, going: np.ndarray) -> np.ndarray:
            if keep:
                met.append(observations[going])
            normalized = (observations - self._mean) / self._std
            outputs = np.einsum("cas,cs->ca", weights, normalized) + bias
            outputs = torch.from_numpy(self._middle + self._half * outputs)
            chosen = choose_actions(task, outputs, None, greedy=True).numpy()
            return as_taken(env.single_action_space, chosen)

        returns, lengths = first_episodes(env, act, LONGEST)
        if keep:
            self._seen = np.concatenate(met).astype(np.float64)
        return returns, int(lengths.sum())

    def policy(self, candidate: np.ndarray) -> LinearPolicy:
        """A candidate ``(numbers,)`` as a policy; logits are made as large as :data:`GAP` says."""
        weights, bias = (torch.from_numpy(each) for each in self._split(candidate))
        half, middle = torch.as_tensor(self._half), torch.as_tensor(self._middle)
        weights, bias = weights * half.reshape(-1, 1), bias * half + middle
        # The same of observations that are normalized by what good policies meet: random play stays
        # in the valley of MountainCar-v0, and all else would be clipped.
        seen, first, scale = (torch.from_numpy(e) for e in (self._seen, self._mean, self._std))
        mean, std = seen.mean(0), seen.std(0)
        std = torch.where(std < 1e-6, scale, std)
        policy = LinearPolicy(weights, bias, first, scale).under(mean, std)
        if self._world.task.kind == "categorical":
            factor = GAP / self._gap(policy(seen))
            policy = LinearPolicy(factor * policy.weights, factor * policy.bias, mean, std)
        return policy

    def _gap(self, outputs: Tensor) -> float:
        """Mean distance of the highest of each choice's logits from the next."""
        parts = [part for part in outputs.split(self._world.task.parts, 1) if part.shape[1] > 1]
        tops = [part.topk(2, dim=1).values for part in parts]
        gaps = torch.cat([top[:, 0] - top[:, 1] for top in tops]) if tops else torch.ones(1)
        return max(float(gaps.mean()), 1e-6)

    def _split(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights ``(..., n_outputs, n_inputs)`` and biases ``(..., n_outputs)``."""
        outputs = self._world.task.n_outputs
        table = numbers.reshape(*numbers.shape[:-1], outputs, -1)
        return table[..., :-1], table[..., -1]
