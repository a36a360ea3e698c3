import re
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from distilled_envs import load_distilled
from distilled_envs.catalog import entries
from distilled_envs.dataset import DistilledDataset
from distilled_envs.distilled_env import DistilledEnv, DistilledVectorEnv
from distilled_envs.envs.real import env_spaces
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.spaces import EnvSpaces


def test_rewards_are_the_targets_relative_to_the_best(dataset):
    env = DistilledEnv(dataset, expand=0)
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


def test_box_rewards_are_the_error_and_what_a_bound_costs():
    humanoid = load_distilled("humanoid")  # actions within -0.4 and 0.4
    bound = humanoid.spec.spaces.action.high[0]
    targets = torch.zeros(2, 17)
    targets[1, :3] = torch.tensor([0.2, -7.0, 0.4])
    dataset = DistilledDataset(torch.zeros(2, 45), targets, humanoid.spec)
    env = DistilledVectorEnv(2, dataset=dataset)

    def rewards(at_zero, at_one):
        env.reset(seed=0)
        actions = np.zeros((2, 17), dtype=np.float32)
        actions[0, :3], actions[1, :3] = at_zero, at_one
        return 17 * env.step(actions)[1]

    best = rewards([0, 0, 0], [0.2, -bound, bound])
    np.testing.assert_allclose(best, 0, atol=1e-6)
    inside = rewards([0.3, 0, -0.1], [0.1, -0.3, 0.3])  # no step where the target is at the bound
    np.testing.assert_allclose(inside, [-0.1, -0.03], atol=1e-6)
    at_bound = rewards([bound, 0, 0], [-bound, -bound, -bound])
    np.testing.assert_allclose(at_bound, [-1.16, -0.36 - 0.75 - 0.64], atol=1e-6)
    beyond = DistilledEnv(dataset, expand=0)
    beyond.reset(options={"index": 0})
    assert beyond.step(np.full(17, 5.0, dtype=np.float32))[1] == pytest.approx(-26, abs=1e-5)
    supervised = DistilledEnv(dataset, mode="supervised")
    supervised.reset(options={"index": 0})
    far = np.full(17, 7.0, dtype=np.float32)  # the bound of its space, and no cost
    assert supervised.step(far)[1] == pytest.approx(-49)


def test_resets_are_seeded_and_show_every_row(dataset):
    env = DistilledEnv(dataset, expand=0)
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


def test_a_bandit_deals_expanded_rows(dataset):
    env, again = DistilledEnv(dataset, expand=200), DistilledEnv(dataset, expand=200)
    expansion = dataset.expand(200, seed=0)
    targets = expansion.targets.numpy()
    for env_of_its_own in (env, again):  # all copies deal the same, whatever they draw
        for index in (0, 199):
            observation, info = env_of_its_own.reset(options={"index": index})
            np.testing.assert_array_equal(observation, expansion.observations[index].numpy())
            np.testing.assert_allclose(info["target"], targets[index], rtol=1e-5)
    observation, info = env.reset(seed=3)
    same, same_info = again.reset(seed=3)
    np.testing.assert_array_equal(observation, same)
    assert info["index"] == same_info["index"]
    best = env.step(int(info["target"].argmax()))
    assert best[1] == 0
    assert len({env.reset()[1]["index"] for _ in range(100)}) > 60
    with pytest.raises(SettingsError, match="from 0 to 199"):
        env.reset(options={"index": 200})


def dealt(env):
    """How much an environment deals."""
    with pytest.raises(SettingsError) as refusal:
        env.unwrapped.reset(options={"index": -1})
    return int(re.search(r"from 0 to (\d+)", str(refusal.value))[1]) + 1


def test_how_much_is_dealt(dataset, toy):
    assert dealt(DistilledEnv(dataset)) == 8192
    assert dealt(DistilledEnv(dataset, mode="supervised")) == 5
    assert dealt(DistilledEnv(dataset, mode="supervised", expand=7)) == 7
    assert dealt(DistilledEnv(toy(3))) == 3
    assert dealt(gym.make("DistilledHopper-v0")) == 8192
    assert dealt(gym.make("DistilledPong-v0", expand=0)) == 16
    vector = DistilledVectorEnv(9, dataset=dataset, expand=7)
    np.testing.assert_array_equal(vector.reset()[1]["index"], [0, 1, 2, 3, 4, 5, 6, 0, 1])


