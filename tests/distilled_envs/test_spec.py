import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from distilled_envs.errors import DatasetError
from distilled_envs.spaces import EnvSpaces
from distilled_envs.spec import (
    DistillationSpec,
    InnerSpec,
    LearnerSpec,
    ObservationTransform,
    TaskSpec,
)


def test_spec_round_trip_with_every_part():
    spec = DistillationSpec(
        name="hopper-64",
        env=gym.spec("CartPole-v1"),
        task=TaskSpec("gaussian", (2,), 3, (-1.0, -0.5, 0.0)),
        inner=InnerSpec(2.5),
        observation_transform=ObservationTransform((0.0, 1.0), (1.0, 2.0), 0.2, 10.0),
        provenance={"seed": 3},
        evaluation={"one_step": {"learners": 100}},
        spaces=EnvSpaces(spaces.Box(-2.0, 2.0, (2,)), spaces.Box(-0.4, 0.4, (3,))),
        files={"train.parquet": "00"},
    )
    assert DistillationSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": LearnerSpec()}, r"learner\.architecture can't be 'mlp'"),
        ({"preprocessing": None}, "preprocessing can't be None"),
        ({"task": TaskSpec("categorical", (1, 84, 84), 6)}, r"task\.observation_shape"),
    ],
)
def test_specs_that_contradict_themselves_are_refused(changes, message, toy):
    with pytest.raises(DatasetError, match=message):
        toy(0).spec.replace(**changes)


@pytest.mark.parametrize(
    "known",
    [
        EnvSpaces(
            spaces.Box(np.array([-4.8, -np.inf], "f"), np.array([4.8, np.inf], "f")),
            spaces.Discrete(3, start=2),
        ),
        EnvSpaces(
            spaces.Box(-np.inf, np.inf, (2,), np.float64),
            spaces.Box(np.array([-1.0, 0.1, 0.3]), np.array([1.0, 0.7, 1 / 3]), dtype=np.float64),
        ),
    ],
)
def test_spaces_come_back_exactly(known, dataset):
    kind = "categorical" if isinstance(known.action, spaces.Discrete) else "gaussian"
    record = json.loads(json.dumps(known.to_record(), allow_nan=False))
    again = EnvSpaces.from_record(record, kind, (2,), 3)
    assert again == known
    for part in ("observation", "action"):
        before, after = getattr(known, part), getattr(again, part)
        if isinstance(before, spaces.Box):
            np.testing.assert_array_equal(after.low, before.low, strict=True)
            np.testing.assert_array_equal(after.high, before.high, strict=True)


def test_spaces_of_a_file_are_checked_and_unknown_keys_kept(dataset):
    known = EnvSpaces(spaces.Box(-1.0, 1.0, (8,)), spaces.Discrete(4))
    text = dataset.spec.replace(spaces=known).to_json()
    box = {"low": -1.0, "high": 1.0, "dtype": "float32"}
    for part, wrong in {
        "observation": [
            None,
            [],
            box | {"dtype": "object"},
            box | {"low": 2.0},
            box | {"low": [0.0] * 7},
            box | {"high": "1"},
            box | {"high": True},
            box | {"low": 0.5, "dtype": "uint8"},
        ],
        "action": [{"n": 5, "start": 0}, {"n": 4}, {"n": 4, "start": 0.5}, box],
    }.items():
        for value in wrong:
            record = json.loads(text)
            record["spaces"][part] = value
            with pytest.raises(DatasetError, match=rf"distillation.json: spaces.{part} can't be"):
                DistillationSpec.from_json(json.dumps(record))
    record = json.loads(text)
    record["spaces"]["color"] = "blue"
    spec = DistillationSpec.from_json(json.dumps(record))
    assert spec.spaces == known
    assert json.loads(spec.to_json())["spaces"]["color"] == "blue"
    del record["spaces"]
    before = DistillationSpec.from_json(json.dumps(record))
    assert before.spaces is None
    assert "spaces" not in json.loads(before.to_json())
