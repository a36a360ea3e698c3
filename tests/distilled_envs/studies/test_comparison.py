import dataclasses
import json
import re

import numpy as np
import pytest

from distilled_envs import __version__, load_distilled
from distilled_envs.cli import main
from distilled_envs.errors import SettingsError
from distilled_envs.studies import comparison
from distilled_envs.studies.comparison import ComparisonSettings, compare, summarize
from distilled_envs.studies.comparison_report import comparison_table
from distilled_envs.studies.sb3 import ALGORITHMS, learn, make_model
from distilled_envs.studies.zoo import ZOO, Recipe

TINY = ComparisonSettings(steps=64, evaluations=2, episodes=2, seeds=1, learners=3)


@pytest.fixture
def short(monkeypatch):
    """Training on the rows for a moment only."""
    defaults = {"steps": 2, "learning_rate": 1e-3}
    monkeypatch.setattr(comparison.train_with_adam, "__kwdefaults__", defaults)


def curve(steps, seconds, returns):
    return {"curve": {"steps": steps, "seconds": seconds, "returns": returns}}


def test_the_summary_says_who_gets_there_and_when(dataset):
    dataset.spec = dataset.spec.replace(
        provenance={
            "wall_seconds": 70.0,
            "env_steps": 5,
            "teacher": {"name": "t", "command": None, "wall_seconds": 30.0, "env_steps": 2},
            "refit": {"wall_seconds": 20.0},
        }
    )
    records = {
        ("random", 0): {"returns": [[1.0, 3.0]]},
        ("one_step", 0): {"returns": [[90.0], [110.0]], "seconds": 0.5},
        ("ppo", 0): curve([0, 10, 20], [0.0, 4.0, 8.0], [[5.0], [100.0], [70.0]]),
        ("ppo", 1): curve([0, 10, 20], [0.0, 5.0, 9.0], [[5.0], [99.0], [130.0]]),
        ("a2c", 0): curve([0, 10, 20], [0.0, 1.0, 2.0], [[5.0], [7.0], [9.0]]),
    }
    results = summarize(dataset, dataclasses.replace(TINY, baselines=("ppo", "a2c")), records)
    players = results["players"]
    assert players["one_step"]["score"]["mean"] == 100.0
    assert players["random"]["score"]["mean"] == 2.0
    assert players["ppo"]["score"]["mean"] == 100.0  # at the end: 70 and 130
    assert players["ppo"]["reaches"] == {"steps": [10, 20], "seconds": [4.0, 9.0]}
    assert results["distillation"] == {"env_steps": 7, "seconds": 120.0}
    assert players["ppo"]["pays_off_after"] == 20  # 120 s / (6.5 s - 0.5 s)
    assert players["a2c"]["reaches"]["steps"] == [None]
    assert not players["ppo"]["pays_off_sooner"]
    # A2C never got there in 2 s; had it taken longer, fewer networks would cost as much.
    assert (players["a2c"]["pays_off_after"], players["a2c"]["pays_off_sooner"]) == (80, True)
    table = {row[0]: row[1:] for row in comparison_table(results)}
    assert table["PPO"][2:] == ["15 steps, 6 s", "20 trained"]
    assert table["A2C"][2:] == ["never within 20 steps", "80 trained at most"]


@pytest.mark.parametrize(
    ("reached", "budget", "expected"),
    [
        ([None], 16.0, (6, True)),  # 83 s / (16 s - 0.5 s), or fewer
        ([None], 1000.0, (1, True)),
        ([20.0, None, 10.0], 30.0, (5, False)),  # the median is known
        ([20.0, None, None], 30.0, (3, True)),
        ([20.0, None], 15.0, (5, True)),
        ([25.0, None, 40.0], 15.0, (3, False)),  # 40 s, whatever the other's budget was
        ([0.4], 30.0, (None, False)),  # trained before a step is over
        ([0.0], 30.0, (None, False)),  # an untrained one is as good
    ],
)
def test_when_it_pays_off_is_a_bound_where_training_never_gets_there(reached, budget, expected):
    curves = [{"seconds": [0.0, budget]} for _ in reached]
    player = {"curves": curves, "reaches": {"seconds": reached}}
    assert comparison.pays_off_after(player, 83.0, 0.5) == expected


