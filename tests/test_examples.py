"""Every example runs, and the README's first example is the file itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARGUMENTS = {
    "drop_in.py": ["--dims", "1", "--steps", "64", "--episodes", "1"],
}


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / script, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_known_here():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == {"quickstart.py", *ARGUMENTS}


@pytest.mark.parametrize("script", ARGUMENTS)
def test_example_runs(script):
    assert run(script, *ARGUMENTS[script]).strip()


def test_quickstart_is_the_readmes_first_example():
    readme = (ROOT / "README.md").read_text()
    first = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    assert first == (ROOT / "examples" / "quickstart.py").read_text()


def test_quickstart_reaches_what_it_promises():
    greedy = [float(x) for x in re.findall(r"greedy +([\d.]+)", run("quickstart.py"))]
    assert len(greedy) == 2
    assert min(greedy) > 480
