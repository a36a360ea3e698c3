"""Faults of environments, told in one sentence."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from distilled_envs.envs.checked import Checked, tried
from distilled_envs.envs.preprocessing import make_vec
from distilled_envs.errors import FaultyEnvError
from distilled_envs.training.world import world_of


class Faulty(gym.Env):
    """Good for some steps, and then faulty.

    Args:
        fault: Of which kind.
        after: Steps before it.
    """

    action_space = spaces.Discrete(2)

    def __init__(self, fault: str = "", after: int = 0):
        number = fault == "state"
        self.observation_space = spaces.Discrete(3) if number else spaces.Box(-1, 1, (2,))
        self._fault, self._left = fault, after

    def _seen(self):
        if isinstance(self.observation_space, spaces.Discrete):
            return 0
        return np.zeros(2, dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self._fault == "reset":
            raise KeyError("level")
        return (self._seen(),) if self._fault == "reset alone" else (self._seen(), {})

    def step(self, action):
        given = self._seen(), 1.0, False, False, {}
        self._left -= 1
        if self._left >= 0:
            return given
        if self._fault == "step":
            raise ZeroDivisionError("no\nwonder")
        changes = {
            "nan": (np.array([np.nan, 0], dtype=np.float32), *given[1:]),
            "shape": (np.zeros(3, dtype=np.float32), *given[1:]),
            "state": (3, *given[1:]),
            "reward": (given[0], np.ones(2), *given[2:]),
            "nan reward": (given[0], float("nan"), *given[2:]),
            "end": (*given[:2], "no", *given[3:]),
            "four": given[:4],
            "beyond": (np.full(2, 5, dtype=np.float32), *given[1:]),
        }
        return changes[self._fault]


FAULTS = {
    "reset": "reset failed: KeyError",
    "reset alone": "reset ",
    "step": "step failed: ZeroDivisionError: no.$",
    "nan": "step gave the observation .*nan",
    "shape": "step gave the observation",
    "state": "step gave the observation 3, which is none of Discrete",
    "reward": "step gave the reward .*no number",
    "nan reward": "step gave the reward nan",
    "end": "step gave 'no' as terminated",
    "four": "step ",
}


@pytest.fixture(autouse=True)
def faulty():
    gym.register("Faulty-v0", f"{__name__}:Faulty", max_episode_steps=50)
    yield
    gym.registry.pop("Faulty-v0")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_names_the_environment_before_any_work(fault):
    with pytest.raises(FaultyEnvError, match=f"^The environment Faulty-v0: {FAULTS[fault]}"):
        tried(gym.make("Faulty-v0", fault=fault))
    with pytest.raises(FaultyEnvError, match="Faulty-v0"):
        world_of("Faulty-v0", {"fault": fault})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", ["step", "nan", "state", "nan reward"])
def test_a_fault_that_comes_later_is_found_in_copies(fault):
    world = world_of("Faulty-v0", {"fault": fault, "after": 20})
    env = make_vec(world.spec, 2, world.preprocessing)
    env.reset(seed=0)
    with pytest.raises(FaultyEnvError, match="Faulty-v0: step"):
        for _ in range(30):
            env.step(np.zeros(2, dtype=int))


@pytest.mark.filterwarnings("ignore")
def test_numbers_a_little_beyond_their_bounds_are_let_through():
    env = Checked(gym.make("Faulty-v0", fault="beyond"))
    env.reset(seed=0)
    assert env.step(0)[0].tolist() == [5, 5]
