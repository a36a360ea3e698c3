"""How much a teacher of games leaves to chance: the temperature of its choices.

Learners of games are scored with sampled actions, and what explores while it learns is often better
at what it does with less chance: Ms. Pac-Man's set of 1,791 gets 2,662 with likeliest actions. Yet
without any a game may stand still for ever.
"""

import dataclasses
import logging

from distilled_envs.training.playing import Played, Playing
from distilled_envs.training.teachers import Teacher

logger = logging.getLogger(__name__)

TEMPERATURES = 1.0, 0.5, 0.25
_LONGER = 2
"""How often the first one's steps the others get, before games that go on count as they are."""


def at_temperature(teacher: Teacher, temperature: float) -> Teacher:
    """The same teacher, with logits that are divided by a temperature."""
    return dataclasses.replace(teacher, answer=lambda seen: teacher.answer(seen) / temperature)


def played_at_best(
    teacher: Teacher, act: Playing, episodes: int, temperature: float | None
) -> tuple[Teacher, Played, float]:
    """A teacher at the temperature at which its sampled actions get most, and how it played.

    Args:
        teacher: Of a game.
        act: Lets it play.
        episodes: At each temperature.
        temperature: The only one; None tries :data:`TEMPERATURES`.
    """
    found: list[tuple[Teacher, Played, float]] = []
    steps = None
    for tried in TEMPERATURES if temperature is None else (temperature,):
        cooler, before = at_temperature(teacher, tried), act.env_steps
        found.append((cooler, act(cooler.answer, episodes, steps), tried))
        steps = steps or _LONGER * (act.env_steps - before)
        logger.info("%s gets %.1f at a temperature of %g", teacher.name, _mean(found[-1]), tried)
    return max(found, key=_mean)


def _mean(found: tuple[Teacher, Played, float]) -> float:
    return float(found[1].returns.mean())
