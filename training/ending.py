"""When a run ends: after its iterations, or soon after its learners have solved the environment."""

import math
from typing import Any

from distilled_envs.training.settings import Settings

HELD = 10
"""Iterations in a row in which learners get the threshold, before the environment is solved: one
may be luck, and one iteration's rows are not the next one's."""
LAST = 0.25
"""Length of the last phase, as a share of what it took to solve the environment. Learning rates are
small from its start and fall to 0, and limit learners give way to networks."""


class Ending:
    """The iterations of a run, which become fewer once its environment is solved.

    Attributes:
        held: Iterations in a row in which learners got the threshold.
        solved: The iteration in which they had held it for long enough; 0 before.

    Args:
        settings: The run's.
        begins: The iteration in which learners begin to play.
    """

    def __init__(self, settings: Settings, begins: int = 0):
        self._settings, self._begins = settings, begins
        threshold = settings.reward_threshold
        self._threshold = None if threshold is None else float(threshold)
        self.held = self.solved = 0

    @property
    def iterations(self) -> int:
        """Iterations of the whole run, as far as it is known."""
        if not self.solved:
            return self._settings.iterations
        last = math.ceil(LAST * (self.solved - self._begins))
        return min(self._settings.iterations, self.solved + last)

    def note(self, iteration: int, mean_return: float) -> None:
        """Take account of an iteration.

        Args:
            iteration: Its number, from 1.
            mean_return: Of recent episodes; NaN as long as none has ended.
        """
        if self._threshold is None or iteration <= self._begins or self.solved:
            return
        self.held = self.held + 1 if mean_return >= self._threshold else 0
        if self.held >= HELD:
            self.solved = iteration

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` goes on from."""
        return {"threshold": self._threshold, "held": self.held, "solved": self.solved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; one of another threshold says nothing about this one."""
        if state["threshold"] == self._threshold:
            self.held, self.solved = state["held"], state["solved"]
