"""Following a teacher: its answers, what it gives a student, and what can't be one."""

import dataclasses

import numpy as np
import pytest
import torch

from distilled_envs import load_distilled
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.spec import TaskSpec
from distilled_envs.training import PRESETS, distill
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.teacher import answers

CARTPOLE = dataclasses.replace(
    PRESETS["cartpole-nd-2d-min"],
    teacher="cartpole_2d",
    threads=1,
    learners=4,
    horizon=16,
    minibatches=4,
    total_steps=4 * 8 * 16 * 40,
    eval_learners=2,
    eval_episodes=1,
)


def test_answers_are_the_mean_of_learners():
    teacher = load_distilled("cartpole_2d")
    say = answers(teacher, torch.device("cpu"))
    states = torch.randn(50, 8) * 0.1
    given = say(states)
    assert given.shape == (50, 4)
    with torch.no_grad():
        own = torch.stack([teacher.train(seed=seed)(states) for seed in range(20)]).mean(0)
    assert (given.argmax(1) == own.argmax(1)).float().mean() > 0.9


def test_students_come_to_answer_as_the_teacher_does():
    """Without rewards' help: the discount leaves nothing to learn from them."""
    settings = dataclasses.replace(CARTPOLE, discount=0.0, gae_lambda=0.0)
    torch.manual_seed(0)
    env = make_training_envs(settings, 0)
    task = TaskSpec("categorical", (8,), 4)
    run = MetaPPO(settings, env, task, teacher=load_distilled("cartpole_2d"))
    seen = [run.iterate() for _ in range(40)]
    assert np.mean([m["from_teacher"] for m in seen[-5:]]) < 0.75 * seen[0]["from_teacher"]
    assert seen[-1]["return"] > 2 * seen[0]["return"]
    alone = MetaPPO(dataclasses.replace(settings, teacher=None), env, task)
    assert "from_teacher" not in alone.iterate()


@pytest.mark.parametrize(("level", "shared"), [(0, 0), (1, 1), (2, 2), (3, 2)])
def test_a_student_starts_with_the_teachers_layers(level, shared, toy):
    settings = dataclasses.replace(
        PRESETS["pong-level4"], encoder_level=level, learners=2, horizon=4, minibatches=2
    )
    env = make_training_envs(settings, 0)
    teacher = toy(2)
    run = MetaPPO(settings, env, TaskSpec("categorical", (4, 84, 84), 6), teacher=teacher)
    own, theirs = run.encoder.state_dict(), teacher.encoder.state_dict()
    same = [torch.equal(value, theirs[name]) for name, value in own.items() if name in theirs]
    assert (len(own), len(same), all(same)) == (2 * level, 2 * shared, True)
    assert run.iterate()["from_teacher"] > 0
    env.close()


def test_a_run_with_a_teacher_says_so(tmp_path):
    settings = dataclasses.replace(CARTPOLE, total_steps=4 * 8 * 16)
    dataset = distill(settings, tmp_path / "run", progress=False)
    record = dataset.spec.provenance["teacher"]
    taught = load_distilled("cartpole_2d").spec
    assert record["name"] == taught.name
    assert record["wall_seconds"] == taught.provenance["wall_seconds"] > 0
    assert dataset.spec.provenance["settings"]["teacher"] == "cartpole_2d"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"teacher": "cartpole_1d"}, SettingsError, "is for CartPoleND-v0 {'dims': 1}, not for"),
        ({"teacher": "hopper"}, SettingsError, "The teacher hopper is for Hopper-v5"),
        ({"teacher": "nobody"}, DatasetError, "nobody"),
    ],
)
def test_who_can_not_teach(changes, error, message, tmp_path):
    with pytest.raises(error, match=message):
        distill(dataclasses.replace(CARTPOLE, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_teacher_needs_plain_observations():
    with pytest.raises(SettingsError, match="leave out observation_scale"):
        dataclasses.replace(PRESETS["hopper-64"], teacher="hopper")
