"""CartPoleND-v0 against CartPole-v1, against itself, and as a Gymnasium environment."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import distilled_envs  # noqa: F401


def balance(state):
    """A policy that holds one pole."""
    return int(state[2] + 0.5 * state[3] + 0.1 * state[1] + 0.05 * state[0] > 0)


def test_one_dimension_follows_cartpole_step_for_step():
    ours, theirs = gym.make("CartPoleND-v0", dims=1), gym.make("CartPole-v1")
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    rng = np.random.default_rng(0)
    ends = {"terminated": 0, "truncated": 0}
    for episode in range(1000):
        mine, _ = ours.reset(seed=episode)
        other, _ = theirs.reset(seed=episode)
        np.testing.assert_array_equal(mine, other)
        hold = episode % 20 == 0  # so that some episodes reach the time limit
        done, seen = False, []
        while not done:
            action = balance(mine) if hold else int(rng.integers(2))
            mine, reward, terminated, truncated, _ = ours.step(action)
            other, *rest = theirs.step(action)
            assert [reward, terminated, truncated] == rest[:3]
            seen.append((mine, other))
            done = terminated or truncated
        np.testing.assert_allclose(*np.swapaxes(seen, 0, 1), rtol=1e-5, atol=1e-6)
        ends["terminated"] += terminated
        ends["truncated"] += truncated
    assert ends["terminated"] > 900
    assert ends["truncated"] > 20


@pytest.mark.parametrize("dims", [1, 2, 3, 4, 5])
def test_scalar_and_vector_agree(dims):
    """Copies of one scalar environment each, started from the vector environment's states."""
    n = 6
    vector = gym.make_vec("CartPoleND-v0", num_envs=n, dims=dims).unwrapped
    scalars = [gym.make("CartPoleND-v0", dims=dims) for _ in range(n)]
    rng = np.random.default_rng(dims)
    observations, _ = vector.reset(seed=dims)

    def start(i):
        scalars[i].reset()
        scalars[i].unwrapped.state = vector.state[:, :, i].copy()

    for i in range(n):
        start(i)
    ended = np.zeros(n, dtype=bool)
    for _ in range(300):
        actions = rng.integers(2 * dims, size=n)
        observations, rewards, terminated, truncated, _ = vector.step(actions)
        for i in range(n):
            if ended[i]:  # the reset step of NEXT_STEP mode
                assert rewards[i] == 0
                assert not terminated[i]
                start(i)
                continue
            observation, reward, term, trunc, _ = scalars[i].step(actions[i])
            np.testing.assert_allclose(observation, observations[i], rtol=1e-5, atol=1e-6)
            assert (reward, term, trunc) == (rewards[i], terminated[i], truncated[i])
        ended = terminated | truncated


def test_vector_time_limit_and_autoreset_modes():
    for mode in AutoresetMode:
        env = gym.make_vec(
            "CartPoleND-v0", num_envs=3, dims=1, max_episode_steps=4, autoreset_mode=mode
        )
        assert env.metadata["autoreset_mode"] is mode
        env.reset(seed=0)
        for _ in range(4):
            observations, rewards, _, truncated, info = env.step(np.array([0, 1, 0]))
        assert truncated.all()
        assert (rewards == 1).all()
        if mode is AutoresetMode.SAME_STEP:
            assert info["_final_obs"].all()
            assert np.abs(observations).max() <= 0.05
            assert np.abs(np.stack(info["final_obs"])).max() > 0.05
            _, rewards, _, truncated, _ = env.step(np.array([0, 1, 0]))
            assert (rewards == 1).all()
        elif mode is AutoresetMode.NEXT_STEP:
            assert np.abs(observations).max() > 0.05
            observations, rewards, _, truncated, _ = env.step(np.array([0, 1, 0]))
            assert (rewards == 0).all()
            assert np.abs(observations).max() <= 0.05
        else:
            with pytest.raises(gym.error.ResetNeeded, match="reset_mask"):
                env.step(np.array([0, 1, 0]))
            mask = np.array([True, True, False])
            after, _ = env.reset(options={"reset_mask": mask})
            np.testing.assert_array_equal(after[2], observations[2])
            assert np.abs(after[:2]).max() <= 0.05
            env.reset(options={"reset_mask": ~mask})
            truncated = env.step(np.array([0, 1, 0]))[3]
        assert not truncated.any()


