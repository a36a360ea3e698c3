"""When a run ends: after its iterations, or soon after its learners have solved the environment."""

import math
from typing import Any

from distilled_envs.formatting import written
from distilled_envs.training.settings import Settings

HELD = 10
"""Iterations in a row in which learners get the threshold, before the environment is solved: one
may be luck, and one iteration's rows are not the next one's. All episodes that the mean return is
of have ended within them."""
LAST = 0.25
"""Length of the last phase, as a share of what it took to solve the environment. Learning rates are
small from its start and fall to 0."""


class Ending:
    """The iterations of a run, which become fewer once its environment is solved.

    Attributes:
        held: Iterations in a row in which learners got the threshold.
        episodes: Those that ended in them.
        limit_solved: The iteration in which limit learners had held it for long enough; 0 before.
            Networks go on then, and have to hold it, too: on 2-D cart-pole they get 410 at first.
        solved: The iteration in which they had held it for long enough; 0 before.

    Args:
        settings: The run's.
        begins: The iteration in which learners begin to play.
    """

    def __init__(self, settings: Settings, begins: int = 0):
        self._settings, self._begins = settings, begins
        self.held = self.episodes = self.limit_solved = self.solved = 0

    @property
    def iterations(self) -> int:
        """Iterations of the whole run, as far as it is known."""
        if not self.solved:
            return self._settings.iterations
        last = math.ceil(LAST * (self.solved - self._begins))
        return min(self._settings.iterations, self.solved + last)

    def is_of_limit_learners(self, iteration: int) -> bool:
        """Whether learners of an iteration are the limit of wide networks."""
        done = self.limit_solved or self.solved
        return not done and iteration < self._settings.limit_share * self.iterations

    def note(self, iteration: int, mean_return: float, ended: int, recent: int) -> None:
        """Take account of an iteration.

        Args:
            iteration: Its number, from 1.
            mean_return: Of recent episodes; NaN as long as none has ended.
            ended: Episodes that ended in it.
            recent: How many episodes the mean is of.
        """
        if iteration <= self._begins or self.solved:
            return
        if not self._settings.is_solved_by(mean_return):
            self.held = self.episodes = 0
            return
        # Where episodes are long, several iterations have the same ones.
        self.held, self.episodes = self.held + 1, self.episodes + ended
        if self.held < HELD or self.episodes < recent:
            return
        if self.is_of_limit_learners(iteration - 1):
            self.limit_solved = iteration
            self.held = self.episodes = 0
        else:
            self.solved = iteration

    def message(self, last_step: int) -> str:
        """That a run which is solved ends before its time, with this environment step."""
        settings = self._settings
        assert settings.reward_threshold is not None
        rates = "learning rates fall to 0, and " * settings.anneal
        return (
            f"solved: a mean return of {written(float(settings.reward_threshold))} for {HELD} "
            f"iterations; {rates}the run ends at step {last_step:,}"
        )

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` goes on from."""
        threshold = self._settings.reward_threshold
        return {
            "threshold": [] if threshold is None else [float(threshold)],
            "begins": self._begins,
            "held": self.held,
            "episodes": self.episodes,
            "limit_solved": self.limit_solved,
            "solved": self.solved,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; what held another, lower threshold says nothing about this one."""
        enough = any(self._settings.is_solved_by(held) for held in state["threshold"])
        if enough and state["begins"] == self._begins:
            self.held, self.episodes = state["held"], state["episodes"]
            self.limit_solved, self.solved = state["limit_solved"], state["solved"]
