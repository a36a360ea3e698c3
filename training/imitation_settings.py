"""Settings of what makes rows from a known behavior, without rewards."""

import math
from dataclasses import dataclass

from distilled_envs.errors import SettingsError
from distilled_envs.seeds import checked_seed
from distilled_envs.spec import ENCODER_LEVELS, MAX_DEPTH, MAX_WIDTH


@dataclass(frozen=True)
class ImitationSettings:
    """How a policy becomes rows; see :func:`~distilled_envs.training.imitate`."""

    instances: int | None = None
    """Rows at most, k. A linear policy of rank r takes r + 1; fewer keep its strongest directions.
    None takes as many as it needs, where rows have to be learned 64, with an encoder for vectors
    32, and with one of level 4 for frames 16."""
    rounds: int = 4
    """Rounds in which the linear policy, wide learners, or those behind the encoder play and the
    teacher answers, for them to be fitted anew."""
    visits: int = 4_000
    """Environment steps of each round, and of the teacher before, at least; episodes are played to
    their end."""
    width: int | None = None
    """Units of the one hidden layer, of ReLU, of wide learners, for teachers that no linear policy
    follows: 2,048 or so. None makes rows for networks like Stable-Baselines3's."""
    encoder: tuple[int, ...] = ()
    """Units of each hidden layer of an encoder, which is learned and shipped with the rows, for
    teachers that no linear policy follows; learners are a fresh last layer behind it. Empty makes
    rows that need none."""
    encoder_level: int | None = None
    """Of learners of frames: how many of the Nature CNN's layers are an encoder's, 0 to 4. None
    takes 4."""
    temperature: float | None = None
    """Of choices at frames: the teacher's logits are divided by it, so that learners leave less to
    chance below 1. None tries 1, 0.5 and 0.25, and takes what gets most; below level 4 it takes
    1, and learners behind layers of the teacher's are sharpened as they play."""
    enough: float = 0.95
    """Share of the teacher's return that networks must keep after one step on a linear policy's
    rows; where they keep less, rows are learned, which takes minutes, and the better ones stay."""
    episodes: int = 32
    """Episodes of the teacher, and fresh networks with one each, from which that share comes. With
    0 nothing is played, where the teacher is a linear policy with a mean and a std."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self):
        checked_seed(self.seed)
        if self.instances is not None and self.instances < 2:
            raise SettingsError(f"Imitation needs two instances at least, got {self.instances}.")
        if self.visits < 1 or min(self.rounds, self.episodes) < 0:
            raise SettingsError(
                "Imitation needs visits of at least 1, and rounds and episodes of at least 0, got "
                f"{self.visits}, {self.rounds} and {self.episodes}."
            )
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise SettingsError(f"temperature must be above 0 and finite, got {self.temperature}.")
        if not 0 <= self.enough <= 1:
            raise SettingsError(f"enough must lie in 0..1, got {self.enough}.")
        layers = self.encoder
        if not (
            isinstance(layers, tuple)
            and len(layers) <= MAX_DEPTH
            and all(type(size) is int and 1 <= size <= MAX_WIDTH for size in layers)
        ):
            raise SettingsError(
                f"encoder must be a tuple of at most {MAX_DEPTH} numbers of units, each from 1 to "
                f"{MAX_WIDTH}, got {layers!r}."
            )
        width = self.width
        if width is not None and not (type(width) is int and 1 <= width <= MAX_WIDTH):
            raise SettingsError(f"width must lie in 1..{MAX_WIDTH}, got {width!r}.")
        if self.encoder_level is not None and self.encoder_level not in ENCODER_LEVELS:
            raise SettingsError(f"encoder_level must be 0 to 4, got {self.encoder_level}.")
        if self.encoder and width is not None:
            raise SettingsError("Learners are wide or behind an encoder: give only one of the two.")
        if self.is_nonlinear and not self.episodes:
            raise SettingsError(
                "Wide learners and an encoder learn from play: give episodes of at least 1."
            )

    @property
    def is_nonlinear(self) -> bool:
        """Whether learners are such as answer by more than linear maps."""
        return bool(self.encoder) or self.width is not None


@dataclass(frozen=True)
class RefitSettings:
    """How rows for a known behavior are learned; see :func:`~distilled_envs.training.refit`."""

    instances: int = 64
    """Rows of the new dataset, k."""
    visited: float = 0.5
    """Share of the rows that start at states which the teacher visits; the others start in random
    directions."""
    steps: int = 3_000
    """Gradient steps, a hundredth of a second each."""
    consistency: float = 0.02
    """Weight of the learners' error on the rows after their step. On Hopper the one step teaches
    3,311 with 0, and Adam on the rows 187; with 0.02 3,306 and 2,670."""
    shrink: float = 1.0
    """Factor on the scale of normalized observations. With smaller inputs networks of other widths
    learn the same: where the scale was 0.2, as meta-PPO has it, HalfCheetah's of width 256 get
    4,486 with 0.5, and 1,324 with 1. Rows in closed form have a scale that needs none."""
    learning_rate: float = 1e-2
    """Learning rate (Adam), which falls linearly to 0."""
    seed: int = 0
    """Seed of rows, learners and environments."""

    def __post_init__(self):
        checked_seed(self.seed)
        if (
            min(self.instances, self.steps) < 1
            or not 0 <= self.visited <= 1
            or self.consistency < 0
            or min(self.shrink, self.learning_rate) <= 0
        ):
            raise SettingsError(
                "Refitting needs instances and steps of at least 1, visited within 0 and 1, a "
                "consistency of at least 0 and a shrink and a learning_rate above 0, got "
                f"{self.instances}, {self.steps}, {self.visited}, {self.consistency}, "
                f"{self.shrink} and {self.learning_rate}."
            )
