import gymnasium as gym
import numpy as np
import pytest
import torch

from distilled_envs.training.rollout import Actors, Rollout


class Script(gym.vector.VectorEnv):
    """One environment that plays (reward, terminated, truncated) from a script, and counts."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, script):
        self.num_envs, self.script, self.clock = 1, script, 0

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
    actors = Actors(Script([go, end, reset, go, cut, reset, go]), seed=0)
    rollout = actors.collect(uniform, "categorical", 7)
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
    rollout = Actors(env, seed=0).collect(uniform, "categorical", 12)
    # Episodes of five steps (none falls so soon), each followed by one reset step.
    assert rollout.valid[:, 0].tolist() == [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0]
    assert rollout.terminated.sum() == 0
    assert (rollout.rewards == rollout.valid).all()
    assert rollout.observations.shape == (13, 4, 4)


def test_state_is_taken_up_across_an_episode():
    def make():
        return Actors(gym.make_vec("CartPoleND-v0", num_envs=4, dims=2), seed=1)

    torch.manual_seed(0)
    first = make()
    first.collect(uniform, "categorical", 40)
    state, rng = first.get_state(), torch.get_rng_state()
    ahead = first.collect(uniform, "categorical", 40)
    second = make()
    second.set_state(state)
    torch.set_rng_state(rng)
    again = second.collect(uniform, "categorical", 40)
    for name in Rollout.__dataclass_fields__:
        assert torch.equal(getattr(ahead, name), getattr(again, name))
    assert list(first.recent_returns) == list(second.recent_returns)


def test_other_autoreset_modes_are_refused():
    env = gym.make_vec("CartPoleND-v0", num_envs=2, autoreset_mode="SameStep")
    with pytest.raises(ValueError, match="NEXT_STEP"):
        Actors(env, seed=0)
