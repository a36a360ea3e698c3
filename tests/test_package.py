"""What import and installation promise."""

import json
import re
import subprocess
import sys
from pathlib import Path

import distilled_envs

ROOT = Path(__file__).parent.parent


def loaded_after(code: str) -> set[str]:
    code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_is_light():
    heavy = {
        "torch",
        "datasets",
        "stable_baselines3",
        "pyarrow",
        "scipy",
        "distilled_envs.training",
    }
    assert heavy & loaded_after("import distilled_envs") == set()
    use = "from distilled_envs import load_distilled; load_distilled('cartpole_2d').train()"
    extras = {"datasets", "stable_baselines3", "distilled_envs.training", "tensorboard", "pygame"}
    assert extras & loaded_after(use) == set()


def test_public_names_are_there():
    for name in distilled_envs.__all__:
        assert getattr(distilled_envs, name) is not None
    assert set(distilled_envs.__all__) <= set(dir(distilled_envs))


def test_core_does_not_import_training_or_hub_at_module_level():
    for path in (ROOT / "distilled_envs").glob("*.py"):
        assert not re.search(
            r"^(from|import) distilled_envs\.(training|hub)", path.read_text(), re.M
        )


def test_no_file_grows_too_long():
    for folder in ("distilled_envs", "training", "hub"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, path
