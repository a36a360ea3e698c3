"""A Hub on loopback, and the real clients, each call in a process of its own."""

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _beside(name: str) -> ModuleType:
    """A module beside this file, which the tests here can then import too."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


forks, loopback = _beside("forks"), _beside("loopback")

PRELUDE = """
import time
import torch
from distilled_envs import load_distilled
from distilled_envs.catalog import entries
from distilled_envs.cli import main
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DistilledEnvsError
from distilled_envs.hub import download, pictures, publish

def sentence(function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except DistilledEnvsError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"

def sleep(seconds, sleep=time.sleep):  # patience is tested, and not how long it lasts
    sleep(seconds / 10)

time.sleep = sleep
"""
UNDRAWN = "pictures.pictures = lambda dataset: {}\n"  # half of what publishing takes


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


def run(server: forks.Forks, code: str, cwd: Path, environment: dict[str, str]) -> str:
    """What Python code prints in a process of its own."""
    done = server.run(PRELUDE + code, cwd, environment)
    assert done.returncode == 0, done.stderr
    assert environment["HF_TOKEN"] not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def fork_server():
    with forks.Forks() as server:
        yield server


@pytest.fixture
def hub():
    with loopback.LoopbackHub() as server:
        yield server


@pytest.fixture
def environment(hub, tmp_path):
    return variables(hub, tmp_path / "home")


@pytest.fixture
def client(fork_server, environment, tmp_path):
    """Runs Python code as a user would, with an empty cache at first; gives what it prints."""

    def client(code: str, *, draw: bool = False, **changes: str) -> str:
        code = code if draw else UNDRAWN + code
        out = run(fork_server, code, tmp_path, environment | changes)
        token = (environment | changes)["HF_TOKEN"].encode()
        kept = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not any(token in path.read_bytes() for path in kept)
        return out

    return client


@pytest.fixture(scope="session")
def published(fork_server, tmp_path_factory):
    """Repositories with Hopper and a cart-pole of 64 rows."""
    home = tmp_path_factory.mktemp("home")
    with loopback.LoopbackHub() as server:
        code = """
publish(load_distilled("hopper-64"), "ada/distilled-hopper")
publish(load_distilled("cartpole_2d"), "ada/distilled-cartpole-nd")
"""
        run(fork_server, UNDRAWN + code, home, variables(server, home))
        return server.repos


@pytest.fixture
def stocked(hub, published):
    """The Hub, with these repositories."""
    hub.repos = copy.deepcopy(published)
    return hub
