"""Any environment without settings."""

import dataclasses
import inspect
import json
import sys

import pytest
import torch

from distilled_envs.cli import main
from distilled_envs.cli.distill_flags import with_preset
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DivergedError, MissingExtraError, SettingsError
from distilled_envs.training import (
    AutomaticSettings,
    ImitationSettings,
    LinearPolicy,
    automatic,
    distill_any,
    imitate,
    policy_distillation,
    sure_returns,
)
from distilled_envs.training.world import vector_world_of

QUICK = ImitationSettings(visits=200, episodes=2, rounds=0)
CLIFF = AutomaticSettings("CliffWalking-v1", eval_learners=8)


def is_no_teacher(found, wanted, enough=automatic.ENOUGH):
    """Of two ways any is good enough; what a teacher gets is never reached."""
    return enough != automatic.ENOUGH


def test_states_by_number_get_the_best_policy_and_no_ppo(tmp_path):
    dataset = distill_any(CLIFF, tmp_path / "run", progress=False, command="a test")
    assert dataset.spec.evaluation["one_step"]["greedy"]["mean"] == -13
    made = dataset.spec.provenance
    assert made["algorithm"] == "automatic"
    assert made["command"] == "a test"
    assert made["choice"] == "a table, from which networks get -13.0"
    assert made["tried"] == [{"way": "a table", "teacher": -13.0, "networks": -13.0}]
    assert made["env_steps"] > made["teacher"]["env_steps"] > 1_000
    assert not (tmp_path / "run" / "ppo").exists()
    # A finished run is its dataset; another one does not take its folder.
    again = distill_any(CLIFF, tmp_path / "run", resume=True, progress=False)
    # What nobody says is as it was.
    unsaid = AutomaticSettings("CliffWalking-v1")
    assert distill_any(unsaid, tmp_path / "run", resume=True, progress=False).spec == again.spec
    assert again.spec.provenance == made
    with pytest.raises(SettingsError, match="exists already"):
        distill_any(CLIFF, tmp_path / "run")
    with pytest.raises(SettingsError, match="other settings \\(seed"):
        distill_any(dataclasses.replace(CLIFF, seed=1), tmp_path / "run", resume=True)
    with pytest.raises(SettingsError, match="There is no run to resume"):
        distill_any(CLIFF, tmp_path, resume=True)


