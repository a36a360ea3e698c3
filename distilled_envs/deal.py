"""What a distilled id deals: bare or expanded rows, and the rewards for actions at them."""

import operator
from typing import Literal

import numpy as np
from gymnasium import spaces

from distilled_envs.dataset import EXPANDED, DistilledDataset
from distilled_envs.envs.real import env_spaces
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.learners.actions import by_number
from distilled_envs.loading import load_distilled
from distilled_envs.spaces import Actions

Mode = Literal["bandit", "supervised"]

_EXPANSION_SEED = 0  # all copies of an id deal the same, whatever their own seeds


class Deal:
    """What is dealt, as arrays, with the spaces and the rewards that both environments share.

    Arguments are those of :class:`~distilled_envs.distilled_env.DistilledEnv`.

    Attributes:
        observations: What is shown ``(n, *shape)``: the bare rows, or expanded ones.
        targets: Targets ``(n, n_outputs)`` of these.
        observation_space: The real environment's, under the dataset's transform.
        action_space: The real environment's, or with ``mode="supervised"`` that of targets.

    Raises:
        DatasetError: There is no such dataset, or its rows lie outside the observation space.
        SettingsError: Arguments that are wrong, or don't go together.
    """

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
        self.mode = mode
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
        self._parts = dataset.spec.task.parts
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
        # Poles beyond the space's 24 degrees: 30% on 1-D cart-pole from two rows, 12% on 2-D from
        # three, less than 5% else.
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
        return np.all(fits.reshape(len(observations), -1), axis=1)

    def rewards(self, index: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Rewards ``(n,)`` for actions at the rows ``index`` ``(n,)``."""
        targets = self.targets[index]
        space = self.action_space
        if actions.shape != (len(index), *(space.shape or ())):
            raise SettingsError(
                f"{len(index)} actions of shape {space.shape} are needed, got an array of shape "
                f"{actions.shape}."
            )
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            if not np.issubdtype(actions.dtype, np.integer) or not all(
                map(space.contains, actions)
            ):
                raise SettingsError(f"{actions.tolist()} are not all actions of {space}.")
            return self._missed(targets, by_number(space, actions))
        if not np.isfinite(actions).all():
            raise SettingsError(f"Actions must be finite numbers, got {actions.tolist()}.")
        if self.mode == "supervised":
            return -np.square(actions - targets).mean(axis=1)
        return _closeness(actions, targets, space)

    def _missed(self, targets: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """By how much the targets of actions ``(n, ...)`` are below the highest, mean of parts."""
        ends = np.cumsum(self._parts)[:-1]
        parts = zip(
            np.split(targets, ends, axis=1), actions.reshape(len(targets), -1).T, strict=True
        )
        missed = [part[np.arange(len(part)), each] - part.max(1) for part, each in parts]
        return np.mean(missed, axis=0)


def _number_of_inputs(expand: int | None, mode: Mode, dataset: DistilledDataset) -> int:
    """How many expanded rows are dealt; 0 for the bare ones."""
    frames = dataset.spec.has_frames
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


def _closeness(actions: np.ndarray, targets: np.ndarray, space: spaces.Box) -> np.ndarray:
    """Rewards ``(n,)`` for actions ``(n, n_outputs)``: at most 0, and 0 at the clipped targets.

    The mean over dimensions of the squared error, and of what a bound costs. PPO explores with a
    standard deviation that starts at 1 and shrinks to 0.1 or 0.3 in 100,000 steps, and its mean
    stays 0.4 standard deviations off, so that how well it does depends on how fast they shrink.
    The squared error alone does not ask for that where most actions are clipped: Humanoid's, within
    +-0.4, then get 1,882 of 5,776 in the real environment, and 5,786 with this cost. It fades
    toward targets at the bound, beside which a step in the reward would push actions inward: with
    the same cost for all targets within the bounds PPO's error on Walker2d grew sixfold.
    """
    center, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    wanted = np.clip(targets, space.low, space.high)
    at_bound = (actions <= space.low) | (actions >= space.high)
    cost = np.where(at_bound, 1 - np.square((wanted - center) / half), 0)
    return -(np.square(actions - wanted) + cost).mean(axis=1)
