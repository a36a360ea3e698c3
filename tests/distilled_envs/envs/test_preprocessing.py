"""What stands between an environment and its learners."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from distilled_envs.envs.preprocessing import make_vec, preprocess, preprocessing_of

PICTURE = spaces.Box(0, 255, (96, 80, 3), np.uint8)
SHOWN = {
    "numbers": (spaces.Box(-np.inf, np.inf, (5,)), None, (5,)),
    "doubles": (spaces.Box(-1, 1, (5,), np.float64), None, (5,)),
    "whole numbers": (spaces.Box(0, 9, (5,), np.int64), "flatten", (5,)),
    "bytes": (spaces.Box(0, 255, (128,), np.uint8), "flatten", (128,)),
    "a matrix": (spaces.Box(-1, 1, (2, 3)), "flatten", (6,)),
    "a small picture": (spaces.Box(0, 1, (10, 10, 4), np.bool_), "flatten", (400,)),
    "a choice": (spaces.Discrete(7, start=2), "flatten", (7,)),
    "choices": (spaces.MultiDiscrete([3, 4]), "flatten", (7,)),
    "bits": (spaces.MultiBinary(4), "flatten", (4,)),
    "a tuple": (spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (2,))]), "flatten", (5,)),
    "a dictionary": (
        spaces.Dict(goal=spaces.Box(-1, 1, (2,)), all=spaces.Dict(one=spaces.Discrete(4))),
        "flatten",
        (6,),
    ),
    "a picture": (PICTURE, "frames", (4, 84, 84)),
    "a gray picture": (spaces.Box(0, 255, (64, 64), np.uint8), "frames", (4, 84, 84)),
    "one color": (spaces.Box(0, 255, (120, 64, 1), np.uint8), "frames", (4, 84, 84)),
}


class Showing(gym.Env):
    """Shows samples of a space for three steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, which):
        self.observation_space = SHOWN[which][0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), 1.0, self.steps == 3, False, {}


@pytest.fixture
def showing():
    gym.register("Showing-v0", Showing)
    yield
    gym.registry.pop("Showing-v0")


@pytest.mark.parametrize("which", SHOWN)
def test_every_space_becomes_numbers_or_frames(which, showing):
    space, kind, shape = SHOWN[which]
    assert preprocessing_of("Showing-v0", space) == kind
    env = preprocess(gym.make("Showing-v0", which=which), kind)
    seen, _ = env.reset(seed=0)
    assert seen.shape == shape == env.observation_space.shape
    assert env.observation_space.contains(seen)
    assert seen.dtype.kind == ("u" if kind == "frames" else "f")
    many = make_vec("Showing-v0", 3, kind, which=which)
    batch, _ = many.reset(seed=0)
    np.testing.assert_array_equal(batch[0], seen)
    for _ in range(5):
        batch = many.step(np.zeros(3, np.int64))[0]
        assert batch.shape == (3, *shape)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Sequence(spaces.Discrete(3)), "no fixed size"),
        (spaces.Dict(text=spaces.Graph(spaces.Discrete(3), None)), "no fixed size"),
        (spaces.Box(0, 1, (96, 96, 3)), "must be bytes"),
        (spaces.Box(0, 200, (96, 96, 3), np.uint8), "from 0 to 255"),
        (spaces.Box(-1, 1, (0,)), "0 numbers"),
        (spaces.Box(0, 255, (96, 96, 4), np.uint8), "1 or 3 colors last"),
        (spaces.Box(0, 1, (3, 100, 100)), "30,000 numbers"),
        (spaces.Box(0, 1, (0,), np.int64), "0 numbers"),
        (spaces.Discrete(100_000), "100,000 numbers"),
    ],
)
def test_others_are_refused(space, message):
    with pytest.raises(ValueError, match=message):
        preprocessing_of("Showing-v0", space)