def test_nothing_is_begun_without_the_library_of_the_search(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(MissingExtraError, match="cma"):
        distill_any(AutomaticSettings("CartPole-v1"), tmp_path / "run")
    assert not [*tmp_path.iterdir()]


def test_a_linear_policy_that_solves_it_is_enough(tmp_path):
    settings = AutomaticSettings("CartPole-v1", minutes=1.5, eval_learners=8)
    dataset = distill_any(settings, tmp_path / "run", progress=False)
    assert len(dataset) <= 3
    assert dataset.spec.evaluation["one_step"]["greedy"]["mean"] > 475
    assert [each["way"] for each in dataset.spec.provenance["tried"]] == ["a linear policy"]


def test_ppo_follows_where_nothing_is_solved_and_the_best_way_is_taken(
    tmp_path, monkeypatch, imitation_steps
):
    pytest.importorskip("stable_baselines3")
    imitation_steps(40)
    monkeypatch.setattr(policy_distillation, "NETWORKS", 2)
    monkeypatch.setattr(sure_returns, "_SECONDS", 0.0)
    monkeypatch.setattr(automatic, "SEARCH", 0.1)
    # So little PPO is no better.
    monkeypatch.setattr(automatic, "_reaches", is_no_teacher)
    settings = AutomaticSettings("Pendulum-v1", minutes=0.15, eval_learners=4)

    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(automatic, "train_ppo", interrupted)
        with pytest.raises(KeyboardInterrupt):
            distill_any(settings, tmp_path / "run", progress=False)
    policy = (tmp_path / "run" / "linear.npz").read_bytes()
    spent = json.loads((tmp_path / "run" / "run.json").read_text())["seconds"]
    assert spent > 1
    dataset = distill_any(settings, tmp_path / "run", resume=True, progress=False)
    assert (tmp_path / "run" / "linear.npz").read_bytes() == policy  # it was not searched again
    made = dataset.spec.provenance
    assert made["wall_seconds"] > spent
    assert [each["way"] for each in made["tried"]] == [
        "a linear policy",
        "PPO, followed by a linear policy",
        "PPO, behind an encoder",
    ]
    best = max(made["tried"], key=lambda each: each["networks"])
    assert made["choice"].startswith(best["way"])
    assert (dataset.encoder is not None) == (best["way"] == "PPO, behind an encoder")


def test_a_linear_policy_of_too_many_numbers_is_left_out(tmp_path, monkeypatch, imitation_steps):
    pytest.importorskip("stable_baselines3")
    imitation_steps(40)
    monkeypatch.setattr(sure_returns, "_SECONDS", 0.0)
    monkeypatch.setattr(automatic, "SEARCHED", 0)
    settings = AutomaticSettings("CartPole-v1", minutes=0.1, eval_learners=4)
    dataset = distill_any(settings, tmp_path / "run", progress=False)
    assert dataset.encoder is not None
    left_out, taken = dataset.spec.provenance["tried"]
    assert left_out == {"way": "no search for a linear policy of 10 numbers"}
    assert taken["way"] == "PPO, behind an encoder"


def test_logits_are_as_soft_as_networks_need(tmp_path, monkeypatch):
    policy, tried = LinearPolicy(torch.ones(2, 4), torch.ones(2)), []
    policy.save(tmp_path / "linear.npz")
    got = {1.0: 400.0, 0.4: 496.0, 0.1: 500.0}

    def imitated(way, teacher, *arguments):
        tried.append(round(float(teacher.weights[0, 0]), 3))
        assert teacher.bias[0] == teacher.weights[0, 0]
        return automatic._Tried(way, 500.0, None, got[tried[-1]], 0.0)

    monkeypatch.setattr(automatic, "_imitated", imitated)
    world, settings = vector_world_of("CartPole-v1"), AutomaticSettings("CartPole-v1")
    best = automatic._linear(world, settings, tmp_path, progress=False)
    assert tried == [1.0, 0.4, 0.1]
    assert best.networks == 496  # no more than 1% below the best, and sharper


def test_ppo_has_the_time_that_the_search_has_left(tmp_path, monkeypatch):
    asked = []

    def trained(world, seconds, folder, **arguments):
        asked.append(seconds)
        raise DivergedError("Not now.")

    monkeypatch.setattr(automatic, "train_ppo", trained)
    world, settings = vector_world_of("CartPole-v1"), AutomaticSettings("CartPole-v1", minutes=10)

    def after(*searches):
        asked.clear()
        for spent in searches:
            linear = automatic._Tried("a search", seconds=spent)
            with pytest.raises(DivergedError):
                next(automatic._with_ppo(world, settings, tmp_path, linear, False))
        return asked

    assert after(0.0, 50.0, 1_000.0) == pytest.approx([450, 400, 180])
    # What slow environments need for their play is left to it.
    monkeypatch.setattr(automatic, "_playing", lambda *_: 250.0)
    assert after(0.0, 120.0, 1_000.0) == pytest.approx([410, 290, 180])


def test_play_takes_as_long_as_its_episodes_and_the_environment():
    settings = AutomaticSettings("CartPole-v1", eval_learners=10)
    world = vector_world_of("CartPole-v1")
    longer = dataclasses.replace(world.spec, max_episode_steps=50_000)
    short = automatic._playing(world, settings)
    # A pace is measured, and other work on the machine changes it.
    assert automatic._playing(dataclasses.replace(world, spec=longer), settings) > 20 * short > 0
    endless = dataclasses.replace(world.spec, max_episode_steps=None)
    assert automatic._playing(dataclasses.replace(world, spec=endless), settings) == 0


def test_a_way_says_how_long_it_took(tmp_path, monkeypatch):
    made = {"wall_seconds": 50.0}
    LinearPolicy(torch.ones(2, 4), torch.ones(2), made=made).save(tmp_path / "linear.npz")
    monkeypatch.setattr(automatic, "_imitated", lambda way, *_: automatic._Tried(way, 0, None, 1.0))
    world, settings = vector_world_of("CartPole-v1"), AutomaticSettings("CartPole-v1")
    assert 50 <= automatic._linear(world, settings, tmp_path, progress=False).seconds < 55


def test_without_ppo_the_linear_policy_is_what_there_is(tmp_path, monkeypatch):
    def missing(*arguments, **keywords):
        raise MissingExtraError("stable-baselines3", "PPO as a teacher", "sb3")

    monkeypatch.setattr(automatic, "train_ppo", missing)
    monkeypatch.setattr(sure_returns, "_SECONDS", 0.0)
    settings = AutomaticSettings("Pendulum-v1", minutes=0.05, eval_learners=4)
    dataset = distill_any(settings, tmp_path / "run", progress=False)
    assert [each["way"] for each in dataset.spec.provenance["tried"]] == ["a linear policy"]
    monkeypatch.setattr(automatic, "SEARCHED", 0)
    with pytest.raises(MissingExtraError):
        distill_any(settings, tmp_path / "other", progress=False)


def test_what_diverges_leaves_what_there_is(tmp_path, monkeypatch):
    ways = []

    def imitated(way, teacher, world, settings, progress, **how):
        ways.append(way)
        if how:
            raise DivergedError("Imitation diverged.")
        dataset = imitate(LinearPolicy(torch.ones(1, 3), torch.ones(1)), world, QUICK)
        return automatic._Tried(way, 0.0, dataset, float(len(ways)), 0.0)

    monkeypatch.setattr(automatic, "_imitated", imitated)
    monkeypatch.setattr(automatic, "train_ppo", lambda *_, **__: None)
    monkeypatch.setattr(automatic, "own_return", lambda *_: 0.0)
    monkeypatch.setattr(automatic, "_reaches", is_no_teacher)
    settings = AutomaticSettings("Pendulum-v1", minutes=0.05, eval_learners=2)
    dataset = distill_any(settings, tmp_path / "run", progress=False)
    assert len(ways) == 3
    tried = [each["way"] for each in dataset.spec.provenance["tried"]]
    assert tried == ["a linear policy", "PPO, followed by a linear policy"]
    assert dataset.spec.provenance["choice"].startswith(tried[1])


def test_nearly_all_of_a_return_is_enough():
    assert automatic._reaches(96, 100)
    assert not automatic._reaches(94, 100)
    assert automatic._reaches(-104, -100)
    assert not automatic._reaches(-110, -100)
    assert automatic._reaches(1, -5)
    assert not automatic._reaches(-5, 1)


def test_settings_of_meta_ppo_ask_for_meta_ppo():
    command, _, _ = with_preset(["Acrobot-v1", "--minutes", "1"])
    assert command.keywords["settings"] == AutomaticSettings("Acrobot-v1")
    command, _, _ = with_preset(["Hopper-v5"])  # hopper-64 is a preset
    assert command.keywords["settings"] == AutomaticSettings("Hopper-v5")
    for flags in (["--total-steps", "9"], ["--no-anneal"], ["--learners=2"], ["--instances", "4"]):
        command, _, _ = with_preset(["Acrobot-v1", *flags])
        assert "ppo" in inspect.signature(command).parameters
    command, _, _ = with_preset(["hopper-64", "--seed", "1"])
    assert "ppo" in inspect.signature(command).parameters


def test_the_command_says_what_it_chose(tmp_path, capsys):
    folder = tmp_path / "run"
    flags = ["--output", str(folder), "--eval-learners", "4", "--no-progress"]
    assert main(["distill", "CliffWalking-v1", *flags]) == 0
    said = capsys.readouterr().out
    assert "Chosen: a table, from which networks get -13.0." in said
    assert "greedy actions: mean return -13.0" in said
    assert "Random play gets" in said
    dataset = DistilledDataset.load(folder / "dataset")
    assert dataset.spec.provenance["command"].startswith("distilled-envs distill CliffWalking-v1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"minutes": 0.0}, "minutes"),
        ({"eval_learners": 0}, "eval_learners"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_bad_settings_are_refused_in_words(changes, said):
    with pytest.raises(SettingsError, match=said):
        AutomaticSettings("CartPole-v1", **changes)


def test_bad_environments_are_refused_before_any_work(tmp_path):
    with pytest.raises(SettingsError, match="can't be made"):
        distill_any(AutomaticSettings("Nowhere-v0"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
