"""The scripts of ``make bench`` run: each is cut to some seconds, and says something."""

import dataclasses
import importlib
import sys
from pathlib import Path

import pytest

from distilled_envs.training import PRESETS

FOLDER = Path(__file__).parent / "bench"
SMALL = {"learners": 2, "envs_per_learner": 2, "horizon": 16, "minibatches": 2, "epochs": 1}


@pytest.fixture
def script(monkeypatch):
    """Imports a script as Python does that is started with it."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in {path.stem for path in FOLDER.glob("*.py")} - before:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_each_script_can_be_imported(name, script):
    assert script(name).__doc__


def test_halfcheetah_is_timed(script, monkeypatch):
    module = script("halfcheetah")
    monkeypatch.setattr(module, "SETTINGS", dataclasses.replace(module.SETTINGS, **SMALL))
    for speed in (
        module.distillation(True, 1),
        module.distillation(False, 1),
        module.envpool(2),
    ):
        assert speed > 0


def test_ranks_are_timed(script):
    settings = dataclasses.replace(PRESETS["cartpole-nd-5d-64"], **SMALL)
    assert script("ranks").of_all(settings, 1) > 0


def test_the_parts_of_a_game_are_timed(script, monkeypatch, capsys):
    module = script("atari")
    short = dataclasses.replace(PRESETS["pong-level4"], **SMALL)
    monkeypatch.setattr(module, "PRESETS", {"pong-level4": short})
    monkeypatch.setattr(module, "ROUNDS", 1)
    module.main()
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_seconds_to_a_return_are_those_of_fresh_networks(script, monkeypatch):
    module = script("seconds_to_495")
    short = dataclasses.replace(PRESETS["cartpole-nd-2d-min"], **SMALL, total_steps=10 * 2 * 2 * 16)
    monkeypatch.setattr(module, "PRESETS", {"cartpole-nd-2d-min": short})
    monkeypatch.setattr(module, "NETWORKS", 2)
    assert module.distillation("cartpole-nd-2d-min", 0) == float("inf")
    monkeypatch.setattr(module, "GOAL", 5.0)
    assert 0 < module.distillation("cartpole-nd-2d-min", 0) < 60
    _, recipe, *_ = module.CASES["cartpole-nd-2d-min"]
    assert 0 <= module.baseline("cartpole-nd-2d-min", recipe, 512, 0) < 60


def test_growth_is_measured_and_drawn(script, monkeypatch, tmp_path, capsys):
    module = script("growth")
    short = dataclasses.replace(module.BASE, **SMALL)
    monkeypatch.setattr(module, "ITERATIONS", 1)
    monkeypatch.setattr(module, "GOAL", 5.0)
    alone = module.one_point(short)
    assert alone["steps_per_second"] > 0
    assert alone["memory"] > 1e7
    assert 0 < alone["seconds"] < 60
    monkeypatch.setattr(module, "LIMIT", 0.0)
    assert module.one_point(short)["seconds"] == float("inf")
    shared = alone | {"messages": 40.0, "bytes": 1e6}

    def measured(changes):
        ((name, size),) = changes.items()
        never = {} if size < 20 else {"seconds": float("inf")}
        return (shared if (name, size) == ("ranks", 2) else alone) | never

    monkeypatch.setattr(module, "measured", measured)
    monkeypatch.setattr(module, "FIGURE", tmp_path / "growth.png")
    module.main()
    said = capsys.readouterr().out
    assert "40 messages of 25.0 kB" in said
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_messages_around_a_ring_cost_their_way_and_their_size(script):
    module = script("growth")
    assert module.seconds_of_messages(1, 40, 1e6) == 0
    assert module.seconds_of_messages(2, 10, 0) == pytest.approx(20 * module.LATENCY)
    assert module.seconds_of_messages(2, 0, 1e6) == pytest.approx(1e6 / module.BANDWIDTH)
