"""``Distilled<Name>-v0``: a distilled dataset as a Gymnasium environment, scalar and vectorized."""

import operator
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.real import env_spaces
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.loading import load_distilled
from distilled_envs.spaces import Actions

Mode = Literal["bandit", "supervised"]

EXPANDED = 8192
"""Inputs that a bandit deals, if not told otherwise."""

_EXPANSION_SEED = 0  # all copies of an id deal the same, whatever their own seeds


class _Batch:
    """What is dealt, as arrays, with the spaces and the rewards that both environments share."""

    def __init__(
        self,
        dataset: str | DistilledDataset,
        mode: Mode,
        expand: int | None,
        dims: int | None,
        instances: int | Literal["min"] | None,
        encoder_level: int | None,
    ):
        if mode not in ("bandit", "supervised"):
            raise SettingsError(f"mode must be 'bandit' or 'supervised', got {mode!r}.")
        if isinstance(dataset, DistilledDataset):
            if (dims, instances, encoder_level) != (None, None, None):
                raise SettingsError(
                    "dims, instances and encoder_level choose a named dataset: leave them out."
                )
        else:
            dataset = load_distilled(
                dataset, dims=dims, instances=instances, encoder_level=encoder_level
            )
        known = env_spaces(dataset.spec)
        self.observation_space = known.observation
        # Frames are whole numbers, and their space is of bytes.
        observations = dataset.observations.numpy().astype(self.observation_space.dtype)
        inside = self._inside(observations)
        if not inside.all():
            raise DatasetError(
                f"{dataset.spec.name}: row {inside.argmin()} lies outside the real "
                f"environment's observation space {self.observation_space}."
            )
        self.observations, self.targets = observations, dataset.targets.numpy()
        if expand := _number_of_inputs(expand, mode, dataset):
            self._expand(dataset, expand)
        if mode == "supervised":
            bound = np.full(self.targets.shape[1], np.abs(self.targets).max(), dtype=np.float32)
            self.action_space: Actions = spaces.Box(-bound, bound, dtype=np.float32)
        else:
            self.action_space = known.action

    def _expand(self, dataset: DistilledDataset, n: int) -> None:
        """Put expanded rows in the place of the bare ones."""
        expansion = dataset.expand(n, seed=_EXPANSION_SEED)
        observations = expansion.observations.numpy().astype(self.observation_space.dtype)
        # Of 1-D cart-pole from two rows 4% are poles beyond the space's 24 degrees; else < 0.1%.
        inside = self._inside(observations)
        if not inside.any():
            raise DatasetError(
                f"{dataset.spec.name}: none of {n} expanded rows lies in the real environment's "
                f"observation space {self.observation_space}: give expand=0 for the bare rows."
            )
        self.observations = observations[inside]
        self.targets = expansion.targets.numpy()[inside]

    def _inside(self, observations: np.ndarray) -> np.ndarray:
        """Which of ``(n, *shape)`` lie in the observation space: booleans ``(n,)``."""
        space = self.observation_space
        fits = (observations >= space.low) & (observations <= space.high)
        return fits.reshape(len(observations), -1).all(axis=1)

    def rewards(self, index: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Rewards ``(n,)`` for actions at the rows ``index`` ``(n,)``."""
        targets = self.targets[index]
        space = self.action_space
        if actions.shape != (len(index), *(space.shape or ())):
            raise SettingsError(
                f"{len(index)} actions of shape {space.shape} are needed, got an array of shape "
                f"{actions.shape}."
            )
        if isinstance(space, spaces.Discrete):
            if not np.issubdtype(actions.dtype, np.integer) or not all(
                map(space.contains, actions)
            ):
                raise SettingsError(f"{actions.tolist()} are not all actions of {space}.")
            chosen = np.take_along_axis(targets, actions[:, None] - space.start, 1)
            return chosen[:, 0] - targets.max(axis=1)
        if not np.isfinite(actions).all():
            raise SettingsError(f"Actions must be finite numbers, got {actions.tolist()}.")
        wanted = np.clip(targets, space.low, space.high)
        return -np.square(actions - wanted).mean(axis=1)


def _number_of_inputs(expand: int | None, mode: Mode, dataset: DistilledDataset) -> int:
    """How many expanded rows are dealt; 0 for the bare ones."""
    frames = dataset.spec.preprocessing is not None
    if expand is None:
        return EXPANDED if mode == "bandit" and not frames else 0
    try:
        number = operator.index(expand)
    except TypeError:
        number = -1
    if number < 0:
        raise SettingsError(f"expand must be a number of inputs, 0 for none, got {expand!r}.")
    if number and frames:
        raise SettingsError(
            f"{dataset.spec.name} has rows of frames, and noise is no frame that a game shows: "
            "leave out expand, or give expand=0."
        )
    return number


class DistilledEnv(gym.Env):
    """A distilled dataset as a drop-in for the environment it stands for.

    ## Description

    A contextual bandit: `reset` shows an observation, one `step` ends the episode. Spaces are those
    of ``dataset.make_env()``, on cart-pole and in games those of the real environment, so that
    training code needs nothing but another id. No simulator is needed to make it or to train on it.

    A batch teaches through one gradient step of its own, and RL on a few rows learns those rows and
    no more. A bandit therefore deals *expanded* rows: inputs drawn at random, each with the mean
    answer of networks that took the one step (``dataset.expand``). With `expand=0` it deals the
    rows themselves, and so it always does in games, where noise is nothing that a game shows.
    Method: Wilhelm & Ventura, arXiv 2508.09283; the bandit reading is this package's own.

    ## Action Space

    The real environment's. With `mode="supervised"` the space of targets: `Box` of shape
    `(n_outputs,)`, bounded by the largest absolute target.

    ## Observation Space

    The real environment's (under the dataset's observation transform, if it has one).

    ## Rewards

    | mode           | action space | reward                                      |
    |----------------|--------------|---------------------------------------------|
    | `"bandit"`     | `Discrete`   | `target[action] - max(target)`: 0 is best    |
    | `"bandit"`     | `Box`        | `-mean((action - clip(target))**2)`          |
    | `"supervised"` | `Box`        | `-mean((prediction - target)**2)`            |

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
    | `instances` | **int or "min"**   | the most   | Number of rows                              |
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
        self._batch = _Batch(dataset, mode, expand, dims, instances, encoder_level)
        self.observation_space = self._batch.observation_space
        self.action_space = self._batch.action_space
        self.render_mode = render_mode
        self._index: int | np.integer | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Show a row: a random one, or ``options["index"]``."""
        super().reset(seed=seed)
        rows = len(self._batch.observations)
        index = (options or {}).get("index")
        if index is None:
            index = int(self.np_random.integers(rows))
        if not isinstance(index, int | np.integer) or not 0 <= index < rows:
            raise SettingsError(
                f"options['index'] must be a whole number from 0 to {rows - 1}, got {index!r}."
            )
        self._index = index
        return self._batch.observations[index].copy(), self._info()

    def step(
        self, action: np.ndarray | np.integer | int
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Reward the action (or prediction) at the row shown, and end the episode."""
        if self._index is None:
            raise gym.error.ResetNeeded("Call reset() before step().")
        reward = self._batch.rewards(np.array([self._index]), np.asarray(action)[None])[0]
        return (
            self._batch.observations[self._index].copy(),
            float(reward),
            True,
            False,
            self._info(),
        )

    def _info(self) -> dict[str, Any]:
        return {"index": self._index, "target": self._batch.targets[self._index].copy()}


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
        self._batch = _Batch(dataset, mode, expand, dims, instances, encoder_level)
        self.single_observation_space = self._batch.observation_space
        self.single_action_space = self._batch.action_space
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
        self._deal(mask)
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
            self._deal(everyone)
            rewards = np.zeros(self.num_envs, dtype=np.float32)
            return self._observation(), rewards, nobody, nobody.copy(), self._info()
        rewards = self._batch.rewards(self._index, np.asarray(actions)).astype(np.float32)
        self._done = everyone
        info = self._info()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            last = np.full(self.num_envs, None)
            last[:] = list(self._observation())
            self._deal(everyone)
            info = self._info() | {
                "final_obs": last,
                "_final_obs": everyone,
                "final_info": info,
                "_final_info": everyone,
            }
        return self._observation(), rewards, everyone.copy(), nobody, info

    def _deal(self, mask: np.ndarray) -> None:
        """Give the next rows to the copies in ``mask``."""
        assert self._index is not None
        count = int(mask.sum())
        rows = len(self._batch.observations)
        self._index[mask] = (self._next_row + np.arange(count)) % rows
        self._next_row = (self._next_row + count) % rows
        self._done = self._done & ~mask

    def _observation(self) -> np.ndarray:
        return self._batch.observations[self._index]

    def _info(self) -> dict[str, Any]:
        assert self._index is not None
        everyone = np.ones(self.num_envs, dtype=bool)
        targets = self._batch.targets[self._index]
        return {
            "index": self._index.copy(),
            "_index": everyone,
            "target": targets,
            "_target": everyone,
        }
