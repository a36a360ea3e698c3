import itertools
import json
import os
import re
import subprocess
import sys

import pytest

from distilled_envs.catalog import entries
from distilled_envs.cli import COMMANDS, main
from distilled_envs.installation import install_command
from distilled_envs.learners.families import FAMILIES
from distilled_envs.storage.source import Source
from distilled_envs.summary import facts

TINY = [
    "--total-steps=256", "--learners=2", "--envs-per-learner=2", "--horizon=16", "--minibatches=2",
    "--eval-learners=2", "--eval-episodes=1", "--threads=1", "--no-progress",
]  # fmt: skip


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("distill", "evaluate", "list", "show"))
    assert main([]) == 2
    assert main(["--version"]) == 0


@pytest.mark.parametrize("command", ["distill", "evaluate", "list", "show"])
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: distilled-envs {command}" in out
    if command == "distill":
        assert "cartpole-nd-5d-64" in out
        assert "--consistency" in out
        titles = re.findall(r"^\W+(\w* ?)options\b", out, re.MULTILINE)
        assert titles == ["", "task ", "learners ", "ppo ", "rows ", "scaling ", "evaluation "]
        assert ":data:" not in out and ":class:" not in out


def test_help_names_every_family(capsys):
    with pytest.raises(SystemExit):
        main(["distill", "cartpole-nd-1d-min", "--help"])
    out = capsys.readouterr().out
    assert all(family in out for family in FAMILIES)


@pytest.mark.parametrize("width", [60, 100])
def test_help_has_no_line_breaks_of_the_source(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        main(["distill", "pong-level4", "--help"])
    lines = [line.strip("│| ").split() for line in capsys.readouterr().out.splitlines()]
    for line, following in itertools.pairwise(lines):
        if line and following and not following[0].startswith("-") and line[0][0].islower():
            assert len(" ".join(line)) + len(following[0]) + 1 > width - 30, line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ev"], {"evaluate"}),
        (["evaluate", "hopp"], {"hopper-min", "hopper-64", "hopper-256"}),
        (["distill", "pong-level"], {f"pong-level{level}" for level in range(5)}),
        (["distill", "hopper-64", "--guide-sh"], {"--guide-share"}),
        (["show", "hopper-min", "--js"], {"--json"}),
        (["evaluate", "hopper-min", "--json", "--lear"], {"--learners"}),
        (["show", "--json", "hopper-6"], {"hopper-64"}),
        (["distill", "CartPole-v1", "--no-progress", "--minu"], {"--minutes"}),
        (["evaluate", "hopper-min", "--import", "numpy", "--lear"], {"--learners"}),
        (["completion", "z"], {"zsh"}),
    ],
)
def test_bash_completes(words, expected, completing):
    script = f"""
        source {completing}
        COMP_WORDS=(distilled-envs {" ".join(words)})
        COMP_CWORD={len(words)}
        $(complete -p distilled-envs | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert {*done.stdout.split()} == expected


@pytest.fixture(scope="module")
def completing(tmp_path_factory):
    """Bash's script."""
    path = tmp_path_factory.mktemp("completion") / "script"
    command = [sys.executable, "-m", "distilled_envs.cli", "completion", "bash"]
    path.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_flag(shell, capsys):
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)
    asked = [[command] for command in COMMANDS.keys() - {"completion", "distill"}]
    for command in [*asked, ["distill", "pong-level4"], ["distill", "CartPole-v1"]]:
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        section = "\n".join(line for line in out.splitlines() if command[0] in line)
        if shell == "zsh":  # whose sections are functions
            section = out.split(f"_shtab_distilled_envs_{command[0]}_options=(")[1].split("\n)")[0]
        for flag in re.findall(r"(?<!\S)--([a-z][a-z0-9-]+)", capsys.readouterr().out):
            if flag != "help-verbose":
                assert re.search(rf"(--|-l ){flag}\b", section), (command, flag)


