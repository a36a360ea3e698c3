"""What import and installation promise."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import distilled_envs

ROOT = Path(__file__).parent.parent
PUBLIC = [
    "DatasetError",
    "Diagnosis",
    "DistillationSpec",
    "DistilledDataset",
    "DistilledEnvsError",
    "DivergedError",
    "Evaluation",
    "ExpandedDataset",
    "FaultyEnvError",
    "FitWarning",
    "GameSettings",
    "HubError",
    "HubUnreachableError",
    "ImitationSettings",
    "LinearPolicy",
    "MissingExtraError",
    "OneStepWarning",
    "PRESETS",
    "PolicyError",
    "Settings",
    "SettingsError",
    "StorageError",
    "__version__",
    "distill",
    "evaluate",
    "imitate",
    "load_distilled",
]


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


@pytest.mark.parametrize("command", [["--help"], ["list"], ["show", "cartpole_2d"]])
def test_commands_that_only_read_start_at_once(command):
    heavy = {"torch", "scipy", "matplotlib", "pandas", "stable_baselines3", "datasets"}
    heavy |= {"pyarrow", "tyro"} if command == ["--help"] else set()
    assert heavy & loaded_after(f"from distilled_envs.cli import main; main({command})") == set()


def test_public_names_are_these():
    assert sorted(distilled_envs.__all__) == dir(distilled_envs) == PUBLIC
    for name in PUBLIC:
        public = getattr(distilled_envs, name)
        assert inspect.getdoc(public), name
    names: dict = {}
    exec("from distilled_envs import *", names)
    assert set(PUBLIC) <= names.keys()


def test_no_file_grows_too_long():
    for folder in ("distilled_envs", "training", "hub"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, path
    algorithm = (ROOT / "training" / "meta_ppo.py").read_text()
    assert len(algorithm.splitlines()) < 300


def test_an_iteration_is_short_and_knows_no_guests():
    from distilled_envs.training.meta_ppo import MetaPPO

    source = inspect.getsource(MetaPPO.iterate)
    assert len(source.splitlines()) < 40
    assert not {"guide", "frames", "encoder", "teacher"} & set(source.replace("_", " ").split())
