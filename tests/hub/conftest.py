"""A Hub on loopback, and the real clients, each call in a process of its own."""

import copy
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("loopback", Path(__file__).with_name("loopback.py"))
loopback = importlib.util.module_from_spec(spec)
sys.modules["loopback"] = loopback  # so that the tests beside this file can import it
spec.loader.exec_module(loopback)

PRELUDE = """
import torch
from distilled_envs import load_distilled
from distilled_envs.catalog import entries
from distilled_envs.cli import main
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DistilledEnvsError
from distilled_envs.hub import download, publish

def sentence(function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except DistilledEnvsError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"
"""


def variables(hub, home: Path) -> dict[str, str]:
    """The environment of a user whose cache is at ``home``."""
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_writer",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def run(code: str, cwd: Path, environment: dict[str, str]) -> str:
    """What Python code prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        env=os.environ | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert environment["HF_TOKEN"] not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def hub():
    with loopback.LoopbackHub() as server:
        yield server


@pytest.fixture
def environment(hub, tmp_path):
    return variables(hub, tmp_path / "home")


@pytest.fixture
def client(environment, tmp_path):
    """Runs Python code as a user would, with an empty cache at first; gives what it prints."""

    def client(code: str, **changes: str) -> str:
        out = run(code, tmp_path, environment | changes)
        token = (environment | changes)["HF_TOKEN"].encode()
        kept = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not any(token in path.read_bytes() for path in kept)
        return out

    return client


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Repositories with Hopper and a cart-pole of 64 rows."""
    home = tmp_path_factory.mktemp("home")
    with loopback.LoopbackHub() as server:
        code = """
publish(load_distilled("hopper-64"), "ada/distilled-hopper")
publish(load_distilled("cartpole_2d"), "ada/distilled-cartpole-nd")
"""
        run(code, home, variables(server, home))
        return server.repos


@pytest.fixture
def stocked(hub, published):
    """The Hub, with these repositories."""
    hub.repos = copy.deepcopy(published)
    return hub
