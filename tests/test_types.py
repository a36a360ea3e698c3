"""What a type checker says of the package as its users get it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package with training and hub inside, as in an installed wheel."""
    site = tmp_path_factory.mktemp("site")
    package = site / "distilled_envs"
    shutil.copytree(ROOT / "distilled_envs", package, ignore=shutil.ignore_patterns("datasets"))
    for part in ("training", "hub"):
        shutil.copytree(ROOT / part, package / part)
    # The Hub's datasets come without types.
    (site / "mypy.ini").write_text("[mypy]\n[mypy-datasets.*]\nignore_missing_imports = true\n")
    return site


def checked(installed: Path, code: str) -> subprocess.CompletedProcess:
    """mypy on a user's script; the package itself is followed, and not reported on."""
    script = installed / "script.py"
    script.write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", script.name]
    cache = ["--cache-dir", str(installed / "cache")]
    return subprocess.run([*command, *cache], cwd=installed, capture_output=True, text=True)


def test_mistakes_are_errors(installed):
    found = checked(
        installed,
        """\
from distilled_envs import DistilledDataset, load_distilled

load_distilled("hopper", instance=3)
bad: int = load_distilled("hopper")
good: DistilledDataset = load_distilled("hopper", instances=256)
good.evaluate(lerners=3)
""",
    )
    assert found.returncode == 1
    lines = [int(line) for line in re.findall(r"^script\.py:(\d+): error", found.stdout, re.M)]
    assert lines == [3, 4, 6], found.stdout


def test_the_readmes_snippets_pass(installed):
    readme = (ROOT / "README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(snippets) >= 3
    found = checked(installed, "\n".join(snippets))
    assert found.returncode == 0, found.stdout