@pytest.mark.slow
def test_a_comparison_goes_on_where_it_was(tmp_path, monkeypatch, short):
    dataset, ran = load_distilled("cartpole_1d", instances="min"), []
    run = comparison._run

    def interrupted(dataset, settings, player, seed, progress):
        if player == "ppo-zoo" and len(ran) == 5:
            raise KeyboardInterrupt
        ran.append((player, seed))
        return run(dataset, settings, player, seed, progress)

    monkeypatch.setattr(comparison, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(dataset, tmp_path / "c", TINY, progress=False)
    assert ran == [(p, 0) for p in ("random", "one_step", "adam", "bandit", "ppo")]
    ran.append("went on")
    results = compare(dataset, tmp_path / "c", TINY, progress=False)
    assert ran[6:] == [("ppo-zoo", 0), ("ppo-warm", 0)]
    assert list(results["players"]) == [
        "random", "one_step", "adam", "bandit", "ppo", "ppo-zoo", "ppo-warm",
    ]  # fmt: skip
    ran.clear()
    more = dataclasses.replace(TINY, baselines=("ppo", "dqn"))
    assert "dqn" in compare(dataset, tmp_path / "c", more, progress=False)["players"]
    assert ran == [("dqn", 0)]
    with pytest.raises(SettingsError, match="steps 64 -> 65"):
        compare(dataset, tmp_path / "c", dataclasses.replace(TINY, steps=65), progress=False)
    with pytest.raises(SettingsError, match="dataset 'cartpole-nd-1d-min' -> 'cartpole-nd-1d-64'"):
        compare(load_distilled("cartpole_1d"), tmp_path / "c", TINY, progress=False)


@pytest.mark.parametrize(
    ("name", "baseline", "sentence"),
    [
        ("cartpole_1d", "sac", "sac needs continuous actions"),
        ("reacher", "dqn", "dqn chooses one of several actions"),
        ("reacher", "trpo", "no baseline 'trpo', only ppo, a2c, dqn, sac, td3"),
    ],
)
def test_baselines_that_do_not_fit_are_refused(tmp_path, name, baseline, sentence):
    with pytest.raises(SettingsError, match=sentence):
        compare(load_distilled(name), tmp_path / "c", ComparisonSettings(baselines=(baseline,)))
    assert not (tmp_path / "c").exists()


def test_curves_start_untrained_and_leave_evaluations_out_of_the_clock():
    dataset = load_distilled("cartpole_1d")
    slow = []

    def make_env():
        slow.append(1)
        return dataset.make_env()

    model = make_model("ppo", dataset.make_env, Recipe({"n_steps": 32}), seed=0)
    dataset.train(model)
    play = {"steps": 96, "evaluations": 3, "episodes": 4, "seed": 5}
    found = learn(model, make_env, **play)
    assert found["steps"] == [0, 32, 64, 96]
    assert found["seconds"] == sorted(found["seconds"])
    assert np.mean(found["returns"][0]) == 500
    assert [len(returns) for returns in found["returns"]] == [4] * 4
    assert len(slow) == 16


@pytest.mark.parametrize("name", ["hopper-64", "cartpole_2d"])
def test_zoo_recipes_are_taken_by_sb3_and_normalize_what_is_played(name):
    dataset = load_distilled(name)
    recipe = ZOO[dataset.spec.env.name]
    model = make_model("ppo", dataset.make_env, recipe, seed=0)
    play = {"steps": 64, "evaluations": 1, "episodes": 2, "seed": 5}
    assert len(learn(model, dataset.make_env, **play)["returns"]) == 2
    assert (model.get_vec_normalize_env() is not None) == (name == "hopper-64")


def test_all_recipes_name_settings_that_ppo_has():
    for recipe in ZOO.values():
        assert set(recipe.settings) <= set(ALGORITHMS["ppo"].__init__.__annotations__)


@pytest.mark.slow
def test_the_command_writes_a_report_that_repeats(tmp_path, capsys, short):
    command = [
        "compare", "cartpole_3d", "--steps=64", "--evaluations=2", "--episodes=2", "--seeds=2",
        "--learners=3", "--html", "--no-progress", f"--output={tmp_path / 'report'}",
    ]  # fmt: skip
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "| PPO | 2,048 |" in table  # one rollout
    assert "never within 2,048 steps" in table
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"results.json", "results.md", "report.html"} <= files
    for axis in ("steps", "seconds"):
        assert {f"return-over-{axis}.png", f"return-over-{axis}.svg"} <= files
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2
    assert page.count("data:image/png;base64,") == 1  # the environment
    assert "distilled-envs compare cartpole_3d --steps=64" in page and __version__ in page
    assert page.count("<h1>") == 1 and 'name="viewport"' in page
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)  # all of it is in the file
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert results["players"]["one_step"]["score"]["mean"] == 500
    before = {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir() if p.is_file()}
    assert main(command) == 0  # everything is there: the same report, in a moment
    after = {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir() if p.is_file()}
    assert after == before
