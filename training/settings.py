"""Every setting of a distillation, of a game's, of imitation and of refitting."""

import math
from dataclasses import dataclass
from typing import Any

from distilled_envs.errors import SettingsError
from distilled_envs.learners.families import FAMILIES, of_family
from distilled_envs.seeds import checked_seed
from distilled_envs.spec import ENCODER_LEVELS, LearnerSpec, family_of
from distilled_envs.training.setting_groups import (
    Bookkeeping,
    Game,
    Optimization,
    Population,
    Rows,
    Scaling,
    Task,
)

QUADRATIC_INPUTS = 64
"""Numbers of an observation at most for a quadratic critic, whose work grows with their fourth
power."""


@dataclass(frozen=True)
class Settings(Bookkeeping, Scaling, Rows, Optimization, Population, Task):
    """Settings of one distillation: those of all groups of :mod:`.setting_groups`."""

    def __post_init__(self):
        checked_seed(self.seed)
        for name, lowest, above in _BOUNDS:
            value = getattr(self, name, None)  # some are a game's
            if value is None:
                continue
            if not math.isfinite(value) or value < lowest or (above and value == lowest):
                word = "above" if above else "at least"
                raise SettingsError(f"{name} must be {word} {lowest}, got {value}.")
        if self.reward_threshold is not None and not math.isfinite(self.reward_threshold):
            raise SettingsError(f"reward_threshold must be finite, got {self.reward_threshold}.")
        for name in ("discount", "gae_lambda", "limit_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} must lie in 0..1, got {getattr(self, name)}.")
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise SettingsError(f"hidden_sizes must be positive, got {self.hidden_sizes}.")
        unknown = [family for family in self.families if family not in FAMILIES]
        if unknown or not self.families:
            raise SettingsError(
                f"families must be of {', '.join(FAMILIES)}, got {', '.join(unknown) or 'none'}."
            )
        if self.limit_share and self.families != ("orthogonal",):
            raise SettingsError(
                "limit_share is for orthogonal networks, whose limit is known: leave out families."
            )
        if self.critic not in ("network", "quadratic"):
            raise SettingsError(f"critic must be network or quadratic, got {self.critic!r}.")
        if self.learners < len(self.families):
            raise SettingsError(
                f"learners={self.learners} can't be divided among {len(self.families)} families."
            )
        if self.coordinates is not None:
            if self.observation_scale is None:
                raise SettingsError("coordinates needs an observation_scale.")
            if not self.coordinates or len(set(self.coordinates)) < len(self.coordinates):
                raise SettingsError(f"coordinates must be different, got {self.coordinates}.")
        if self.coordinate_scales is not None and (
            self.observation_scale is None or min(self.coordinate_scales, default=0) <= 0
        ):
            raise SettingsError(
                "coordinate_scales must be above 0, and need an observation_scale, got "
                f"{self.coordinate_scales} and {self.observation_scale}."
            )
        if self.mirrored and (self.observation_scale is None or self.instances % 2):
            raise SettingsError(
                "mirrored needs an observation_scale, and an even number of instances, got "
                f"{self.observation_scale} and {self.instances}."
            )
        if self.teacher is not None and self.observation_scale is not None:
            raise SettingsError("A teacher sees plain observations: leave out observation_scale.")
        if self.env_id.startswith("ALE/") and not isinstance(self, GameSettings):
            raise SettingsError(
                f"{self.env_id} is a game, whose settings are GameSettings, with an encoder_level."
            )
        if self.minibatches > self.horizon * self.envs_per_learner:
            raise SettingsError(
                f"minibatches={self.minibatches} is more than the "
                f"{self.horizon * self.envs_per_learner} steps of a learner in one iteration."
            )

    @property
    def make_kwargs(self) -> dict[str, Any]:
        """Arguments of ``gym.make`` beside the id, with the number of axes."""
        return self.env_kwargs | ({} if self.dims is None else {"dims": self.dims})

    @property
    def learner(self) -> LearnerSpec:
        """The network that is distilled for, of the first family."""
        return self.networks[0]

    @property
    def networks(self) -> tuple[LearnerSpec, ...]:
        """The networks that are distilled for, one of each family."""
        learner = LearnerSpec(hidden_sizes=self.hidden_sizes)
        return tuple(of_family(learner, family) for family in self.families)

    def is_solved_by(self, mean_return: float) -> bool:
        """Whether learners who get this have solved the environment; never without threshold."""
        return self.reward_threshold is not None and mean_return >= self.reward_threshold

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps in one iteration."""
        return self.learners * self.envs_per_learner * self.horizon

    @property
    def iterations(self) -> int:
        """Iterations of the whole run, at least one."""
        return max(1, self.total_steps // self.steps_per_iteration)


@dataclass(frozen=True)
class GameSettings(Game, Settings):
    """Settings of a distillation, with those that only games need.

    An environment of vectors can have them too, all but an encoder level.
    """

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.guide_share <= 1:
            raise SettingsError(f"guide_share must lie in 0..1, got {self.guide_share}.")
        if self.encoder_level is None and self.env_id.startswith("ALE/"):
            raise SettingsError(f"{self.env_id} is a game, and needs an encoder_level, 0 to 4.")
        if self.encoder_level is not None:
            if self.encoder_level not in ENCODER_LEVELS:
                raise SettingsError(f"encoder_level must be 0 to 4, got {self.encoder_level}.")
            if len(self.hidden_sizes) != 1:
                raise SettingsError(
                    f"A CNN has one hidden layer after its convolutions, got {self.hidden_sizes}."
                )
            if self.families != ("orthogonal",):
                raise SettingsError("The learners of a game are CNNs: leave out families.")
            if self.observation_scale is not None:
                raise SettingsError("Frames are shown as they are: leave out observation_scale.")
            if self.limit_share:
                raise SettingsError("CNNs have no linear limit: leave out limit_share.")
            if self.critic != "network":
                raise SettingsError("A quadratic critic is not for frames: leave out critic.")
        if self.end_at_lost_life and not self.env_id.startswith("ALE/"):
            raise SettingsError("end_at_lost_life is for Atari games, where lives are counted.")
        if self.guide_share and self.constant_start:
            raise SettingsError(
                "With a guide_share learners follow a guide from the start: leave out "
                "constant_start."
            )
        if self.guide_share and self.teacher is not None:
            raise SettingsError(
                "With a guide_share the guide is the learners' teacher: leave out teacher, or give "
                "its dataset as guide_start."
            )
        if self.guide_start is not None and not self.guide_share:
            raise SettingsError("guide_start is for a guide: give a guide_share too.")
        if self.normalize_rewards and self.reward_sign:
            raise SettingsError("normalize_rewards and reward_sign exclude each other.")

    @property
    def networks(self) -> tuple[LearnerSpec, ...]:
        """The networks that are distilled for: of frames one, the Nature CNN."""
        if self.encoder_level is None:
            return super().networks
        cnn = LearnerSpec("nature-cnn", self.hidden_sizes, "relu", encoder_level=self.encoder_level)
        return (cnn,)


def dataset_name(
    env_id: str,
    instances: int,
    dims: int | None = None,
    encoder_level: int | None = None,
    families: int = 1,
    minimum: bool = False,
    encoded: bool = False,
    wide: bool = False,
) -> str:
    """The name ``<family>-<variant>`` of a dataset.

    Args:
        env_id: The environment's id.
        instances: Rows.
        dims: Cart-pole axes.
        encoder_level: Of a game.
        families: Number of families of networks that it is for.
        minimum: Whether no fewer rows can teach its policy; of cart-pole N + 1 rows always are.
        encoded: Whether it has an encoder for vectors.
        wide: Whether it is for wide networks of ReLU.

    >>> dataset_name("CartPoleND-v0", 3, dims=2)
    'cartpole-nd-2d-min'
    >>> dataset_name("Hopper-v5", 64)
    'hopper-64'
    >>> dataset_name("ALE/Pong-v5", 4, encoder_level=3)
    'pong-level3'
    >>> dataset_name("CartPoleND-v0", 16, dims=2, families=4)
    'cartpole-nd-2d-any'
    >>> dataset_name("Hopper-v5", 4, minimum=True)
    'hopper-min'
    >>> dataset_name("Hopper-v5", 32, encoded=True)
    'hopper-encoder'
    >>> dataset_name("Reacher-v5", 64, wide=True)
    'reacher-wide'
    """
    rows = "any" if families > 1 else "min" if minimum and dims is None else str(instances)
    rows = "encoder" if encoded else "wide" if wide else rows
    if dims is not None:
        return f"cartpole-nd-{dims}d-{'min' if rows == str(dims + 1) else rows}"
    return f"{family_of(env_id)}-{rows if encoder_level is None else f'level{encoder_level}'}"


_COUNTS = (
    "instances total_steps max_episode_steps threads learners envs_per_learner horizon epochs "
    "minibatches eval_learners eval_episodes"
)
_POSITIVE = (
    "learning_rate target_learning_rate critic_learning_rate encoder_learning_rate clip "
    "max_grad_norm target_kl initial_inner_learning_rate observation_scale initial_std"
)
_NOT_NEGATIVE = "consistency entropy min_std value_weight checkpoint_seconds"
_BOUNDS = (
    *((name, 1, False) for name in _COUNTS.split()),
    *((name, 0, True) for name in _POSITIVE.split()),
    *((name, 0, False) for name in _NOT_NEGATIVE.split()),
)
"""Setting, lowest value, and whether it must be above that."""
