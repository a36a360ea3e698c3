"""How much of a teacher's choices in games is left to chance."""

import numpy as np
import pytest
import torch

pytest.importorskip("ale_py")

from distilled_envs.errors import SettingsError
from distilled_envs.training import ImitationSettings, imitate
from distilled_envs.training.playing import Playing
from distilled_envs.training.teachers import Teacher
from distilled_envs.training.temperature import TEMPERATURES, played_at_best
from distilled_envs.training.world import world_of

CUT = {"max_num_frames_per_episode": 1200}
"""Of a game, for tests: 300 steps."""
RIGHTFIRE = 11


def prefers(action: int, by: float) -> Teacher:
    """One that plays an action mostly, and any other now and then."""

    def answer(seen: torch.Tensor) -> torch.Tensor:
        return torch.eye(18)[action].expand(len(seen), -1) * by

    return Teacher("one that prefers", answer)


@pytest.fixture
def act() -> Playing:
    return Playing(world_of("ALE/Centipede-v5", CUT), steps=1, seed=0)


def test_a_good_habit_is_followed_with_less_chance(act):
    teacher = prefers(RIGHTFIRE, 3.0)
    sharper, played, temperature = played_at_best(teacher, act, 8, None)
    assert temperature < 1
    seen = torch.zeros(2, 4, 84, 84)
    torch.testing.assert_close(sharper.answer(seen), teacher.answer(seen) / temperature)
    torch.testing.assert_close(played.answers[:2], sharper.answer(seen))


def test_a_bad_habit_is_not(act):
    *_, temperature = played_at_best(prefers(0, 3.0), act, 8, None)
    assert temperature == 1


def test_who_leaves_nothing_to_chance_plays_once(act):
    teacher = prefers(0, 8.0)
    *_, temperature = played_at_best(teacher, act, 2, None)
    assert temperature == 1
    assert act.env_steps <= 2 * 301


def test_one_temperature_is_taken_as_it_is(act):
    *_, temperature = played_at_best(prefers(0, 3.0), act, 2, 0.1)
    assert temperature == 0.1


def test_games_that_stand_still_are_left(act, monkeypatch):
    asked = []
    play = Playing.__call__

    def noted(self, answer, episodes, most):
        asked.append((most, self.env_steps))
        return play(self, answer, episodes, most)

    monkeypatch.setattr(Playing, "__call__", noted)
    played_at_best(prefers(0, 3.0), act, 2, None)
    assert len(asked) == len(TEMPERATURES)
    assert asked[0][0] is None
    assert asked[1] == (2 * asked[1][1], asked[1][1])


def test_episodes_that_are_cut_count_as_they_are():
    act = Playing(world_of("CartPole-v1"), steps=1, seed=0)
    seen, answers, returns = act(lambda seen: torch.zeros(len(seen), 2), 40, most=4 * 16)
    assert act.env_steps == len(seen) == len(answers) == 64
    # The first of three in each of 16 copies, and 0 of those that have not begun.
    assert np.array_equal(np.sort(returns), np.repeat([0.0, 4.0], [32, 16]))


def test_where_likeliest_actions_count_there_is_none():
    settings = ImitationSettings(temperature=0.5)
    with pytest.raises(SettingsError, match="CartPole-v1 likeliest actions count"):
        imitate(torch.nn.Linear(4, 2), "CartPole-v1", settings)
    for wrong in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(SettingsError, match="temperature must be above 0"):
            ImitationSettings(temperature=wrong)
