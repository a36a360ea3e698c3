"""``Distilled<Name>-v0``: a distilled dataset as a Gymnasium environment, scalar and vectorized."""

from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from distilled_envs.dataset import DistilledDataset
from distilled_envs.deal import Deal, Mode
from distilled_envs.errors import SettingsError


class DistilledEnv(gym.Env):
    """A distilled dataset as a drop-in for the environment it stands for.

    ## Description

    A contextual bandit: `reset` shows an observation, one `step` ends the episode. Spaces are those
    of ``dataset.make_env()``, on cart-pole and in games those of the real environment, so that
    training code needs nothing but another id. No simulator is needed to make it or to train on it,
    but for datasets with an encoder or of flattened observations, whose learners play once when
    the environment is made.

    A batch teaches through one gradient step of its own, and RL on a few rows learns those rows and
    no more. A bandit therefore deals *expanded* rows: inputs drawn at random, each with the mean
    answer of networks that took the one step (``dataset.expand``). With `expand=0` it deals the
    rows themselves, and so it always does in games, where noise is nothing that a game shows. With
    an encoder, or where observations are flattened, inputs are what learners meet in play.
    Method: Wilhelm & Ventura, arXiv 2508.09283; the bandit reading is this package's own.

    ## Action Space

    The real environment's. With `mode="supervised"` the space of targets: `Box` of shape
    `(n_outputs,)`, bounded by the largest absolute target.

    ## Observation Space

    The real environment's (under the dataset's observation transform, if it has one).

    ## Rewards

    | mode           | action space    | reward                                           |
    |----------------|-----------------|--------------------------------------------------|
    | `"bandit"`     | `Discrete`      | `target[action - start] - max(target)`           |
    | `"bandit"`     | `MultiDiscrete` | the mean of that over its choices                |
    | `"bandit"`     | `Box`           | `-mean((action - t)**2 + at_bound * (1 - u**2))` |
    | `"supervised"` | `Box`           | `-mean((prediction - target)**2)`                |

    0 is the best everywhere. In a bandit with a `Box`, `t` is the target clipped to the bounds, `u`
    is `t` in units in which the bounds are -1 and 1, and `at_bound` is 1 where the action lies at a
    bound, else 0. Actions at a bound cost more since most were clipped, so that the reward does not
    see how far out they were: PPO starts with a standard deviation of 1, and of Humanoid's actions
    in [-0.4, 0.4] that clips two thirds. Where the target is at a bound itself, it costs nothing.

    ## Starting State

    What is dealt is drawn uniformly, or is number `i` with `reset(options={"index": i})`: of the
    expanded rows, or of the bare ones.

    ## Episode End

    Termination after every step.

    ## Information

    `reset` and `step` return `{"index": row, "target": its target of shape (n_outputs,)}`.

    ## Arguments

    | Parameter   | Type               | Default    | Description                                 |
    |-------------|--------------------|------------|---------------------------------------------|
    | `dataset`   | **str or dataset** | by the id  | What `load_distilled` takes, or a dataset    |
    | `mode`      | **str**            | `"bandit"` | `"bandit"` or `"supervised"`                 |
    | `expand`    | **int**            | `8192`     | Expanded rows to deal; 0 for the bare ones   |
    | `dims`      | **int**            | `2`        | Axes, for `DistilledCartPoleND-v0`           |
    | `instances` | **int or "min"**   | the best   | Number of rows                              |
    | `encoder_level` | **int**        | the best   | Of Atari games, 0 to 4                  |

    ```python
    >>> import gymnasium as gym
    >>> import distilled_envs
    >>> env = gym.make("DistilledCartPoleND-v0", dims=2)
    >>> observation, info = env.reset(seed=0)
    >>> best = info["target"].argmax()
    >>> float(env.step(best)[1])
    0.0

    ```

    ## Vectorized environment

    `gym.make_vec("DistilledCartPoleND-v0", num_envs=k)` with as many copies as rows shows the
    whole batch at once: one `reset` and one `step` are the one-batch lesson. Its `expand` is 0 if
    not given.

    ## Version History

    * v0: Initial version.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        dataset: str | DistilledDataset,
        *,
        mode: Mode = "bandit",
        expand: int | None = None,
        dims: int | None = None,
        instances: int | Literal["min"] | None = None,
        encoder_level: int | None = None,
        render_mode: None = None,
    ):
        self._deal = Deal(dataset, mode, expand, dims, instances, encoder_level)
        self.observation_space = self._deal.observation_space
        self.action_space = self._deal.action_space
        self.render_mode = render_mode
        self._index: int | np.integer | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Show a row: a random one, or ``options["index"]``."""
        super().reset(seed=seed)
        rows = len(self._deal.observations)
        index = (options or {}).get("index")
        if index is None:
            index = int(self.np_random.integers(rows))
        if not isinstance(index, int | np.integer) or not 0 <= index < rows:
            raise SettingsError(
                f"options['index'] must be a whole number from 0 to {rows - 1}, got {index!r}."
            )
        self._index = index
        return self._deal.observations[index].copy(), self._info()

    def step(
        self, action: np.ndarray | np.integer | int
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Reward the action (or prediction) at the row shown, and end the episode."""
        if self._index is None:
            raise gym.error.ResetNeeded("Call reset() before step().")
        reward = self._deal.rewards(np.array([self._index]), np.asarray(action)[None])[0]
        return (
            self._deal.observations[self._index].copy(),
            float(reward),
            True,
            False,
            self._info(),
        )

    def _info(self) -> dict[str, Any]:
        return {"index": self._index, "target": self._deal.targets[self._index].copy()}


class DistilledVectorEnv(VectorEnv):
    """Many rows of a distilled dataset at once; see :class:`DistilledEnv`.

    The rows come in order, round after round, from the first one again after ``reset(seed=...)``:
    with as many copies as rows, every ``reset`` shows the whole batch. ``info["index"]`` and
    ``info["target"]`` have one entry a copy.

    Args:
        num_envs: Number of copies.
        dataset: What ``load_distilled`` takes, or a dataset.
        mode: ``"bandit"`` or ``"supervised"``.
        expand: Expanded rows to deal; 0 deals the bare ones.
        dims: Axes, for ``DistilledCartPoleND-v0``.
        instances: Number of rows.
        encoder_level: 0 to 4, for Atari games.
        autoreset_mode: One of Gymnasium's autoreset modes, or its name.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        *,
        dataset: str | DistilledDataset,
        mode: Mode = "bandit",
        expand: int = 0,
        dims: int | None = None,
        instances: int | Literal["min"] | None = None,
        encoder_level: int | None = None,
        render_mode: None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ):
        self._deal = Deal(dataset, mode, expand, dims, instances, encoder_level)
        self.single_observation_space = self._deal.observation_space
        self.single_action_space = self._deal.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._next_row = 0
        self._index: np.ndarray | None = None
        self._done = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Show the next rows (all copies; or where ``options["reset_mask"]`` is True)."""
        super().reset(seed=seed)
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool))
        if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != (self.num_envs,):
            raise SettingsError(
                f"options['reset_mask'] must be a boolean array of shape ({self.num_envs},)."
            )
        if self._index is None:
            self._index = np.zeros(self.num_envs, dtype=np.int64)
        if seed is not None:  # starts the round of rows again
            self._next_row = 0
        self._show_next(mask)
        return self._observation(), self._info()

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Reward the actions (or predictions) at the rows shown, and end the episodes."""
        if self._index is None:
            raise gym.error.ResetNeeded("Call reset() before step().")
        everyone = np.ones(self.num_envs, dtype=bool)
        nobody = np.zeros(self.num_envs, dtype=bool)
        if self._done.any():
            if self.autoreset_mode is AutoresetMode.DISABLED:
                raise gym.error.ResetNeeded(
                    "Episodes have ended: call reset(options={'reset_mask': mask}) before step()."
                )
            # NEXT_STEP: every episode ended together, so this step is the reset of all of them.
            self._show_next(everyone)
            rewards = np.zeros(self.num_envs, dtype=np.float32)
            return self._observation(), rewards, nobody, nobody.copy(), self._info()
        rewards = self._deal.rewards(self._index, np.asarray(actions)).astype(np.float32)
        self._done = everyone
        info = self._info()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            last = np.full(self.num_envs, None)
            last[:] = list(self._observation())
            self._show_next(everyone)
            info = self._info() | {
                "final_obs": last,
                "_final_obs": everyone,
                "final_info": info,
                "_final_info": everyone,
            }
        return self._observation(), rewards, everyone.copy(), nobody, info

    def _show_next(self, mask: np.ndarray) -> None:
        """Give the next rows to the copies in ``mask``."""
        assert self._index is not None
        count = int(mask.sum())
        rows = len(self._deal.observations)
        self._index[mask] = (self._next_row + np.arange(count)) % rows
        self._next_row = (self._next_row + count) % rows
        self._done = self._done & ~mask

    def _observation(self) -> np.ndarray:
        return self._deal.observations[self._index]

    def _info(self) -> dict[str, Any]:
        assert self._index is not None
        everyone = np.ones(self.num_envs, dtype=bool)
        targets = self._deal.targets[self._index]
        return {
            "index": self._index.copy(),
            "_index": everyone,
            "target": targets,
            "_target": everyone,
        }
