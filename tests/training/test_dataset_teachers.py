"""Following a teacher: its answers, what it gives a student, and what can't be one."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from distilled_envs import load_distilled
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.training import PRESETS, Settings, distill
from distilled_envs.training.centering import plain
from distilled_envs.training.dataset_teachers import LEARNERS, as_teacher, load_teacher


@pytest.fixture
def cartpole(small_cartpole) -> Settings:
    return dataclasses.replace(small_cartpole, teacher="cartpole_2d")


def test_answers_are_the_mean_of_learners():
    teacher = load_distilled("cartpole_2d")
    torch.manual_seed(0)
    answer = as_teacher(teacher, "cpu")
    torch.manual_seed(0)
    states = 0.1 * torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    each = teacher.new_learners(LEARNERS)(states)
    torch.testing.assert_close(answer(states), each.mean(0))
    assert not torch.allclose(answer(states), each[0], rtol=1e-3)


def test_students_come_to_answer_as_the_teacher_does(cartpole, start):
    """Without rewards' help: the discount leaves nothing to learn from them."""
    settings = dataclasses.replace(cartpole, discount=0.0, gae_lambda=0.0)
    run = start(settings, load_distilled("cartpole_2d"))
    seen = [run.iterate() for _ in range(40)]
    assert np.mean([m["following"] for m in seen[-5:]]) < 0.75 * seen[0]["following"]
    assert seen[-1]["return"] > 2 * seen[0]["return"]
    alone = start(dataclasses.replace(settings, teacher=None))
    assert "following" not in alone.iterate()


@pytest.mark.parametrize(("level", "shared"), [(0, 0), (1, 1), (2, 2), (3, 2)])
def test_a_student_starts_with_the_teachers_layers(level, shared, toy, start):
    settings = dataclasses.replace(
        PRESETS["pong-level3"], encoder_level=level, learners=2, horizon=4, minibatches=2
    )
    teacher = toy(2)
    run = start(settings, teacher)
    own, theirs = plain(run.view.encoder).state_dict(), teacher.encoder.state_dict()
    weights = {name: value for name, value in own.items() if name.endswith("weight")}
    cosine = [
        torch.nn.functional.cosine_similarity(value.flatten(), theirs[name].flatten(), dim=0)
        for name, value in weights.items()
        if name in theirs
    ]  # a last layer that was none of the teacher's is scaled anew
    assert (len(weights), len(cosine)) == (level, shared)
    assert all(each == pytest.approx(1, abs=1e-5) for each in cosine)
    if level == 2:
        assert all(torch.allclose(value, theirs[name], atol=1e-5) for name, value in own.items())
    assert run.iterate()["following"] > 0


def test_a_run_with_a_teacher_says_so_and_goes_on_with_it(tmp_path, interrupted, cartpole):
    folder = tmp_path / "teacher"
    load_distilled("cartpole_2d").save(folder)
    settings = dataclasses.replace(cartpole, total_steps=4 * 8 * 16 * 2, teacher=str(folder))
    whole = distill(settings, tmp_path / "whole", progress=False)
    interrupted(settings, tmp_path / "run")
    shutil.rmtree(folder)  # whatever becomes of it
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert torch.equal(dataset.observations, whole.observations)
    record, taught = dataset.spec.provenance["teacher"], load_distilled("cartpole_2d").spec
    assert record["name"] == taught.name
    assert record["wall_seconds"] == taught.provenance["wall_seconds"] > 0
    assert record["files"] == taught.files != {}
    assert "training_curve" not in record


@pytest.mark.slow
def test_a_game_teaches_from_a_folder(tmp_path, toy):
    toy(2).save(tmp_path / "teacher")
    settings = dataclasses.replace(
        PRESETS["pong-level3"],
        teacher=str(tmp_path / "teacher"),
        encoder_level=1,
        learners=2,
        horizon=4,
        minibatches=2,
        total_steps=16,
        eval_learners=1,
    )
    dataset = distill(settings, tmp_path / "run", progress=False)
    assert dataset.spec.provenance["teacher"]["name"] == "pong-level2"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"teacher": "cartpole_1d"},
            SettingsError,
            "is for CartPoleND-v0 with {'dims': 1}, and the",
        ),
        ({"teacher": "hopper"}, SettingsError, "The teacher hopper is for Hopper-v5"),
        ({"teacher": "nobody"}, DatasetError, "nobody"),
    ],
)
def test_who_can_not_teach(changes, error, message, tmp_path, cartpole):
    with pytest.raises(error, match=message):
        distill(dataclasses.replace(cartpole, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_teacher_needs_plain_observations():
    with pytest.raises(SettingsError, match="leave out observation_scale"):
        dataclasses.replace(PRESETS["hopper-64"], teacher="hopper")


def test_continuous_actions_have_no_teacher():
    hopper = load_distilled("hopper", instances=256)
    with pytest.raises(SettingsError, match="hopper can't be a teacher: it has transformed"):
        load_teacher("hopper", hopper.spec.env)
