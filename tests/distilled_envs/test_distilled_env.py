import re
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from distilled_envs.distilled_env import DistilledEnv, DistilledVectorEnv
from distilled_envs.errors import DatasetError, SettingsError


def test_rewards_are_the_targets_relative_to_the_best(dataset):
    env = DistilledEnv(dataset)
    targets = dataset.targets.numpy()
    for row in range(len(dataset)):
        for action in range(4):
            observation, info = env.reset(options={"index": row})
            np.testing.assert_array_equal(observation, dataset.observations[row].numpy())
            assert info["index"] == row
            np.testing.assert_array_equal(info["target"], targets[row])
            _, reward, terminated, truncated, _ = env.step(action)
            assert reward == pytest.approx(targets[row, action] - targets[row].max())
            assert (terminated, truncated) == (True, False)


def test_supervised_rewards_are_minus_the_squared_error(dataset):
    env = DistilledEnv(dataset, mode="supervised")
    assert env.action_space.shape == (4,)
    assert all(env.action_space.contains(row) for row in dataset.targets.numpy())
    env.reset(options={"index": 2})
    prediction = np.array([1.0, 0.0, -1.0, 2.0], dtype=np.float32)
    expected = -np.square(prediction - dataset.targets[2].numpy()).mean()
    assert env.step(prediction)[1] == pytest.approx(expected)
    env.reset(options={"index": 2})
    assert env.step(dataset.targets[2].numpy())[1] == 0


def test_resets_are_seeded_and_show_every_row(dataset):
    env = DistilledEnv(dataset)
    env.reset(seed=5)
    first = [env.reset()[1]["index"] for _ in range(100)]
    env.reset(seed=5)
    assert first == [env.reset()[1]["index"] for _ in range(100)]
    assert set(first) == set(range(5))


@pytest.mark.parametrize("mode", ["bandit", "supervised"])
def test_vector_shows_the_whole_batch_at_once(dataset, mode):
    env = DistilledVectorEnv(5, dataset=dataset, mode=mode)
    for _ in range(2):
        observations, info = env.reset()
        np.testing.assert_array_equal(observations, dataset.observations.numpy())
        np.testing.assert_array_equal(info["index"], np.arange(5))
    actions = info["target"] if mode == "supervised" else info["target"].argmax(axis=1)
    _, rewards, terminated, truncated, info = env.step(actions)
    assert (rewards == 0).all()
    assert terminated.all()
    assert not truncated.any()
    env.reset()
    worst = dataset.targets.numpy().argmin(axis=1)
    if mode == "bandit":
        targets = dataset.targets.numpy()
        np.testing.assert_allclose(env.step(worst)[1], targets.min(1) - targets.max(1), rtol=1e-6)


def test_vector_goes_round_the_rows_in_every_autoreset_mode(dataset):
    for mode in AutoresetMode:
        env = DistilledVectorEnv(3, dataset=dataset, autoreset_mode=mode)
        assert env.metadata["autoreset_mode"] is mode
        _, info = env.reset()
        seen = [info["index"]]
        actions = np.zeros(3, dtype=int)
        for _ in range(4):
            observations, rewards, terminated, _, info = env.step(actions)
            assert terminated.all()
            assert (rewards <= 0).all()
            if mode is AutoresetMode.SAME_STEP:
                np.testing.assert_array_equal(info["final_info"]["index"], seen[-1])
                last = np.stack(info["final_obs"])
                np.testing.assert_array_equal(last, dataset.observations.numpy()[seen[-1]])
            elif mode is AutoresetMode.NEXT_STEP:
                observations, rewards, terminated, _, info = env.step(actions)
                assert not terminated.any()
                assert (rewards == 0).all()
            else:
                with pytest.raises(gym.error.ResetNeeded):
                    env.step(actions)
                observations, info = env.reset(options={"reset_mask": np.array([True] * 3)})
            np.testing.assert_array_equal(observations, dataset.observations.numpy()[info["index"]])
            seen.append(info["index"])
        np.testing.assert_array_equal(np.concatenate(seen), np.arange(15) % 5)
        np.testing.assert_array_equal(env.reset(seed=1)[1]["index"], [0, 1, 2])
        np.testing.assert_array_equal(env.reset()[1]["index"], [3, 4, 0])


@pytest.mark.parametrize("mode", ["bandit", "supervised"])
@pytest.mark.parametrize("dims", [1, 2, 5])
def test_checkers_say_no_more_than_of_the_real_environment(mode, dims):
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    env = gym.make("DistilledCartPoleND-v0", dims=dims, mode=mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
        sb3_check_env(env)
    messages = [str(w.message) for w in caught]
    if mode == "supervised":  # targets are what they are, not normalized to [-1, 1]
        messages = [m for m in messages if "symmetric and normalized" not in m]
    real = "A Box observation space (minimum|maximum) value is -?infinity"
    assert [m for m in messages if not re.search(real, m)] == []


def test_ids_give_the_real_environments_spaces():
    for dims in (1, 2, 3, 4, 5):
        real = gym.make("CartPoleND-v0", dims=dims)
        for instances in (dims + 1, 64):
            env = gym.make("DistilledCartPoleND-v0", dims=dims, instances=instances)
            assert env.observation_space == real.observation_space
            assert env.action_space == real.action_space
            batch = gym.make_vec(
                "DistilledCartPoleND-v0", num_envs=instances, dims=dims, instances=instances
            )
            _, info = batch.reset()
            assert sorted(info["index"]) == list(range(instances))


def test_bad_input_is_refused_in_words(dataset):
    with pytest.raises(SettingsError, match="'bandit' or 'supervised'"):
        DistilledEnv(dataset, mode="poem")
    with pytest.raises(SettingsError, match="from 0 to 4"):
        DistilledEnv(dataset).reset(options={"index": 5})
    with pytest.raises(gym.error.ResetNeeded):
        DistilledEnv(dataset).step(0)
    env, supervised = DistilledEnv(dataset), DistilledEnv(dataset, mode="supervised")
    env.reset()
    for action in (-1, 4, 1.5):
        with pytest.raises(SettingsError, match=r"not all actions of Discrete\(4\)"):
            env.step(action)
    supervised.reset()
    with pytest.raises(SettingsError, match=r"actions of shape \(4,\)"):
        supervised.step(np.zeros(1))
    with pytest.raises(SettingsError, match="finite"):
        supervised.step(np.full(4, np.nan))
    vector = DistilledVectorEnv(4, dataset=dataset)
    vector.reset()
    with pytest.raises(SettingsError, match="4 actions"):
        vector.step(np.zeros(1, dtype=int))
    with pytest.raises(SettingsError, match="boolean array"):
        vector.reset(options={"reset_mask": [True] * 4})
    with pytest.raises(DatasetError, match="no variant with dims=7"):
        gym.make("DistilledCartPoleND-v0", dims=7)
    dataset.observations[3, 2] = 1.0  # a pole angle of 57 degrees
    with pytest.raises(DatasetError, match="row 3 lies outside"):
        DistilledEnv(dataset)


def test_the_drop_in_has_the_games_spaces(toy):
    dataset = toy(0)
    env, real = DistilledEnv(dataset), dataset.make_env()
    assert (env.observation_space, env.action_space) == (real.observation_space, real.action_space)
    observation, info = env.reset(options={"index": 1})
    assert observation.dtype == np.uint8
    assert env.step(int(info["target"].argmax()))[1] == 0
