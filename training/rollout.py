"""Rolling a population of learners out in a vector environment, and the advantages of it."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from distilled_envs.learners.actions import as_taken, choose_actions
from distilled_envs.seeds import small_seed
from distilled_envs.spec import TaskSpec
from distilled_envs.training.distributed import all_reduce_sum, world_size
from distilled_envs.training.normalization import (
    ObservationNormalizer,
    RewardNormalizer,
    RewardSign,
)


@dataclass(frozen=True)
class Rollout:
    """T steps in B environments; learner l acts in environments l * E to (l + 1) * E - 1.

    Attributes:
        observations: ``(T + 1, B, *shape)``; the successor of step t is at t + 1, since in
            Gymnasium's NEXT_STEP mode an episode's last observation is shown before the reset.
        actions: ``(T, B)``, or ``(T, B, action dimensions)``.
        outputs: What the learners' networks gave, ``(T, B, n_outputs)``.
        rewards: ``(T, B)``.
        terminated: ``(T, B)``, 1 where the task ended the episode: nothing follows.
        done: ``(T, B)``, 1 where the episode ended, also by the time limit. Where lives count, one
            lost counts as the end of an episode in these two.
        valid: ``(T, B)``, 0 where the step was a reset and not a transition.
    """

    observations: Tensor
    actions: Tensor
    outputs: Tensor
    rewards: Tensor
    terminated: Tensor
    done: Tensor
    valid: Tensor

    def advantages(self, values: Tensor, discount: float, gae_lambda: float) -> Tensor:
        """Generalized advantage estimation (Schulman et al., 2016).

        A truncated episode bootstraps from the value of its last observation, a terminated one
        does not. What stands at steps that are not valid means nothing.

        Args:
            values: Values of all observations, ``(T + 1, B)``.
            discount: Gamma.
            gae_lambda: Lambda.

        Returns:
            Advantages ``(T, B)``.
        """
        advantages = torch.zeros_like(self.rewards)
        following = torch.zeros_like(self.rewards[0])
        errors = self.rewards + discount * (1 - self.terminated) * values[1:] - values[:-1]
        for t in reversed(range(len(errors))):
            following = errors[t] + discount * gae_lambda * (1 - self.done[t]) * following
            advantages[t] = following
        return advantages


class Actors:
    """The environments of a run, which go on from one iteration's learners to the next's.

    Args:
        env: Vector environment in NEXT_STEP autoreset mode.
        task: How learners' outputs become actions.
        seed: Seed of its first reset.
        observations: Normalizer of what learners see; None shows observations as they are.
        rewards: Normalizer of what advantages are made of; None takes rewards as they are.
        lives: Whether a lost life counts as the end of an episode for advantages. The episode and
            its return go on.

    Attributes:
        recent_returns: Undiscounted, real returns of the last episodes that ended.
        episodes_ended: How many ended in the last rollout, on this rank.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv,
        task: TaskSpec,
        seed: int,
        observations: ObservationNormalizer | None = None,
        rewards: RewardNormalizer | RewardSign | None = None,
        lives: bool = False,
    ):
        if env.metadata["autoreset_mode"] is not AutoresetMode.NEXT_STEP:
            raise ValueError("Rollouts need a vector environment in NEXT_STEP autoreset mode.")
        self.env = env
        self._task = task
        self._normalize_observations, self._normalize_rewards = observations, rewards
        self._observations, infos = env.reset(seed=small_seed(seed))
        self._lives = infos["lives"] if lives else None
        if observations is not None:
            observations.update(self._observations)
        self._ended = np.zeros(env.num_envs, dtype=bool)
        self._returns = np.zeros(env.num_envs)
        self.recent_returns: deque[float] = deque(maxlen=min(256, 2 * env.num_envs))
        self.episodes_ended = 0

    def collect(
        self, outputs: Callable[[Tensor], Tensor], log_std: Tensor | None, horizon: int
    ) -> Rollout:
        """Act for ``horizon`` steps.

        Args:
            outputs: Observations ``(B, *shape)`` to the learners' outputs ``(B, n_outputs)``.
            log_std: Log standard deviations of a gaussian task's actions ``(n_outputs,)``.
            horizon: Steps T.
        """
        lists: dict[str, list] = {name: [] for name in Rollout.__dataclass_fields__}
        seen, self.episodes_ended = [], 0
        for _ in range(horizon):
            observations = self._shown()
            with torch.no_grad():
                given = outputs(observations)
                actions = choose_actions(self._task, given, log_std, greedy=False)
            lists["observations"].append(observations)
            lists["actions"].append(actions)
            lists["outputs"].append(given)
            lists["valid"].append(~self._ended)
            rewards, terminated, truncated, lost = self._step(actions.numpy())
            self._ended = terminated | truncated
            self.episodes_ended += int(self._ended.sum())
            lists["rewards"].append(rewards)
            lists["terminated"].append(terminated | lost)
            lists["done"].append(self._ended | lost)
            if self._normalize_observations is not None:
                seen.append(self._observations)
        lists["observations"].append(self._shown())
        if self._normalize_observations is not None:
            self._normalize_observations.update(np.concatenate(seen))
        columns = {
            name: torch.stack(lists[name]) for name in ("observations", "actions", "outputs")
        }
        for name in ("rewards", "terminated", "done", "valid"):
            columns[name] = torch.from_numpy(np.stack(lists[name])).float()
        return Rollout(**columns)

    def at_random(self, horizon: int, count: int = 512) -> Tensor:
        """Observations of a random player ``(count, *shape)``, whose returns are not recorded.

        Args:
            horizon: Steps that it plays.
            count: Observations, or as many as it has seen.
        """

        def play(observations: Tensor) -> Tensor:
            return torch.zeros(len(observations), self._task.n_outputs)

        seen = self.collect(play, None, horizon).observations.flatten(0, 1)
        self.recent_returns.clear()
        return seen[torch.randperm(len(seen))[:count]]

    def recent_episodes(self) -> tuple[float, int, int]:
        """Mean return of the last episodes that ended; NaN before the first.

        Returns:
            It, how many episodes ended in the last rollout, and how many the mean is of, over all
            ranks.
        """
        recent = self.recent_returns
        sum_of_returns, ended, count = all_reduce_sum(sum(recent), self.episodes_ended, len(recent))
        return sum_of_returns / count if count else math.nan, int(ended), int(count)

    def _shown(self) -> Tensor:
        if self._normalize_observations is None:
            frames = self._observations.dtype == np.uint8  # a quarter of the memory
            return torch.from_numpy(self._observations.astype(np.uint8 if frames else np.float32))
        return torch.from_numpy(self._normalize_observations(self._observations))

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Act; (normalized) rewards, terminations, truncations, and lives lost, ``(B,)`` each."""
        # Actions are clipped for the environment alone: log-probabilities are of those drawn.
        actions = as_taken(self.env.single_action_space, actions)
        self._observations, rewards, terminated, truncated, infos = self.env.step(actions)
        done = terminated | truncated
        self._returns += rewards
        self.recent_returns.extend(self._returns[done].tolist())
        self._returns[done] = 0
        if self._normalize_rewards is not None:
            rewards = self._normalize_rewards(rewards, done)
        lost = np.zeros_like(done)
        if self._lives is not None:
            lost, self._lives = infos["lives"] < self._lives, infos["lives"]
        return rewards, terminated, truncated, lost

    def get_state(self) -> dict[str, Any]:
        """What the next rollout depends on, as tensors and plain values.

        An environment without ``get_state`` gives none, and starts new episodes on resuming; see
        :mod:`.replay` for games. So do those of several ranks, who may be more or fewer then.
        """
        state: dict[str, Any] = {"recent_returns": list(self.recent_returns)}
        for name in ("_normalize_observations", "_normalize_rewards"):
            if getattr(self, name) is not None:
                state[name] = _to_tensors(getattr(self, name).get_state())
        env: Any = self.env
        if hasattr(env, "get_state") and world_size() == 1:
            arrays = {"ended": self._ended, "returns": self._returns}
            if self._lives is not None:
                arrays["lives"] = self._lives
            state["env"] = _to_tensors(arrays | env.get_state())
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`get_state`."""
        self.recent_returns.extend(state["recent_returns"])
        for name in ("_normalize_observations", "_normalize_rewards"):
            if name in state:
                getattr(self, name).set_state(_to_arrays(state[name]))
        if "env" in state:
            arrays = _to_arrays(state["env"])
            self._ended, self._returns = arrays.pop("ended"), arrays.pop("returns")
            if self._lives is not None:
                self._lives = arrays.pop("lives")
            env: Any = self.env
            self._observations = env.set_state(arrays)


def _to_tensors(values: dict[str, Any]) -> dict[str, Any]:
    """NumPy arrays as tensors, which a checkpoint can hold without pickled code."""
    return {
        name: torch.tensor(value) if isinstance(value, np.ndarray | np.generic) else value
        for name, value in values.items()
    }


def _to_arrays(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.numpy().copy() if isinstance(value, Tensor) else value
        for name, value in values.items()
    }