def test_list_has_every_dataset(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [entry.spec.name for entry in entries()]
    assert [line.split()[0] for line in lines[1 : len(listed) + 1]] == listed
    assert main(["list", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in records] == listed
    by_name = {each["name"]: each for each in records}
    hopper = by_name["hopper-64"]
    assert hopper["id"] == "DistilledHopper-v0"
    assert hopper["env"] == "Hopper-v5"
    assert hopper["rows"] == 64
    assert hopper["evaluation"]["one_step"]["learners"] == 100
    assert all(each["id"] for each in records)  # every family that comes with it has an id


@pytest.mark.parametrize(
    "command",
    [["list"], ["show", "cartpole_2d"], ["show", "hopper", "--card"], ["watch", "--help"]],
)
def test_a_terminal_may_know_ascii_alone(command):
    done = subprocess.run(
        [sys.executable, "-m", "distilled_envs.cli", *command],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode("ascii")
    assert "+-" in out or command[0] == "watch"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_fits_into_the_terminal_and_no_name_is_cut(width, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    assert main(["list"]) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= width
    assert all(entry.spec.name in out for entry in entries())


def test_show(capsys):
    assert main(["show", "cartpole_2d", "--instances", "min"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cartpole-nd-2d-min\n")
    assert "distilled-envs distill cartpole-nd-2d-min" in out
    assert "CartPoleND-v0, dims=2" in out
    assert "sampled 500.0 ± 0.0, greedy 500.0 ± 0.0 (100 networks" in out
    assert "gym.make('DistilledCartPoleND-v0', dataset=" in out
    assert "row 2: [" in out
    assert "row 3: [" not in out
    assert main(["show", "cartpole_2d", "--instances", "min", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "cartpole-nd-2d-min"
    assert main(["show", "cartpole_2d", "--instances", "min", "--card"]) == 0
    assert "# Distilled CartPoleND-v0" in capsys.readouterr().out
    assert main(["show", "cartpole_2d", "--json", "--card"]) == 1


def test_every_dataset_says_what_it_is():
    for entry in entries():
        said = dict(facts(entry.spec, entry.instances, Source("folder", "here")))
        needed = {"environment", "rows", "networks", "returns, one step", "cost", "command"}
        assert all(said.get(name) for name in needed), entry.spec.name
        assert said["in Gymnasium"].startswith("gym.make('Distilled")


def test_distill_then_evaluate_and_save(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["distill", "cartpole_nd_1d_min", *TINY, f"--output={run}"]) == 0
    out = capsys.readouterr().out
    assert "2 fresh networks, one gradient step each" in out
    assert "greedy actions: mean return" in out
    record = json.loads((run / "dataset" / "distillation.json").read_text())
    assert record["provenance"]["command"] == (
        f"distilled-envs distill cartpole_nd_1d_min {' '.join(TINY)} --output={run}"
    )
    arguments = ["evaluate", str(run / "dataset"), "--learners=3", "--episodes=2"]
    assert main([*arguments, "--json", "--save"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["one_step"]["learners"] == 3
    saved = json.loads((run / "dataset" / "distillation.json").read_text())
    assert saved["evaluation"] == printed
    assert main([*arguments, "--hidden-sizes", "16", "16", "--save"]) == 0
    assert "one_step_16x16" in capsys.readouterr().out
    saved = json.loads((run / "dataset" / "distillation.json").read_text())["evaluation"]
    assert saved["one_step"] == printed["one_step"]
    assert saved["one_step_16x16"]["learners"] == 3
    assert main(arguments) == 0
    assert re.search(r"sampled +[\d.]+, 95%", capsys.readouterr().out)
    # The run is finished; starting it again would lose it, resuming gives it back.
    assert main(["distill", "cartpole-nd-1d-min", *TINY, f"--output={run}"]) == 1
    assert "--resume" in capsys.readouterr().err
    assert main(["distill", "cartpole-nd-1d-min", *TINY, f"--output={run}", "--resume"]) == 0


def test_names_say_what_was_distilled(tmp_path, capsys):
    changed = ["distill", "cartpole-nd-2d-min", "--dims=1", "--instances=4", *TINY]
    assert main([*changed, f"--output={tmp_path / 'a'}"]) == 0
    assert "cartpole-nd-1d-4: 4 rows" in capsys.readouterr().out
    assert main([*changed, f"--output={tmp_path / 'b'}", "--name=mine"]) == 0
    assert "mine: 4 rows" in capsys.readouterr().out
    module = ["distill", "distilled_envs:CartPoleND-v0", "--dims=1", *TINY]
    assert main([*module, f"--output={tmp_path / 'c'}"]) == 0


@pytest.mark.slow
def test_drop_in_measurement(monkeypatch, capsys):
    from distilled_envs.studies import drop_in

    small = {"seeds": 2, "episodes": 1, "adam_steps": 1000, "ppo_steps": 64}
    monkeypatch.setattr(drop_in.measure_drop_in, "__kwdefaults__", small)
    command = ["evaluate", "cartpole_1d", "--learners=2", "--episodes=1", "--drop-in", "--json"]
    assert main(command) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["adam_to_convergence"]["greedy"]["mean"] > 450
    assert record["adam_to_convergence"]["steps"] == 1000
    assert record["sb3_ppo_on_bandit"]["steps"] == 64


@pytest.mark.parametrize(
    ("command", "status", "sentence"),
    [
        (["fly"], 2, "no command 'fly'"),
        (["evaluate", "no-such-thing"], 1, "no distilled dataset 'no-such-thing'"),
        (["evaluate", "cartpole_2d", "--save"], 1, "give the folder"),
        (["evaluate", "cartpole_2d", "--learners=0"], 1, "at least 1"),
        (["evaluate", "ALE/Qbert-v5"], 1, "make one by `distilled-envs distill ALE/Qbert-v5`"),
        (["show", "phys2d/CartPole-v1"], 1, "`distilled-envs distill phys2d/CartPole-v1`"),
        (["evaluate", "Ant-v4"], 1, "make one by `distilled-envs distill Ant-v4`"),
        (["show", "cartpole_2d", "--dims=3"], 1, "no variant with dims=3"),
        (["evaluate", "pong", "--encoder-level=2"], 1, "no variant with encoder_level=2"),
        (["compare", "pong", "--revision=v1"], 1, "give a namespace"),
        (["distill"], 1, "needs the name of a preset"),
        (["evaluate", "./runs/nope"], 1, "There is no folder ./runs/nope"),
        (["watch", "cartpole_2d", "--video=no/where.mp4"], 1, "There is no folder no"),
        (["distill", "pong"], 1, "no preset and no registered environment 'pong'"),
        (["distill", "CartPole-v1", "--env-kwargs", '{"length": 3}'], 1, "can't be made"),
        (["distill", "CartPole-v1", "--output=/dev/null/x"], 1, "/dev/null/x"),
        (["evaluate", "cartpole_2d", "--seed=-1"], 1, "A seed is a whole number"),
        (["distill", "cartpole-nd-1d-min", "--device=mps"], 1, "device 'mps' can't be used"),
        (["watch", "cartpole_2d", "--video=film.avi"], 1, ".mp4 or .gif"),
        (["distill", "cartpole-nd-1d-min", "--resume", "--output=nowhere"], 1, "no run to resume"),
    ],
)
def test_mistakes_get_a_sentence(command, status, sentence, capsys):
    assert main(command) == status
    err = capsys.readouterr().err
    assert sentence in err
    *_, said = err.splitlines()
    assert said.startswith("distilled-envs: ") or command == ["distill"]  # which lists presets


def test_the_process_ends_with_the_sentence_and_no_traceback():
    command = [sys.executable, "-m", "distilled_envs.cli", "evaluate", "no-such-thing"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("distilled-envs: There is no distilled dataset 'no-such-thing'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["evaluate", "cartpole_2d", "--learner-count", "3"], "--learner-count"),
        (["distill", "cartpole-nd-1d-min", "--seed=one"], "'one'"),
        (["distill", "cartpole-nd-1d-min", "--discount=2"], "discount must lie in 0..1"),
        (["distill", "cartpole-nd-1d-min", "--seed=-1"], "A seed is a whole number"),
        (["distill", "cartpole-nd-1d-min", "--threads=-1"], "threads must be at least 1"),
        (["distill", "cartpole-nd-1d-min", "--learning-rate=nan"], "learning_rate must be above 0"),
    ],
)
def test_wrong_flags_are_usage_errors(command, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_what_is_not_named_on_resuming_is_as_the_run_was_started(tmp_path, capsys):
    run = ["distill", "cartpole-nd-1d-min", f"--output={tmp_path / 'run'}"]
    assert main([*run, *TINY, "--seed=3"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    capsys.readouterr()
    assert main([*run, "--resume"]) == 0  # not the preset's millions of steps
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == record
    for flags in (["--learning-rate=1e-3"], ["--eval-learners=9"], ["--total-steps=128"]):
        assert main([*run, "--resume", *flags]) == 1
        assert "is finished, and another" in capsys.readouterr().err
        assert json.loads((tmp_path / "run" / "run.json").read_text()) == record
    assert main([*run, "--resume", "--total-steps=512", "--no-progress"]) == 0
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings == record["settings"] | {"total_steps": 512}
    assert main([*run, "--resume", "--instances=4"]) == 1
    assert "instances 2 -> 4" in capsys.readouterr().err


def test_a_run_of_any_environment_goes_on_as_it_was_started(tmp_path, capsys):
    run = ["distill", "CliffWalking-v1", f"--output={tmp_path / 'run'}"]
    assert main([*run, "--minutes=1", "--eval-learners=3", "--no-progress"]) == 0
    assert main([*run, "--resume"]) == 0
    assert "3 fresh networks" in capsys.readouterr().out
    assert main([*run, "--resume", "--minutes=2"]) == 1
    assert "is finished, and another minutes would change nothing" in capsys.readouterr().err
    # meta-PPO's flags name another kind of run, and its folder says which kind it holds.
    assert main(["distill", "CartPole-v1", f"--output={tmp_path / 'meta'}", *TINY]) == 0
    assert main(["distill", "CartPole-v1", f"--output={tmp_path / 'meta'}", "--resume"]) == 0


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("stable_baselines3", ["compare", "cartpole_2d"], "compare"),
        ("matplotlib.figure", ["compare", "cartpole_2d"], "compare"),
        ("matplotlib.figure", ["generalize", "cartpole_2d"], "compare"),
        ("mujoco", ["evaluate", "hopper"], "mujoco"),
        ("ale_py", ["evaluate", "pong"], "atari"),
        ("huggingface_hub", ["evaluate", "someone/distilled-hopper"], "hub"),
        ("pygame", ["watch", "cartpole_2d", "--video=film.gif"], "render"),
        ("minatar", ["evaluate", "minatar-breakout"], "envs"),
        ("minatar", ["evaluate", "minatar-breakout", "--import=minatar.gym"], "envs"),
        ("minatar", ["distill", "minatar.gym:MinAtar/Breakout-v1"], "envs"),
        ("cma", ["distill", "CartPole-v1"], "train"),
    ],
)
def test_what_is_not_installed_is_named_with_one_command(missing, command, extra, tmp_path):
    """In a Python of its own: what was imported before stays."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from distilled_envs.cli import main; "
        f"sys.exit(main({command!r}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert ran.returncode == 1, ran.stderr
    *_, said = ran.stderr.splitlines()
    assert f"`{install_command(extra)}`" in said
    assert said.count("pip install") == 1
    assert not [*tmp_path.iterdir()]  # nothing was begun


def test_another_environment_does_not_go_on_with_a_run(tmp_path, capsys):
    run = f"--output={tmp_path / 'run'}"
    assert main(["distill", "cartpole-nd-1d-min", *TINY, run]) == 0
    for other in ("hopper-64", "CartPole-v1"):
        assert main(["distill", other, run, "--resume"]) == 1
        assert "is of CartPoleND-v0, not of" in capsys.readouterr().err
    (tmp_path / "run" / "run.json").write_text("[" * 100_000)
    assert main(["distill", "cartpole-nd-1d-min", run, "--resume"]) == 1
    assert "run.json is damaged" in capsys.readouterr().err
