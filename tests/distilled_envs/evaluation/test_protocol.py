import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn
from tqdm import tqdm

from distilled_envs import load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.distilled_env import DistilledEnv
from distilled_envs.errors import PolicyError, SettingsError
from distilled_envs.evaluation import Score, evaluate, protocol
from distilled_envs.evaluation.players import together
from distilled_envs.spec import LearnerSpec


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


class Alternating(gym.vector.VectorEnv):
    """Episodes of 1, 9, 1, 9 ... steps in every copy, reward 1 a step, NEXT_STEP autoreset."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(-1, 1, (8,))
        self.single_action_space = gym.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        self.left, self.long, self.ended = [1] * self.num_envs, [False] * self.num_envs, None
        # Half of the copies start with the long episode.
        for copy in range(0, self.num_envs, 2):
            self.left[copy], self.long[copy] = 9, True
        self.ended = np.zeros(self.num_envs, dtype=bool)
        return np.zeros((self.num_envs, 8), dtype=np.float32), {}

    def step(self, actions):
        rewards = np.ones(self.num_envs)
        for copy in range(self.num_envs):
            if self.ended[copy]:
                self.long[copy] = not self.long[copy]
                self.left[copy] = 9 if self.long[copy] else 1
                rewards[copy] = 0
            else:
                self.left[copy] -= 1
        self.ended = np.array([left == 0 for left in self.left]) & (rewards == 1)
        nobody = np.zeros(self.num_envs, dtype=bool)
        observations = np.zeros((self.num_envs, 8), dtype=np.float32)
        return observations, rewards, self.ended.copy(), nobody, {}


def test_short_episodes_do_not_count_more(dataset, monkeypatch):
    monkeypatch.setattr(protocol, "make_ending_vec_env", lambda spec, count: Alternating(count))
    result = evaluate(dataset, learners=4, episodes=3)
    expected = [[9, 1, 9], [1, 9, 1]] * 2
    np.testing.assert_array_equal(result.greedy.returns, expected)


def test_the_bar_counts_the_episodes_of_both_modes(dataset, monkeypatch):
    bars = []

    class Bar(tqdm):
        def close(self):
            bars.append((self.n, self.total, self.disable))
            super().close()

    monkeypatch.setattr(protocol, "tqdm", Bar)
    monkeypatch.setattr(protocol, "make_ending_vec_env", lambda spec, count: Alternating(count))
    assert evaluate(dataset, learners=np.int64(4), episodes=3, progress=True).learners == 4
    assert bars[0] == (24, 24, False)
    bars.clear()
    evaluate(dataset, learners=4, episodes=3)
    assert bars[0][2]


def test_learners_are_trained_by_the_datasets_own_step():
    """Fresh learners play well; the same evaluation on reversed targets does not."""
    dataset = load_distilled("cartpole_2d", instances="min")
    assert evaluate(dataset, learners=20, episodes=1, seed=7).greedy.mean > 480
    reversed_targets = DistilledDataset(dataset.observations, -dataset.targets, dataset.spec)
    assert evaluate(reversed_targets, learners=20, episodes=1, seed=7).greedy.mean < 60


def test_other_learners_than_the_datasets_own():
    """Wide networks learn from the same step; a single hidden unit can't."""
    dataset = load_distilled("cartpole_2d")
    wide = evaluate(dataset, learner=LearnerSpec(hidden_sizes=(256, 256)), learners=10, episodes=1)
    assert wide.greedy.mean > 400
    narrow = evaluate(dataset, learner=LearnerSpec(hidden_sizes=(1,)), learners=10, episodes=1)
    assert narrow.greedy.mean < 300
    with pytest.raises(SettingsError, match="leave them out"):
        dataset.evaluate(dataset.new_policy(), learner=LearnerSpec())


def test_modules_are_evaluated_in_evaluation_mode_and_left_as_they_were(dataset):
    policy = torch.nn.Sequential(
        torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 4)
    )
    policy[1].eval()
    dataset.evaluate(policy, episodes=1)
    assert policy.training
    assert not policy[1].training
    assert policy[0].num_batches_tracked == 0


@pytest.mark.parametrize("outputs", [3, 5])
def test_policies_that_do_not_fit_are_refused(dataset, outputs):
    with pytest.raises(PolicyError, match="must give 4 finite outputs"):
        dataset.evaluate(torch.nn.Linear(8, outputs))
    broken = torch.nn.Linear(8, 4)
    broken.weight.data[:] = float("nan")
    with pytest.raises(PolicyError, match="not all of them finite"):
        dataset.evaluate(broken)


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
    with pytest.raises(SettingsError, match="leave them out"):
        dataset.evaluate(dataset.new_policy(), learners=3)


