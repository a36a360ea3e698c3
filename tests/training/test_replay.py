"""Games that are brought back to where they were."""

import numpy as np
import pytest

from distilled_envs.envs.preprocessing import make_vec
from distilled_envs.training.replay import ReplayedGames
from distilled_envs.training.world import world_of

pytest.importorskip("ale_py")


def games(game="Breakout", copies=2, **kwargs):
    world = world_of(f"ALE/{game}-v5", kwargs)
    sticky = world.spec.kwargs["repeat_action_probability"] > 0
    return ReplayedGames(make_vec(world.spec, copies, "atari", threads=1), sticky=sticky)


def played(env, steps, seed):
    chance = np.random.default_rng(seed)
    actions = chance.integers(0, env.single_action_space.n, (steps, env.num_envs))
    return [env.step(each) for each in actions]


@pytest.mark.parametrize("steps", [0, 1, 300])
@pytest.mark.parametrize("sticky", [0.0, 0.25])
def test_games_go_on_as_if_nothing_had_happened(steps, sticky):
    env = games(repeat_action_probability=sticky)
    first, _ = env.reset(seed=1)
    before = played(env, steps, seed=2)
    state = env.get_state()
    ahead = played(env, 100, seed=3)
    other = games(repeat_action_probability=sticky)
    assert np.array_equal(other.set_state(state), before[-1][0] if before else first)
    for one, two in zip(ahead, played(other, 100, seed=3), strict=True):
        assert all(map(np.array_equal, one[:4], two[:4]))
        assert np.array_equal(one[4]["lives"], two[4]["lives"])
    assert np.array_equal(env.get_state()["actions"], other.get_state()["actions"])


def test_seeds_change_after_some_episodes():
    env = games(max_num_frames_per_episode=8)
    env.reset(seed=0)
    seen, resets = {*env.get_state()["seeds"]}, []
    for _ in range(100):
        played(env, 1, seed=0)
        resets.append(env.get_state()["resets"].max())
        seen |= {*env.get_state()["seeds"]}
    assert max(resets) == 31 and len(seen) == 4  # after 32 episodes of two steps and a reset
    state = env.get_state()
    ahead = played(env, 20, seed=1)
    other = games(max_num_frames_per_episode=8)
    other.set_state(state)
    for one, two in zip(ahead, played(other, 20, seed=1), strict=True):
        assert all(map(np.array_equal, one[:4], two[:4]))


def test_copies_and_seeds_differ():
    one, two = games("Pong"), games("Pong")
    one.reset(seed=0)
    two.reset(seed=1)
    seeds = [*one.get_state()["seeds"], *two.get_state()["seeds"]]
    assert len({*seeds}) == len(seeds)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seeds", np.array([-1, 0])),
        ("seeds", np.array([2**31, 0])),
        ("seeds", np.zeros(3, dtype=np.int64)),
        ("resets", np.array([32, 0])),
        ("steps", np.array([3, 2])),
        ("steps", np.array([-3, 9])),
        ("steps", np.array([3.0, 3.0])),
        ("actions", np.full(6, 4, dtype=np.int8)),
        ("actions", np.full(6, -1, dtype=np.int8)),
        ("over", np.zeros(2)),
    ],
)
def test_states_of_something_else_are_refused(name, value):
    env = games()
    env.reset(seed=0)
    played(env, 3, seed=0)
    with pytest.raises(ValueError, match=name):
        games().set_state(env.get_state() | {name: value})
