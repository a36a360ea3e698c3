import numpy as np
import pytest
import torch

from distilled_envs.distilled_env import DistilledEnv
from distilled_envs.errors import SettingsError
from distilled_envs.evaluation import Score, evaluate
from distilled_envs.learner import initial_parameters


def test_score_by_hand():
    returns = np.array([[0.0, 2.0], [10.0, 10.0], [20.0, 24.0], [100.0, 100.0]])
    score = Score.of(returns)
    assert score.mean == pytest.approx((1 + 10 + 22 + 100) / 4)
    assert score.std == pytest.approx(np.std([1, 10, 22, 100], ddof=1))
    assert score.iqm == pytest.approx(16)  # the middle half: 10 and 22
    assert score.ci95[0] < score.mean < score.ci95[1]
    one = Score.of(np.array([[1.0, 3.0, 5.0]]))
    assert (one.mean, one.std) == (3, 2)
    assert Score.of(np.array([[500.0], [500.0]])).ci95 == (500, 500)
    assert Score.of(np.array([[7.0]])).ci95 is None


def test_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        low, high = Score.of(rng.normal(3, 2, size=(40, 1))).ci95
        inside += low <= 3 <= high
    assert 88 <= inside <= 100


def test_first_episodes_count_and_returns_are_real(dataset):
    """Against playing the same learners one by one in scalar environments, greedily."""
    result = evaluate(dataset, learners=40, episodes=3, seed=7)
    assert result.greedy.returns.shape == (40, 3)
    assert (result.greedy.returns == result.greedy.returns.round()).all()
    generator = torch.Generator().manual_seed(7)
    initial = initial_parameters(dataset.spec.learner, 8, 4, 40, generator)
    returns = []
    env = dataset.make_env()
    for i in range(40):
        policy = dataset.new_policy()
        policy.load_state_dict({name: value[i] for name, value in initial.items()})
        dataset.train(policy)
        for _ in range(3):
            observation, _ = env.reset()
            total, done = 0.0, False
            while not done:
                action = policy(torch.from_numpy(observation)).argmax().item()
                observation, reward, terminated, truncated, _ = env.step(action)
                total, done = total + reward, terminated or truncated
            returns.append(total)
    assert result.greedy.mean == pytest.approx(np.mean(returns), rel=0.1)


def test_a_seed_repeats_and_leaves_the_global_generator_alone(dataset):
    state = torch.get_rng_state()
    first = evaluate(dataset, learners=5, episodes=2, seed=1)
    again = evaluate(dataset, learners=5, episodes=2, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(first.sampled.returns, again.sampled.returns)
    other = evaluate(dataset, learners=5, episodes=2, seed=2)
    assert not np.array_equal(first.sampled.returns, other.sampled.returns)


def test_policies_of_the_user(dataset):
    from stable_baselines3 import PPO

    class Good(torch.nn.Module):
        """A controller that holds 2-D cart-pole: it pushes the axis that leans the most."""

        def forward(self, observations):
            axes = observations.view(-1, 2, 4)
            lean = axes @ torch.tensor([0.05, 0.1, 1.0, 0.5])
            return torch.stack([-lean, lean], dim=-1).flatten(1) * 100

    result = dataset.evaluate(Good(), episodes=70)
    assert result.greedy.returns.shape == (1, 70)
    assert result.greedy.mean > 150
    assert dataset.evaluate(PPO("MlpPolicy", DistilledEnv(dataset)), episodes=3).greedy.mean > 1
    assert "20 episodes" in str(dataset.evaluate(Good()))


def test_bad_counts_are_refused(dataset):
    with pytest.raises(SettingsError, match="at least 1"):
        dataset.evaluate(learners=0)
    with pytest.raises(SettingsError, match="leave it out"):
        dataset.evaluate(dataset.new_policy(), learners=3)
