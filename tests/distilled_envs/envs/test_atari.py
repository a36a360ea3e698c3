"""Games, one and many side by side."""

import gymnasium as gym
import numpy as np
import pytest

from distilled_envs.envs import atari
from distilled_envs.errors import DatasetError

GAMES = ("Pong", "Centipede", "SpaceInvaders", "MsPacman", "Breakout")


def game_spec(game: str):
    atari.register(f"ALE/{game}-v5")
    return gym.make(f"ALE/{game}-v5", **atari.ENV_KWARGS).spec


@pytest.mark.parametrize("game", GAMES)
def test_one_game_and_many_show_the_same_frames(game):
    spec = game_spec(game)
    single = atari.preprocess(gym.make(spec), noops=0)
    many = atari.make_vec(spec, 1, noops=0)
    assert single.observation_space == many.single_observation_space
    assert single.action_space.n == many.single_action_space.n
    rng = np.random.default_rng(0)
    shown, _ = single.reset(seed=7)
    assert np.array_equal(shown, many.reset(seed=7)[0][0])
    total = 0.0
    for _ in range(150):
        action = rng.integers(single.action_space.n, size=1)
        shown, reward, terminated, truncated, _ = single.step(action[0])
        batch, rewards, ends, cuts, _ = many.step(action)
        assert np.array_equal(shown, batch[0])
        assert (reward, terminated, truncated) == (rewards[0], ends[0], cuts[0])
        total += abs(reward)
        if terminated or truncated:
            break
    assert total > 0 or game == "Breakout"  # rewards were compared, too


def test_what_the_vector_environment_can_not_do_is_refused(toy):
    dataset = toy(0)
    dataset.spec.env.kwargs["mode"] = 1
    with pytest.raises(DatasetError, match=r"ALE/Pong-v5 with .*'mode': 1.* no vector environment"):
        dataset.make_vec_env(2)
