"""Each page's Python code runs, from top to bottom, and each command line is one."""

import functools
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import tyro

from distilled_envs.cli import COMMANDS, main

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "examples" / "docs").glob("*.md"))
PAGES = {str(page.relative_to(ROOT)): page.read_text() for page in DOCS}
PAGES |= {name: (ROOT / name).read_text() for name in ("README.md", "training/README.md")}

PYTHON = re.compile(r'^```python(?: title="(.+?)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
SHELL = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)

SMALLER = {
    "examples/docs/bring-an-environment.md": {"minutes=1,": "minutes=0.02,"},
    "examples/docs/comparing.md": {"learn(100_000": "learn(64"},
    "training/README.md": {
        "total_steps=1_000_000,": (
            "total_steps=256, learners=2, envs_per_learner=2, horizon=64, minibatches=2,"
            "eval_learners=2, eval_episodes=1,"
        )
    },
}
"""Numbers that would take minutes or more, and what the test puts in their place."""

QUICK = ("api", "index")
"""Pages whose code takes no more than some seconds."""
RUN = [
    pytest.param(name, marks=[] if Path(name).stem in QUICK else [pytest.mark.slow])
    for name, text in PAGES.items()
    if PYTHON.search(text)
]


def beside(path: str) -> ModuleType:
    """A module of the tests by its path."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, Path(__file__).parent / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def code_of(name: str, folder: Path) -> str:
    """A page's code as one script; blocks with a title become files of that name."""
    parts = []
    for title, code in PYTHON.findall(PAGES[name]):
        if title:
            (folder / title).write_text(code)
        else:
            parts.append(code)
    script = "\n".join(parts)
    for number, smaller in SMALLER.get(name, {}).items():
        assert number in script
        script = script.replace(number, smaller)
    return script


def run(name: str, folder: Path, **environment: str) -> None:
    (folder / "page.py").write_text(code_of(name, folder))
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"} | environment,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", RUN)
def test_code_of_a_page_runs(name, tmp_path):
    if not name.endswith("hub.md"):
        run(name, tmp_path)
        return
    with beside("hub/loopback.py").LoopbackHub() as hub:
        there = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        there |= {"HF_TOKEN": "hf_mine", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        run(name, tmp_path, **there)


def commands_of(text: str) -> list[list[str]]:
    blocks = [block.replace("\\\n", "") for block in SHELL.findall(text)]
    lines = [shlex.split(line, comments=True) for b in blocks for line in b.split("\n")]
    return [line[1:] for line in lines if line[:1] == ["distilled-envs"]]


COMMAND_LINES = {shlex.join(line): line for text in PAGES.values() for line in commands_of(text)}


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_line_is_one(line, tmp_path, monkeypatch):
    """tyro reads its arguments; nothing is done."""
    if "LunarLander" in line:
        pytest.importorskip("Box2D")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("my_module", "my_envs", "point_mass"):  # of the reader
        (tmp_path / f"{module}.py").write_text("")
        monkeypatch.delitem(sys.modules, module, raising=False)
    read, called = tyro.cli, []

    def only_read(command, **how):
        if isinstance(command, type):  # settings, which tell where a run lies
            return read(command, **how)
        name = how["prog"].split()[1]
        function = getattr(command, "func", command)
        assert COMMANDS[name].home.split(":")[0] == function.__module__
        idle = functools.wraps(function)(lambda *_, **__: called.append(name))
        if isinstance(command, functools.partial):
            idle = functools.partial(idle, *command.args, **command.keywords)
        return read(idle, **how)

    monkeypatch.setattr(tyro, "cli", only_read)
    assert main(COMMAND_LINES[line]) == 0
    assert called == [COMMAND_LINES[line][0]]
