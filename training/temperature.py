"""How much a teacher of games leaves to chance: the temperature of its choices.

Learners of games are scored with sampled actions, and what explores while it learns is often better
at what it does with less chance: Ms. Pac-Man's set of 1,791 gets 2,662 with likeliest actions. Yet
without any a game may stand still for ever.
"""

import dataclasses
import logging
import math

from distilled_envs.training.playing import Played, Playing
from distilled_envs.training.teachers import Teacher

logger = logging.getLogger(__name__)

TEMPERATURES = 1.0, 0.5, 0.25
_LONGER = 2
"""How often the first one's steps the others get, before games that go on count as they are."""
_SURE = 0.99
"""Probability of its choices from which a teacher leaves nothing to chance anyway."""


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
    best, highest, steps = None, -math.inf, None
    for tried in TEMPERATURES if temperature is None else (temperature,):
        cooler, before = at_temperature(teacher, tried), act.env_steps
        played = act(cooler.answer, episodes, steps)
        steps = steps or _LONGER * (act.env_steps - before)
        got = float(played.returns.mean())
        logger.info("%s gets %.1f at a temperature of %g", teacher.name, got, tried)
        if best is None or got > highest:
            best, highest = (cooler, played, tried), got
        if played.answers.softmax(-1).amax(-1).min() > _SURE:  # as of one that only acts
            break
    assert best is not None
    return best