def test_sticky_actions_are_for_games_alone(toy, monkeypatch):
    dataset = toy(4)
    dataset.spec.env.kwargs["max_num_frames_per_episode"] = 400

    def played(sticky):
        return dataset.evaluate(learners=2, episodes=1, sticky=sticky)

    made, make = [], protocol.make_ending_vec_env

    def watched(spec, copies):
        made.append(spec.env.kwargs["repeat_action_probability"])
        return make(spec, copies)

    monkeypatch.setattr(protocol, "make_ending_vec_env", watched)
    usual, same, sticky = played(None), played(0.0), played(0.25)
    assert made == [0.0, 0.0, 0.0, 0.0, 0.25, 0.25]
    assert (usual.sticky, sticky.sticky) == (None, 0.25)
    assert sticky.to_dict()["sticky"] == 0.25
    assert (usual.sampled.returns == same.sampled.returns).all()
    assert dataset.spec.env.kwargs["repeat_action_probability"] == 0.0
    with pytest.raises(SettingsError, match=r"sticky must lie in 0..1, got 2"):
        played(2)
    with pytest.raises(SettingsError, match="sticky is for Atari games, and CartPole-v1 is none"):
        load_distilled("cartpole").evaluate(learners=1, sticky=0.25)


def test_likeliest_actions_are_counted(dataset):
    class Pushing:
        def predict(self, observation, deterministic):
            return 3 if deterministic else int(observation[0] > 0)

    class Balancing:
        def predict(self, observation):
            return int(observation[1] > 0)

    found = dataset.evaluate(Pushing(), episodes=2)
    assert found.actions == (0, 0, 0, 1)
    assert "action 3 is the likeliest in 100% of all steps" in str(found)
    both = dataset.evaluate(Balancing(), episodes=5)
    assert sum(both.actions) == pytest.approx(1)
    assert 0.2 < both.actions[0] < 0.8
    assert "likeliest" not in str(both)
    assert both.to_dict()["actions"] == [round(share, 3) for share in both.actions]
    means = load_distilled("pendulum").evaluate(learners=1, episodes=1)
    assert means.actions is None
    assert "actions" not in means.to_dict()


@pytest.mark.slow
def test_fresh_learners_play_whole_games_for_points(toy):
    evaluation = toy(4).evaluate(learners=2, episodes=1)
    # A game of Pong ends at 21 points; noise loses it.
    assert -21 <= evaluation.sampled.returns.min() <= evaluation.sampled.returns.max() <= -10


def test_networks_of_one_architecture_play_as_they_do_one_by_one(monkeypatch):
    dataset = load_distilled("cartpole-nd-2d-min")
    policies = [dataset.train(seed=seed) for seed in range(4)]
    policies[1][0].weight.data *= 0  # one that falls
    seen = torch.randn(4, 8)
    with torch.no_grad():
        alone = torch.cat([each(row[None]) for each, row in zip(policies, seen, strict=True)])
        torch.testing.assert_close(together(policies)(seen), alone)
    stacked = dataset.evaluate(policies, episodes=2)
    monkeypatch.setattr("distilled_envs.evaluation.protocol.together", lambda policies: None)
    one_by_one = dataset.evaluate(policies, episodes=2)
    assert np.abs(stacked.greedy.returns - one_by_one.greedy.returns).max() < 1e-6
    assert stacked.greedy.returns[1].max() < 100 < stacked.greedy.returns[0].min()


def test_networks_that_are_not_alike_are_not_put_together(dataset):
    class Own(nn.Sequential):
        scale = 1.0

    plain = dataset.train(seed=0)
    hooked = dataset.train(seed=1)
    hooked[0].register_forward_hook(lambda *_: None)
    seen_through = dataset.train(seed=3)
    seen_through[0].register_forward_pre_hook(lambda _, given: (given[0] * 100,))
    short, double = nn.Sequential(nn.Linear(8, 4)), dataset.train(seed=4).double()
    for other in (seen_through, nn.LazyLinear(4), Own(*plain), short, hooked, double):
        assert together([dataset.train(seed=2), other]) is None
    unlike = [nn.Sequential(nn.Linear(8, 4), nn.RReLU()).eval() for _ in range(2)]  # no vmap
    seen = torch.randn(2, 8)
    alone = torch.cat([each(row[None]) for each, row in zip(unlike, seen, strict=True)])
    assert torch.equal(together(unlike)(seen), alone)
    with pytest.raises(PolicyError, match="does not take"):
        dataset.evaluate([nn.Linear(5, 4), nn.Linear(5, 4)])
    with pytest.raises(PolicyError, match="4 finite outputs"):
        dataset.evaluate([nn.Linear(8, 3), nn.Linear(8, 3)])


def test_several_policies_are_scored_as_so_many_learners(dataset):
    policies = [dataset.train(seed=seed) for seed in range(3)]
    together = dataset.evaluate(policies, episodes=2)
    assert together.greedy.returns.shape == (3, 2)
    assert together.learners == 3
    with pytest.raises(SettingsError, match="no policy in the sequence"):
        dataset.evaluate([])
    with pytest.raises(PolicyError, match=r"must be a torch\.nn\.Module"):
        dataset.evaluate([policies[0], "policy"])