def test_inputs_outside_the_space_are_not_dealt(dataset):
    bound = 0.25  # two standard deviations of the noise
    dataset.observations.sign_().mul_(bound / 2)
    pairs = dataset.expand(500, seed=0)
    inputs, answers = pairs.observations, pairs.targets
    narrow = gym.spaces.Box(-bound, bound, (8,))
    dataset.spec = dataset.spec.replace(spaces=EnvSpaces(narrow, gym.spaces.Discrete(4)))
    inside = int((inputs.abs() <= bound).all(dim=1).sum())
    assert 100 < inside < 500
    env = DistilledEnv(dataset, expand=500)
    assert dealt(env) == inside
    for index in range(inside):
        observation, info = env.reset(options={"index": index})
        assert narrow.contains(observation)
        place = (inputs == torch.from_numpy(observation)).all(dim=1).nonzero().item()
        np.testing.assert_allclose(info["target"], answers[place].numpy(), atol=1e-4)
    nowhere = gym.spaces.Box(-bound, np.where(np.arange(8), bound, -bound).astype("f"), (8,))
    dataset.spec = dataset.spec.replace(spaces=EnvSpaces(nowhere, gym.spaces.Discrete(4)))
    dataset.observations[:, 0] = -bound
    with pytest.raises(DatasetError, match=r"none of 3 expanded rows .* give expand=0"):
        DistilledEnv(dataset, expand=3)


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


def test_copies_do_not_share_the_state_of_their_spaces(dataset):
    dataset.spec = dataset.spec.replace(spaces=env_spaces(dataset.spec))
    one, other = DistilledEnv(dataset, expand=0), DistilledEnv(dataset, expand=0)
    one.action_space.seed(0)
    first = [one.action_space.sample() for _ in range(20)]
    one.action_space.seed(0)
    other.action_space.seed(1)
    assert [one.action_space.sample() for _ in range(20)] == first


def test_bad_input_is_refused_in_words(dataset):
    with pytest.raises(SettingsError, match="'bandit' or 'supervised'"):
        DistilledEnv(dataset, mode="poem")
    with pytest.raises(SettingsError, match="from 0 to 4"):
        DistilledEnv(dataset, expand=0).reset(options={"index": 5})
    with pytest.raises(gym.error.ResetNeeded):
        DistilledEnv(dataset).step(0)
    for expand in (-1, 2.5, "all"):
        with pytest.raises(SettingsError, match="expand must be a number of inputs"):
            DistilledEnv(dataset, expand=expand)
    with pytest.raises(SettingsError, match="noise is no frame"):
        gym.make("DistilledPong-v0", expand=8192)
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


@pytest.mark.parametrize("name", ["Hopper", "Humanoid", "Pusher"])
def test_checkers_pass_on_boxes(name):
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(gym.make(f"Distilled{name}-v0").unwrapped)
        sb3_check_env(gym.make(f"Distilled{name}-v0"))
    messages = [str(w.message) for w in caught]
    # Humanoid's and Pusher's bounds are not 1: so it is in the real environment.
    assert [m for m in messages if "symmetric and normalized" not in m] == []


def test_the_drop_in_has_the_games_spaces(toy):
    dataset = toy(0)
    env, real = DistilledEnv(dataset), dataset.make_env()
    assert (env.observation_space, env.action_space) == (real.observation_space, real.action_space)
    observation, info = env.reset(options={"index": 1})
    assert observation.dtype == np.uint8
    assert env.step(int(info["target"].argmax()))[1] == 0


WITHOUT_SIMULATORS = """
import sys

for module in ("mujoco", "ale_py", "envpool", "cv2", "Box2D", "minatar"):
    sys.modules[module] = None
import gymnasium as gym

import distilled_envs

ids = [name for name in gym.registry if name.startswith("Distilled")]
play = ("LunarLander", "MinAtar")  # encoders, behind which learners play once
for name in ids:
    if name.removeprefix("Distilled").startswith(play):
        try:
            gym.make(name)
        except distilled_envs.DistilledEnvsError as error:
            assert "install" in str(error) or "--import" in str(error), error
            continue
        raise AssertionError(name)
    env = gym.make(name)
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[2], name
    assert gym.make_vec(name, num_envs=2).reset()[0].shape[0] == 2
print(len(ids))
"""


def test_every_id_can_be_made_and_stepped_without_a_simulator():
    command = [sys.executable, "-c", WITHOUT_SIMULATORS]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len({entry.family for entry in entries()})


@pytest.mark.slow
def test_ppo_learns_the_task_from_three_rows():
    from stable_baselines3 import PPO

    model = PPO("MlpPolicy", gym.make("DistilledCartPoleND-v0", dims=2, instances=3), seed=0)
    evaluation = load_distilled("cartpole_2d").evaluate(model.learn(20_000), episodes=10)
    assert evaluation.greedy.mean > 450  # on the bare rows 39, of 500
