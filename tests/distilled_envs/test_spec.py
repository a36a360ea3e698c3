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


BAD_VALUES = {
    "name": (None, 3, "two\nlines"),
    "env": (None, [], "CartPole-v1", {}, {"id": 3}),
    "env.max_episode_steps": (0, -2, True, 2.5, "5"),
    "env.reward_threshold": ("high", True),
    "env.order_enforce": (1, "yes"),
    "env.nondeterministic": ("x", 0),
    "env.disable_env_checker": ("x", 3),
    "env.kwargs": ([], "dims", None),
    "env.kwargs.dims": ("2", 2.5, True),
    "task.kind": (None, "greedy", 3, ["gaussian"]),
    "task.n_outputs": (0, -1, 2**30, 2.5, True, "4", None),
    "task.observation_shape": (None, 8, [0], [-8], ["8"], [2**30], [1] * 9),
    "task.target_log_std": (3, ["a"] * 4, [1e300] * 4),
    "task.choices": (3, [], [0, 4], [4.5]),
    "inner.learning_rate": (0, -1, 9e18, 10**400, "1", None, True),
    "inner.optimizer": ("adam", 3, None),
    "inner.loss": ("mae", None),
    "inner.steps": (0, 2, True, "1"),
    "learner.architecture": ("resnet", None, 3),
    "learner.hidden_sizes": (None, 64, [0], [64.5], ["64"], [10**9], [16_384] * 256, [1] * 300),
    "learner.activation": ("gelu", None, ["tanh"]),
    "learner.encoder_level": (-1, 1.5, "1", None, 9),
    "learner.initialisation": (3, "orthogonal", []),
    "learner.initialisation.kind": ("zero", None),
    "learner.initialisation.output_gain": (-1, 1e300, "0.01", None, True),
    "observation_transform": (3, "none", []),
    "observation_transform.mean": (None, 3, ["0"] * 8, [1e300] * 8),
    "observation_transform.std": (None, [0.0] * 8, [-1.0] * 8, [1e300] * 8),
    "observation_transform.scale": (0, -1, 1e300, "1", None),
    "observation_transform.clip": (0, -1, 1e300, None),
    "observation_transform.coordinates": (3, [0], [0] * 8, [-1, 0, 1, 2, 3, 4, 5, 6]),
    "families": (3, "tanh", [3]),
    "preprocessing": ("none", 3, "atari"),
    "env_module": (3, []),
    "provenance": (3, [], "by hand"),
    "evaluation": (3, [], {"one_step": 3}, {"one_step": {"greedy": 3}}),
    "files": (3, [], "train.parquet"),
    "format_version": (0, 2, "1", None),
}


@pytest.mark.parametrize("path", BAD_VALUES)
def test_every_value_of_a_file_has_a_type_and_bounds(path, dataset):
    spec = dataset.spec.replace(
        observation_transform=ObservationTransform((0.0,) * 8, (1.0,) * 8),
        env=gym.spec("CartPoleND-v0"),
    )
    text = spec.to_json()
    DistillationSpec.from_json(text)
    *outer, key = path.split(".")
    for value in BAD_VALUES[path]:
        record = json.loads(text)
        inside = record
        for each in outer:
            inside = inside[each]
        inside[key] = value
        with pytest.raises(DatasetError, match=r"distillation\.json") as caught:
            DistillationSpec.from_json(json.dumps(record))
        said = str(caught.value)
        assert "\n" not in said
        assert key.removesuffix("_version") in said, f"{value!r}: {said}"


def test_a_learner_that_no_computer_holds_is_refused(dataset):
    huge = LearnerSpec(hidden_sizes=(16_384, 16_384))
    with pytest.raises(
        DatasetError, match=r"hidden_sizes make a learner of \d+ MiB, and the limit"
    ):
        dataset.spec.replace(learner=huge)


@pytest.mark.parametrize("kind", [LearnerSpec, InnerSpec, TaskSpec, ObservationTransform])
def test_programs_meet_the_bounds_of_files(kind):
    wrong = {
        LearnerSpec: lambda: LearnerSpec(hidden_sizes=(0,)),
        InnerSpec: lambda: InnerSpec(float("nan")),
        TaskSpec: lambda: TaskSpec("gaussian", (3,), 2, (1e9, 0.0)),
        ObservationTransform: lambda: ObservationTransform((float("inf"),), (1.0,)),
    }
    with pytest.raises(DatasetError, match="can't be"):
        wrong[kind]()
