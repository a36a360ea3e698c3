"""``CartPoleND-v0``: N cart-poles that share one actuator, scalar and vectorized."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from distilled_envs.envs.cartpole_physics import (
    FORCE,
    THETA_LIMIT,
    X_LIMIT,
    has_failed,
    physics_step,
)
from distilled_envs.envs.cartpole_rendering import Painter

RESET_BOUND = 0.05
MAX_DIMS = 10_000
_FORCES = np.array([-FORCE, FORCE])
_NEVER = np.iinfo(np.int32).max
_MANY = 512
"""Copies from which coordinates are copied one by one: 1,024 copies of 5 axes take 23 microseconds
so and 54 all at once, 128 of 2 axes 3.6 and 2.7."""


def _spaces(dims: int) -> tuple[spaces.Box, spaces.Discrete]:
    if not isinstance(dims, int | np.integer) or not 1 <= dims <= MAX_DIMS:
        raise ValueError(
            f"CartPoleND-v0 needs dims to be a whole number from 1 to {MAX_DIMS}, got {dims!r}."
        )
    # Twice the failure thresholds, so that the failing observation is still inside.
    axis = np.array([2 * X_LIMIT, np.inf, 2 * THETA_LIMIT, np.inf], dtype=np.float32)
    high = np.tile(axis, dims)
    return spaces.Box(-high, high, dtype=np.float32), spaces.Discrete(2 * dims)


class CartPoleNDEnv(gym.Env[np.ndarray, np.int64]):
    """N cart-poles that share one actuator: each step pushes one cart and leaves the others alone.

    ## Description

    The N-dimensional cart-pole of Wilhelm & Ventura, "Distilling Reinforcement Learning into
    Single-Batch Datasets" (arXiv 2508.09283), after Barto, Sutton and Anderson's cart-pole. Each
    of the `dims` axes is one cart with one pole; the physics of an axis is that of Gymnasium's
    `CartPole-v1`. The agent has one actuator: it chooses an axis and a direction. The carts that
    are not pushed roll without force, so that the difficulty grows with `dims`. With `dims=1` the
    environment follows `CartPole-v1` step for step.

    ## Action Space

    `Discrete(2 * dims)`:

    | Num      | Action                          |
    |----------|---------------------------------|
    | `2i`     | push axis `i` to the left, -10 N  |
    | `2i + 1` | push axis `i` to the right, +10 N |

    ## Observation Space

    `Box` of shape `(4 * dims,)`, `float32`, axis after axis. For axis `i`:

    | Num      | Observation           | Min             | Max            |
    |----------|-----------------------|-----------------|----------------|
    | `4i`     | Cart position         | -4.8 m          | 4.8 m          |
    | `4i + 1` | Cart velocity         | -Inf m/s        | Inf m/s        |
    | `4i + 2` | Pole angle            | ~ -0.418 rad    | ~ 0.418 rad    |
    | `4i + 3` | Pole angular velocity | -Inf rad/s      | Inf rad/s      |

    ## Rewards

    +1 for every step, the terminating one included.

    ## Starting State

    Every number uniformly random in (-0.05, 0.05).

    ## Episode End

    1. Termination: the pole angle of any axis leaves ±12°.
    2. Termination: the cart position of any axis leaves ±2.4 m.
    3. Truncation: after 500 steps (by the `TimeLimit` wrapper of `gymnasium.make`).

    ## Arguments

    | Parameter | Type    | Default | Description              |
    |-----------|---------|---------|--------------------------|
    | `dims`    | **int** | `2`     | Number of cart-pole axes |

    `reset` takes `options={"low": ..., "high": ...}`, the bounds of the starting state, as
    `CartPole-v1` does.

    ```python
    >>> import gymnasium as gym
    >>> import distilled_envs
    >>> env = gym.make("CartPoleND-v0", dims=3)
    >>> env.action_space
    Discrete(6)
    >>> env.observation_space.shape
    (12,)

    ```

    ## Vectorized environment

    `gym.make_vec("CartPoleND-v0", num_envs=1024, dims=3)` steps all copies at once in NumPy.

    ## Version History

    * v0: Initial version.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, dims: int = 2, render_mode: str | None = None):
        self.observation_space, self.action_space = _spaces(dims)
        self.dims = dims
        self.render_mode = render_mode
        self.state: np.ndarray | None = None  # (4, dims) float64
        self._force = np.zeros(dims)
        self._painter = Painter()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw a starting state; see the class docstring for ``options``."""
        super().reset(seed=seed)
        low, high = maybe_parse_reset_bounds(options, -RESET_BOUND, RESET_BOUND)
        # Axis-major draws, so that dims=1 starts exactly where CartPole-v1 does.
        self.state = self.np_random.uniform(low, high, size=(self.dims, 4)).T.copy()
        self._force = np.zeros(self.dims)
        if self.render_mode == "human":
            self.render()
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push one cart for 0.02 s."""
        if not self.action_space.contains(action):
            raise ValueError(
                f"{action!r} is not an action of CartPoleND-v0 with dims={self.dims}: "
                f"expected a whole number from 0 to {2 * self.dims - 1}."
            )
        if self.state is None:
            raise gym.error.ResetNeeded("Call reset() before step().")
        self._force = np.zeros(self.dims)
        self._force[action // 2] = FORCE if action % 2 else -FORCE
        self.state = physics_step(self.state, self._force)
        if self.render_mode == "human":
            self.render()
        return self._observation(), 1.0, bool(has_failed(self.state)), False, {}

    def render(self) -> np.ndarray | None:
        """Draw every axis, each in a panel of its own.

        Returns:
            The frame ``(height, width, 3)`` in ``rgb_array`` mode, None in ``human`` mode.
        """
        if self.render_mode is None:
            gym.logger.warn(
                "render() was called without a render mode; choose one when making the "
                'environment, e.g. gym.make("CartPoleND-v0", render_mode="rgb_array").'
            )
            return None
        if self.state is None:
            raise gym.error.ResetNeeded("Call reset() before render().")
        if self.render_mode == "human":
            self._painter.show(self.state, self._force, self.metadata["render_fps"])
            return None
        return self._painter.frame(self.state, self._force)

    def close(self) -> None:
        """Close the window, if one is open."""
        self._painter.close()

    def _observation(self) -> np.ndarray:
        assert self.state is not None
        return self.state.T.reshape(-1).astype(np.float32)


class CartPoleNDVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Many copies of :class:`CartPoleNDEnv`, stepped at once in NumPy.

    Args:
        num_envs: Number of copies.
        dims: Number of cart-pole axes in each copy.
        max_episode_steps: Steps after which an episode is truncated; -1 as in ``gym.make``: never.
        render_mode: None or ``"rgb_array"`` (:meth:`render` gives one frame a copy).
        autoreset_mode: One of Gymnasium's autoreset modes, or its name. ``NEXT_STEP`` (the
            default) spends the step after an episode's end on the reset, ``SAME_STEP`` resets at
            once and puts the last observation under ``info["final_obs"]``, ``DISABLED`` leaves it
            to ``reset(options={"reset_mask": mask})``.
    """

    metadata = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        dims: int = 2,
        max_episode_steps: int = 500,
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ):
        self.single_observation_space, self.single_action_space = _spaces(dims)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.num_envs = num_envs
        self.dims = dims
        self.max_episode_steps = max_episode_steps
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        # Copies come last, so that every operation runs along contiguous memory.
        self.state: np.ndarray | None = None  # (4, dims, num_envs) float64
        self._low, self._high = -RESET_BOUND, RESET_BOUND
        self._steps = np.zeros(num_envs, dtype=np.int32)
        self._done = np.zeros(num_envs, dtype=bool)
        self._copies = np.arange(num_envs)
        self._force = np.zeros((dims, num_envs))
        self._painter = Painter()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes: in all copies, or where ``options["reset_mask"]`` is True."""
        super().reset(seed=seed)
        options = dict(options or {})
        mask = options.pop("reset_mask", np.ones(self.num_envs, dtype=bool))
        if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != (self.num_envs,):
            raise ValueError(
                f"options['reset_mask'] must be a boolean array of shape ({self.num_envs},)."
            )
        self._low, self._high = maybe_parse_reset_bounds(options, -RESET_BOUND, RESET_BOUND)
        if self.state is None:
            if not mask.all():
                raise gym.error.ResetNeeded("The first reset must reset every copy.")
            self.state = np.zeros((4, self.dims, self.num_envs))
        self._restart(np.flatnonzero(mask))
        self._force = np.zeros((self.dims, self.num_envs))
        return self._observation(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Push one cart in every copy for 0.02 s."""
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"CartPoleND-v0 with {self.num_envs} copies needs {self.num_envs} whole numbers "
                f"as actions, got an array of {actions.dtype} with shape {actions.shape}."
            )
        # As unsigned numbers, negative ones are the largest.
        if actions.view(f"u{actions.itemsize}").max() >= 2 * self.dims:
            raise ValueError(
                f"Actions of CartPoleND-v0 with dims={self.dims} lie between 0 and "
                f"{2 * self.dims - 1}, got {actions.min()} to {actions.max()}."
            )
        if self.state is None:
            raise gym.error.ResetNeeded("Call reset() before step().")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._done.any():
            raise gym.error.ResetNeeded(
                "Episodes have ended: call reset(options={'reset_mask': mask}) before step()."
            )
        resetting = self._done
        self._force = np.zeros((self.dims, self.num_envs))
        pushed = (actions >> 1).astype(np.intp) * self.num_envs + self._copies
        self._force.reshape(-1)[pushed] = _FORCES[actions & 1]
        self.state = physics_step(self.state, self._force)
        self._steps += 1
        terminated = has_failed(self.state)
        limit = self.max_episode_steps if self.max_episode_steps != -1 else _NEVER
        truncated = self._steps >= limit
        reward = (~resetting).astype(np.float32)
        begun = np.flatnonzero(resetting)
        if len(begun):  # NEXT_STEP: this step is the reset, whatever the action
            self._restart(begun)
            terminated[begun] = truncated[begun] = False
        self._done = terminated | truncated
        info: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._done.any():
            ended = self._done.copy()
            info = {"final_obs": np.full(self.num_envs, None), "_final_obs": ended}
            info["final_info"], info["_final_info"] = {}, ended
            last = self._observation()
            for copy in np.flatnonzero(ended):
                info["final_obs"][copy] = last[copy]
            self._restart(np.flatnonzero(ended))
        return self._observation(), reward, terminated, truncated, info

    def get_state(self) -> dict[str, Any]:
        """Everything that the next steps depend on, as arrays and plain values."""
        if self.state is None:
            raise gym.error.ResetNeeded("Call reset() before get_state().")
        return {
            "state": self.state.copy(),
            "steps": self._steps.copy(),
            "done": self._done.copy(),
            "rng": self.np_random.bit_generator.state,
        }

    def set_state(self, saved: dict[str, Any]) -> np.ndarray:
        """Go back to what :meth:`get_state` gave.

        Returns:
            The observations there, shape ``(num_envs, 4 * dims)``.

        Raises:
            ValueError: It is of other copies, or not finite.
        """
        now = self.get_state()
        for name in ("state", "steps", "done"):
            given, own = np.asarray(saved[name]), now[name]
            if given.shape != own.shape or given.dtype != own.dtype or not np.isfinite(given).all():
                raise ValueError(f"{name} must be a finite array like that of these copies.")
        self.state = saved["state"].copy()
        self._steps = saved["steps"].copy()
        self._done = saved["done"].copy()
        self.np_random.bit_generator.state = saved["rng"]
        return self._observation()

    def render(self) -> tuple[np.ndarray, ...] | None:
        """One frame ``(height, width, 3)`` for each copy."""
        if self.render_mode is None:
            gym.logger.warn(
                "render() was called without a render mode; make the environment with "
                'render_mode="rgb_array".'
            )
            return None
        if self.state is None:
            raise gym.error.ResetNeeded("Call reset() before render().")
        return tuple(
            self._painter.frame(self.state[:, :, copy], self._force[:, copy])
            for copy in self._copies
        )

    def _restart(self, begun: np.ndarray) -> None:
        """New episodes in the copies of these places."""
        assert self.state is not None
        draws = self.np_random.uniform(self._low, self._high, size=(len(begun), self.dims, 4))
        self.state[:, :, begun] = draws.transpose()
        self._steps[begun] = 0
        self._done[begun] = False

    def _observation(self) -> np.ndarray:
        assert self.state is not None
        observations = np.empty((self.num_envs, 4 * self.dims), dtype=np.float32)
        if self.num_envs < _MANY:
            observations.reshape(self.num_envs, self.dims, 4)[...] = self.state.transpose()
            return observations
        for place in range(4 * self.dims):
            observations[:, place] = self.state[place % 4, place // 4]
        return observations