def test_no_time_limit_is_minus_one_in_vectors_too():
    env = gym.make_vec("CartPoleND-v0", num_envs=3, dims=1, max_episode_steps=-1)
    env.reset(seed=0)
    for _ in range(5):
        *_, truncated, _ = env.step(np.array([0, 1, 0]))
        assert not truncated.any()


def test_only_the_pushed_axis_feels_a_force():
    env = gym.make("CartPoleND-v0", dims=3).unwrapped
    env.reset(seed=0)
    env.state[:] = 0
    observation, *_ = env.step(3)  # axis 1, to the right
    velocities = observation.reshape(3, 4)[:, 1]
    assert velocities[1] > 0
    assert velocities[0] == velocities[2] == 0
    env.state[:] = 0
    assert env.step(2)[0].reshape(3, 4)[1, 1] < 0


def test_vector_state_can_be_taken_up_again():
    env = gym.make_vec("CartPoleND-v0", num_envs=4, dims=2).unwrapped
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        env.step(rng.integers(4, size=4))
    saved = env.get_state()
    actions = rng.integers(4, size=(60, 4))
    first = [env.step(row)[0] for row in actions]
    other = gym.make_vec("CartPoleND-v0", num_envs=4, dims=2).unwrapped
    other.reset(seed=99)
    other.set_state(saved)
    np.testing.assert_array_equal(first, [other.step(row)[0] for row in actions])


@pytest.mark.parametrize("dims", [1, 2, 5])
def test_checkers_say_no_more_than_of_cartpole(dims):
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    def messages(env):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_env(env.unwrapped, skip_render_check=True)
            sb3_check_env(env, skip_render_check=True)
        return {str(w.message) for w in caught}

    # Gymnasium warns of CartPole's unbounded velocities, and of nothing else.
    assert messages(gym.make("CartPoleND-v0", dims=dims)) <= messages(gym.make("CartPole-v1"))


@pytest.mark.parametrize(
    ("dims", "widths"),  # of the panels, row by row, which leave nothing empty
    [(1, [[360]]), (3, [[360] * 3]), (5, [[360] * 3, [540] * 2]), (7, [[360] * 4, [480] * 3])],
)
def test_frames_show_every_axis(dims, widths):
    env = gym.make("CartPoleND-v0", dims=dims, render_mode="rgb_array")
    env.reset(seed=0)
    still = env.render()
    assert still.dtype == np.uint8
    assert still.shape == (240 * len(widths), 360 * len(widths[0]), 3)
    panels = [(row, column) for row, each in enumerate(widths) for column in range(len(each))]
    for axis, panel in enumerate(panels):
        env.reset(seed=0)
        env.unwrapped.state[2, axis] = 0.2  # tilting one pole changes one panel only
        changed = (env.render() != still).any(axis=-1)
        rows, columns = np.nonzero(changed)
        assert {*(rows // 240).tolist()} == {panel[0]}
        assert {*(columns // widths[panel[0]][0]).tolist()} == {panel[1]}
    frames = gym.make_vec("CartPoleND-v0", num_envs=2, dims=dims, render_mode="rgb_array")
    frames.reset(seed=0)
    assert [frame.shape for frame in frames.render()] == [still.shape] * 2


def test_human_window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gym.make("CartPoleND-v0", dims=2, render_mode="human")
    env.reset(seed=0)
    env.step(1)
    assert env.render() is None
    env.close()


def test_bad_input_is_refused_in_words():
    with pytest.raises(ValueError, match="dims to be a whole number"):
        gym.make("CartPoleND-v0", dims=0)
    env = gym.make("CartPoleND-v0", dims=2)
    env.reset()
    with pytest.raises(ValueError, match="from 0 to 3"):
        env.unwrapped.step(4)
    vector = gym.make_vec("CartPoleND-v0", num_envs=3, dims=2)
    vector.reset()
    with pytest.raises(ValueError, match="3 whole numbers"):
        vector.step(np.zeros(2, dtype=int))
    with pytest.raises(ValueError, match="between 0 and 3"):
        vector.step(np.array([0, 1, 4]))
    with pytest.raises(gym.error.ResetNeeded):
        gym.make_vec("CartPoleND-v0", num_envs=3).step(np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="reset_mask"):
        vector.reset(options={"reset_mask": [True, False, False]})
