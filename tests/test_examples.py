"""Every example runs, and the README's first example is the file itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARGUMENTS = {
    "architecture_search.py": ["--architectures=4", "--trained=2", "--steps=64", "--learners=2"],
    "compare_with_sb3.py": ["--name=cartpole_1d", "--steps=64", "--seeds=1", "--learners=2"],
    "encode_ppo.py": [
        *("--env-id=Pendulum-v1", "--total-steps=512", "--copies=2", "--horizon=128"),
        *("--encoder", "16", "--rounds=0", "--learners=2"),
    ],
    "fit_atari.py": ["--pairs=256", "--steps=2", "--batch-size=8", "--games=1"],
    "environments.py": [
        *("--env-ids", "CartPole-v1", "FrozenLake-v1", "--minutes=0.05", "--ppo-steps=64"),
        *("--output=made", "--results=environments.json"),
    ],
    "figures.py": ["--networks=1", "--output=."],
    "before_after.py": ["--names", "cartpole_1d", "--output=.", "--width=160"],
    "drop_in.py": ["--dims", "1", "--steps", "64", "--episodes", "1"],
    "inspect_dataset.py": [],
    "play_atari.py": ["--episodes=1"],
    "readme_tables.py": ["--check"],  # and so no table of the README is out of date
    "warm_start_sb3.py": ["--name=cartpole_1d", "--steps=64", "--seeds=1", "--evaluations=2"],
}
QUICK = ("inspect_dataset.py", "readme_tables.py")
SCRIPTS = [
    pytest.param(script, marks=[] if script in QUICK else [pytest.mark.slow])
    for script in ARGUMENTS
]


def run(script: str, *arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / script, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_known_here():
    scripts = {path.name for path in (ROOT / "examples").glob("*.py")}
    assert scripts == {"quickstart.py", "error_sentences.py", *ARGUMENTS}
    listed = re.findall(r"`(\w+\.py)`", (ROOT / "examples" / "README.md").read_text())
    assert set(listed) == scripts


@pytest.mark.parametrize("script", SCRIPTS)
def test_example_runs(script, tmp_path):
    assert run(script, *ARGUMENTS[script], cwd=tmp_path).strip()


def test_quickstart_is_the_readmes_first_example():
    readme = (ROOT / "README.md").read_text()
    first = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    assert first == (ROOT / "examples" / "quickstart.py").read_text()


def test_quickstart_reaches_what_it_promises():
    greedy = [float(x) for x in re.findall(r"greedy +([\d.]+)", run("quickstart.py"))]
    assert len(greedy) == 2
    assert min(greedy) > 480
