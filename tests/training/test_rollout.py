import gymnasium as gym
import numpy as np
import pytest
import torch

from distilled_envs.spec import TaskSpec
from distilled_envs.training.normalization import ObservationNormalizer, RewardNormalizer
from distilled_envs.training.rollout import Actors, Rollout

TWO = TaskSpec("categorical", (1,), 2)


class Script(gym.vector.VectorEnv):
    """One environment that plays (reward, terminated, truncated) from a script, and counts."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, script):
        self.num_envs, self.script, self.clock = 1, script, 0
        self.single_action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.array([[0.0]], dtype=np.float32), {}

    def step(self, actions):
        reward, terminated, truncated = self.script[self.clock]
        self.clock += 1
        return (
            np.array([[self.clock]], dtype=np.float32),
            np.array([reward]),
            np.array([terminated]),
            np.array([truncated]),
            {},
        )


def uniform(observations):
    return torch.zeros(len(observations), 2)


def test_advantages_by_hand():
    """A terminated and a truncated episode, each followed by NEXT_STEP's reset step."""
    end, cut, go = (1.0, True, False), (1.0, False, True), (1.0, False, False)
    reset = (0.0, False, False)
    actors = Actors(Script([go, end, reset, go, cut, reset, go]), TWO, seed=0)
    rollout = actors.collect(uniform, None, 7)
    assert rollout.valid[:, 0].tolist() == [1, 1, 0, 1, 1, 0, 1]
    assert list(actors.recent_returns) == [2.0, 2.0]
    g, lam = 0.9, 0.5
    v = torch.arange(8.0)  # the value of the observation shown before step t is t
    a = rollout.advantages(v[:, None], g, lam)[:, 0]
    assert a[1] == pytest.approx(1 - 1)  # terminated: nothing follows
    assert a[0] == pytest.approx((1 + g * 1 - 0) + g * lam * a[1])
    assert a[4] == pytest.approx(1 + g * 5 - 4)  # truncated: the last observation's value follows
    assert a[3] == pytest.approx((1 + g * 4 - 3) + g * lam * a[4])
    assert a[6] == pytest.approx(1 + g * 7 - 6)  # the rollout's end bootstraps


def test_resets_are_masked_in_the_real_environment():
    env = gym.make_vec("CartPoleND-v0", num_envs=4, dims=1, max_episode_steps=5)
    rollout = Actors(env, TWO, seed=0).collect(uniform, None, 12)
    # Episodes of five steps (none falls so soon), each followed by one reset step.
    assert rollout.valid[:, 0].tolist() == [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0]
    assert rollout.terminated.sum() == 0
    assert (rollout.rewards == rollout.valid).all()
    assert rollout.observations.shape == (13, 4, 4)


def test_state_is_taken_up_across_an_episode():
    def make():
        return Actors(gym.make_vec("CartPoleND-v0", num_envs=4, dims=2), TWO, seed=1)

    torch.manual_seed(0)
    first = make()
    first.collect(uniform, None, 40)
    state, rng = first.get_state(), torch.get_rng_state()
    ahead = first.collect(uniform, None, 40)
    second = make()
    second.set_state(state)
    torch.set_rng_state(rng)
    again = second.collect(uniform, None, 40)
    for name in Rollout.__dataclass_fields__:
        assert torch.equal(getattr(ahead, name), getattr(again, name))
    assert list(first.recent_returns) == list(second.recent_returns)


def test_other_autoreset_modes_are_refused():
    env = gym.make_vec("CartPoleND-v0", num_envs=2, autoreset_mode="SameStep")
    with pytest.raises(ValueError, match="NEXT_STEP"):
        Actors(env, TWO, seed=0)


def test_learners_see_normalized_observations_and_real_returns_are_kept():
    env = gym.make_vec("CartPoleND-v0", num_envs=64, dims=1)
    normalizer = ObservationNormalizer(4, scale=0.2)
    actors = Actors(env, TWO, 0, normalizer, RewardNormalizer(64, discount=0.99))
    actors.collect(uniform, None, 400)
    before = normalizer.frozen()
    rollout = actors.collect(uniform, None, 200)
    seen = rollout.observations.flatten(0, 1)
    assert normalizer.frozen() != before  # statistics move between rollouts ...
    torch.testing.assert_close(seen.std(0), torch.full((4,), 0.2), atol=0.05, rtol=0)
    assert seen.mean(0).abs().max() < 0.1
    rewards = rollout.rewards[rollout.valid.bool()]
    assert rewards.std() < 0.1  # ... and all rewards are 1, divided by one running number
    assert 0 < rewards.mean() < 0.5
    assert (rollout.rewards[~rollout.valid.bool()] == 0).all()
    assert np.mean(actors.recent_returns) > 10


def test_normalizers_go_on_from_their_state():
    rng = np.random.default_rng(0)
    one, two = ObservationNormalizer(3, 0.5), ObservationNormalizer(3, 0.5)
    one.update(rng.normal(2, 3, (1000, 3)))
    two.set_state(one.get_state())
    assert one.frozen() == two.frozen()
    np.testing.assert_allclose(one(np.full((1, 3), 5.0)), 0.5, atol=0.1)
    assert np.abs(one(np.full((1, 3), 1e9))).max() == 5  # clip 10, scale 0.5


def test_actions_are_clipped_at_the_environments_door():
    class Recorder(Script):
        def __init__(self):
            super().__init__([(0.0, False, False)] * 3)
            self.single_action_space = gym.spaces.Box(-0.5, 0.5, (2,))
            self.seen = []

        def step(self, actions):
            self.seen.append(actions)
            return super().step(actions)

    env = Recorder()
    task = TaskSpec("gaussian", (1,), 2)
    rollout = Actors(env, task, 0).collect(lambda o: torch.full((1, 2), 3.0), torch.zeros(2), 3)
    assert (np.stack(env.seen) <= 0.5).all()
    assert rollout.actions.max() > 1  # the action as drawn is what is learned from
