"""Policies that choose their own actions: anything with predict."""

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from gymnasium import spaces

from distilled_envs import load_distilled
from distilled_envs.distilled_env import DistilledEnv
from distilled_envs.errors import PolicyError
from distilled_envs.evaluation.players import PredictingPlayer
from distilled_envs.learners.policies import policy_outputs


@pytest.fixture(scope="module")
def pendulum():
    return load_distilled("invertedpendulum")


class Leaning:
    """A controller that holds 2-D cart-pole: it pushes the axis that leans the most."""

    def predict(self, observation):
        lean = observation.reshape(2, 4) @ np.array([0.05, 0.1, 1.0, 0.5])
        return np.argmax(np.stack([-lean, lean], axis=-1))


class Recording:
    """An object that takes everything and writes down what it was given."""

    def __init__(self):
        self.calls = []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert observation.shape == (8,)
        assert episode_start.shape == (1,)
        self.calls.append((state, bool(episode_start[0]), deterministic))
        return np.int64(0), 1 if episode_start[0] else state + 1


def test_an_object_with_predict_alone(dataset):
    result = dataset.evaluate(Leaning(), episodes=3)
    assert result.greedy.returns.shape == (1, 3)
    assert result.greedy.mean > 150
    np.testing.assert_array_equal(result.greedy.returns, result.sampled.returns)


def test_state_and_starts_of_episodes_are_passed_on(dataset):
    recording = Recording()
    result = dataset.evaluate(recording, episodes=3, seed=0)
    for mode, deterministic in (("sampled", False), ("greedy", True)):
        calls = [call for call in recording.calls if call[2] is deterministic]
        state, lengths = None, []
        for given, start, _ in calls:
            assert given == state
            lengths = [*lengths, 0] if start else lengths
            state = 1 if start else state + 1
            lengths[-1] += 1
        # Between two episodes is a reset step, whose action is not taken.
        played = getattr(result, mode).returns[0] + [1, 1, 0]
        np.testing.assert_array_equal(lengths, played)


def test_only_keywords_that_it_takes():
    class Curt:
        def predict(self, observation, deterministic):
            return int(deterministic)

    class Open:
        def predict(self, observation, **keywords):
            assert keywords.keys() == {"state", "episode_start", "deterministic"}
            return int(keywords["deterministic"]), None

    class Positional:
        def predict(self, observation, deterministic=1, /):
            return deterministic

    seen, starts, space = np.zeros((1, 8)), np.array([True]), spaces.Discrete(4)
    for greedy in (False, True):
        for policy in (Curt(), Open()):
            assert PredictingPlayer(policy, space, greedy=greedy)(seen, starts) == [greedy]
        assert PredictingPlayer(Positional(), space, greedy=greedy)(seen, starts) == [1]


@pytest.mark.parametrize("algorithm", (sb3.PPO, sb3.DQN, sb3.SAC))
def test_outputs_and_predict_agree_on_what_is_likeliest(algorithm, dataset, pendulum):
    rows = pendulum if algorithm is sb3.SAC else dataset
    settings = {} if algorithm is sb3.PPO else {"buffer_size": 10}
    model = rows.train(algorithm("MlpPolicy", rows.make_env(), seed=0, device="cpu", **settings))

    class Wrapped:
        predict = staticmethod(model.predict)

    class Outputs(torch.nn.Module):
        def forward(self, observations):
            return policy_outputs(model, observations)

    for other in (Wrapped(), Outputs(), model.policy):
        one, two = (rows.evaluate(each, episodes=1).greedy.returns for each in (model, other))
        np.testing.assert_allclose(one, two)


def test_recurrent_models_remember(pendulum):
    env = pendulum.make_env()
    model = sb3_contrib.RecurrentPPO("MlpLstmPolicy", env, seed=0, device="cpu")
    with torch.no_grad():
        model.policy.action_net.weight.mul_(1000)  # a fresh one does next to nothing

    def play(remembers):
        (seen, _), state, start, total, over = env.reset(seed=5), None, True, 0.0, False
        while not over:
            action, state = model.predict(
                seen,
                state=state if remembers else None,
                episode_start=np.array([start]),
                deterministic=True,
            )
            seen, reward, terminated, truncated, _ = env.step(action)
            total, start, over = total + reward, False, terminated or truncated
        return total

    returns = pendulum.evaluate(model, episodes=3, seed=5).greedy.returns
    assert returns[0, 0] == play(remembers=True) != play(remembers=False)


def test_a_model_made_on_the_drop_in_environment(pendulum):
    model = sb3.SAC("MlpPolicy", DistilledEnv(pendulum), learning_starts=2, device="cpu")
    result = pendulum.evaluate(model.learn(4), episodes=2)
    assert result.sampled.mean >= 1
    assert not np.array_equal(result.sampled.returns, result.greedy.returns)


def test_a_seed_repeats_exploration_and_leaves_generators_alone(dataset):
    model = sb3.DQN("MlpPolicy", dataset.make_env(), buffer_size=10, device="cpu", seed=0)
    model.exploration_rate = 0.5
    space, state = model.action_space, np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = (dataset.evaluate(model, episodes=4, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.sampled.returns, again.sampled.returns)
    assert not np.array_equal(first.sampled.returns, first.greedy.returns)
    assert model.action_space is space
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_models_are_left_in_training_mode(pendulum):
    model = sb3.SAC("MlpPolicy", pendulum.make_env(), buffer_size=10, device="cpu")
    model.policy.set_training_mode(True)
    pendulum.evaluate(model, episodes=1)
    assert model.policy.training
    assert model.actor.training


class Fixed:
    def __init__(self, action):
        self.action = action

    def predict(self, observation):
        return self.action


@pytest.mark.parametrize("action", (4, -1, 0.5, [0], "left", None, [[1], [2, 3]], (0, 1, 2)))
def test_no_action_of_a_discrete_space(dataset, action):
    with pytest.raises(PolicyError, match=r"^Fixed\.predict must give"):
        dataset.evaluate(Fixed(action), episodes=1)


@pytest.mark.parametrize("action", (0.5, [0.1, 0.2], [np.nan], [np.inf], ["left"]))
def test_no_action_of_a_box(pendulum, action):
    with pytest.raises(PolicyError, match=r"^Fixed\.predict must give"):
        pendulum.evaluate(Fixed(action), episodes=1)


def test_actions_beyond_a_box_are_clipped():
    player = PredictingPlayer(Fixed([7.0]), spaces.Box(-3, 3, (1,)), greedy=True)
    assert player(np.zeros((1, 4)), np.array([True])) == [[3]]


def test_what_can_not_play_is_refused(dataset, pendulum):
    with pytest.raises(PolicyError, match=r"an object with predict\(observation\), got str"):
        dataset.evaluate("policy")
    other = sb3.DQN("MlpPolicy", gym.make("CartPole-v1"), buffer_size=10, device="cpu")
    with pytest.raises(PolicyError, match=r"^DQN\.predict does not take .* shape \(2, 8\)"):
        dataset.evaluate(other, episodes=2)
    with pytest.raises(PolicyError, match=r"^SAC\.predict does not take"):
        dataset.evaluate(sb3.SAC("MlpPolicy", pendulum.make_env(), buffer_size=10), episodes=1)
