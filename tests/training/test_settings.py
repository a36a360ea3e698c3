"""Settings that make no sense, and presets that fit their environments."""

import dataclasses

import pytest

from distilled_envs.errors import SettingsError
from distilled_envs.training import (
    PRESETS,
    GameSettings,
    ImitationSettings,
    RefitSettings,
    Settings,
)
from distilled_envs.training.backends import checked_world
from distilled_envs.training.presets.mujoco import MUJOCO

CARTPOLE = Settings(
    name="cartpole-nd-1d-min",
    env_id="CartPoleND-v0",
    dims=1,
    instances=2,
    total_steps=1024,
    envs_per_learner=2,
    horizon=16,
    minibatches=2,
)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learners": 0}, "learners must be at least 1"),
        ({"discount": 1.5}, "discount must lie in 0..1"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"minibatches": 33}, "more than the 32 steps"),
        ({"consistency": -0.1}, "consistency must be at least 0"),
        ({"hidden_sizes": (64, 0)}, "hidden_sizes"),
        ({"coordinates": (0, 1)}, "needs an observation_scale"),
        ({"coordinates": (0, 0), "observation_scale": 1.0}, "must be different"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        dataclasses.replace(CARTPOLE, **changes)


@pytest.mark.parametrize("settings", MUJOCO, ids=lambda settings: settings.name)
def test_mujoco_presets_fit_their_environments(settings):
    world = checked_world(settings)
    task = world.task
    assert world.spec.id == settings.env_id
    assert task.kind == "gaussian"
    assert task.observation_shape[0] <= min(settings.hidden_sizes)


def test_a_game_has_settings_of_its_own():
    with pytest.raises(SettingsError, match="whose settings are GameSettings"):
        dataclasses.replace(CARTPOLE, env_id="ALE/Pong-v5")
    with pytest.raises(TypeError, match="guide_share"):
        dataclasses.replace(CARTPOLE, guide_share=0.5)
    assert GameSettings(**vars(CARTPOLE), guide_share=0.5).make_kwargs == {"dims": 1}
    game = PRESETS["pong-level4"]
    assert game.learner.architecture == "nature-cnn"
    assert checked_world(game).spec.kwargs["frameskip"] == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"guide_share": 1.5}, "guide_share must lie in 0..1"),
        ({"constant_start": True}, "leave out constant_start"),
        ({"teacher": "pong-level4"}, "leave out teacher, or give its dataset as guide_start"),
        ({"guide_share": 0.0, "guide_start": "pong-level4"}, "give a guide_share too"),
        ({"reward_sign": True, "normalize_rewards": True}, "exclude each other"),
    ],
)
def test_a_run_has_one_start_and_one_teacher(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        dataclasses.replace(PRESETS["pong-level4"], **changes)


@pytest.mark.parametrize(
    "wrong",
    [{"instances": 0}, {"visited": 1.5}, {"steps": 0}, {"consistency": -1.0}, {"shrink": 0.0}],
)
def test_refitting_refuses_what_makes_no_sense(wrong):
    with pytest.raises(SettingsError, match="Refitting needs"):
        RefitSettings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"instances": 1}, "two instances at least"),
        ({"visits": 0}, "visits of at least 1"),
        ({"episodes": -1}, "rounds and episodes of at least 0"),
        ({"rounds": -1}, "rounds and episodes of at least 0"),
        ({"seed": -1}, "A seed is a whole number"),
        ({"enough": 1.5}, r"enough must lie in 0\.\.1"),
    ],
)
def test_imitation_refuses_what_makes_no_sense(wrong, sentence):
    with pytest.raises(SettingsError, match=sentence):
        ImitationSettings(**wrong)
