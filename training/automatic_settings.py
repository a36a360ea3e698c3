"""Settings of what finds its own way to a dataset."""

import math
from dataclasses import dataclass, field
from typing import Any

from distilled_envs.envs.atari import is_game
from distilled_envs.errors import SettingsError
from distilled_envs.seeds import checked_seed

MINUTES, GAME_MINUTES = 8.0, 60.0
EVALUATED, GAME_NETWORKS = 100, 32
"""Of training, and networks in the evaluation, where nobody says otherwise."""


@dataclass(frozen=True)
class AutomaticSettings:
    """What to distill, and the time that it may take."""

    env_id: str
    """Gymnasium id of the environment, with its module before a colon where that registers it."""
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    """Arguments of the environment, such as '{"map_name": "8x8"}'."""
    max_episode_steps: int | None = None
    """Steps after which an episode is cut; None takes the environment's own time limit."""
    minutes: float | None = None
    """Of training, about: a fifth at most for linear policies, what is left of three quarters for
    PPO where those are not enough, less where play is slow, and the rest for its encoder. None
    takes 8, for Atari games 60."""
    seed: int = 0
    """Seed of everything random."""
    eval_learners: int | None = None
    """Fresh networks in the evaluation at the end; None takes 100, for Atari games 32."""
    eval_episodes: int = 1
    """Episodes of each, in each action mode, at least: more where returns differ much by chance and
    are played in no time."""

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise SettingsError(f"minutes must be above 0, got {self.minutes}.")
        if min(self.networks, self.eval_episodes) < 1 or self.eval_learners == 0:
            raise SettingsError(
                "eval_learners and eval_episodes must be at least 1, got "
                f"{self.eval_learners} and {self.eval_episodes}."
            )
        checked_seed(self.seed)

    @property
    def seconds(self) -> float:
        """Of training."""
        usual = GAME_MINUTES if self._is_game else MINUTES
        return 60 * (usual if self.minutes is None else self.minutes)

    @property
    def networks(self) -> int:
        """In the evaluation at the end."""
        return self.eval_learners or (GAME_NETWORKS if self._is_game else EVALUATED)

    @property
    def _is_game(self) -> bool:
        return is_game(self.env_id)
