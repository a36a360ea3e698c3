"""Rolling a population of learners out in a vector environment, and the advantages of it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from distilled_envs.policies import sample_actions


@dataclass(frozen=True)
class Rollout:
    """T steps in B environments; learner l acts in environments l * E to (l + 1) * E - 1.

    Attributes:
        observations: ``(T + 1, B, n_inputs)``; the successor of step t is at t + 1, since in
            Gymnasium's NEXT_STEP mode an episode's last observation is shown before the reset.
        actions: ``(T, B)``, or ``(T, B, action dimensions)``.
        outputs: What the learners' networks gave, ``(T, B, n_outputs)``.
        rewards: ``(T, B)``.
        terminated: ``(T, B)``, 1 where the task ended the episode: nothing follows.
        done: ``(T, B)``, 1 where the episode ended, also by the time limit.
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
        """Generalised advantage estimation (Schulman et al., 2016).

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
        seed: Seed of its first reset.

    Attributes:
        recent_returns: Undiscounted returns of the last episodes that ended.
    """

    def __init__(self, env: gym.vector.VectorEnv, seed: int):
        if env.metadata["autoreset_mode"] is not AutoresetMode.NEXT_STEP:
            raise ValueError("Rollouts need a vector environment in NEXT_STEP autoreset mode.")
        self.env = env
        self._observations, _ = env.reset(seed=seed)
        self._ended = np.zeros(env.num_envs, dtype=bool)
        self._returns = np.zeros(env.num_envs)
        self.recent_returns: deque[float] = deque(maxlen=256)

    def collect(self, outputs: Callable[[Tensor], Tensor], kind: str, horizon: int) -> Rollout:
        """Act for ``horizon`` steps.

        Args:
            outputs: Observations ``(B, n_inputs)`` to the learners' outputs ``(B, n_outputs)``.
            kind: Task kind.
            horizon: Steps T.
        """
        columns: dict[str, list] = {name: [] for name in Rollout.__dataclass_fields__}
        for _ in range(horizon):
            observations = torch.from_numpy(self._observations)
            with torch.no_grad():
                raw = outputs(observations)
                actions = sample_actions(kind, raw, None, greedy=False)
            columns["observations"].append(observations)
            columns["actions"].append(actions)
            columns["outputs"].append(raw)
            columns["valid"].append(~self._ended)
            self._observations, rewards, terminated, truncated, _ = self.env.step(actions.numpy())
            columns["rewards"].append(rewards)
            columns["terminated"].append(terminated)
            self._ended = terminated | truncated
            columns["done"].append(self._ended)
            self._returns += rewards
            self.recent_returns.extend(self._returns[self._ended].tolist())
            self._returns[self._ended] = 0
        columns["observations"].append(torch.from_numpy(self._observations))
        for name in ("rewards", "terminated", "done", "valid"):
            columns[name] = torch.from_numpy(np.stack(columns[name])).float()
        for name in ("observations", "actions", "outputs"):
            columns[name] = torch.stack(columns[name])
        return Rollout(**columns)

    def get_state(self) -> dict[str, Any]:
        """What the next rollout depends on, as tensors and plain values.

        An environment without ``get_state`` gives none, and starts new episodes on resuming.
        """
        state: dict[str, Any] = {"recent_returns": list(self.recent_returns)}
        env = self.env.unwrapped
        if hasattr(env, "get_state"):
            arrays = {"ended": self._ended, "returns": self._returns} | env.get_state()
            state["env"] = {
                name: torch.tensor(value) if isinstance(value, np.ndarray) else value
                for name, value in arrays.items()
            }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`get_state`."""
        self.recent_returns.extend(state["recent_returns"])
        if "env" in state:
            arrays = {
                name: value.numpy().copy() if isinstance(value, Tensor) else value
                for name, value in state["env"].items()
            }
            self._ended, self._returns = arrays.pop("ended"), arrays.pop("returns")
            self._observations = self.env.unwrapped.set_state(arrays)
