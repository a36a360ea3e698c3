import gymnasium as gym
import pytest

from distilled_envs.errors import DatasetError
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
