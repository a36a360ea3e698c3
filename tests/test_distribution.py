"""Wheel and sdist as users get them, in fresh environments: the core alone, and with each extra.

An environment of an extra sees the packages of the core's and adds its own, which takes seconds
instead of torch's minute.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

BANDIT = """
from distilled_envs import load_distilled
from distilled_envs.studies.drop_in import train_ppo_on_bandit

train_ppo_on_bandit(load_distilled('cartpole_1d'), seed=0, steps=256)
"""
# What needs an extra, and does its work once that is there.
NEEDS = {
    "render": "distilled-envs watch cartpole_2d --compare --video film.gif --max-steps 20",
    "sb3": f'python -c "{BANDIT}"',
    "mujoco": "distilled-envs evaluate hopper --learners 2 --episodes 1",
    "atari": "distilled-envs evaluate pong --learners 1 --episodes 1",
    "train": "distilled-envs distill CartPole-v1 --minutes 0.1",
    "compare": "distilled-envs compare cartpole_1d --steps 2048 --evaluations 1 --seeds 1",
    "envs": "distilled-envs evaluate minatar-freeway --learners 1 --import minatar.gym",
    "hub": "distilled-envs publish cartpole_1d --repo me/mine --dry-run",
    "demo": "distilled-envs demo",
}

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Environment:
    """A virtual environment and a folder to work in, outside the checkout."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *command: str | Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "OMP_NUM_THREADS": "1"},
        )

    def install(self, *wanted: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "-q"]
        flags = ["--no-compile", "--disable-pip-version-check", "-c", ROOT / "constraints.txt"]
        done = subprocess.run([*pip, *flags, *wanted], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Path:
    """A folder of all processes that test."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "distribution"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def built(shared) -> dict[str, Path]:
    """The wheel, made of the sdist, and the sdist, by their suffixes."""
    dist = shared / "dist"
    with FileLock(shared / "dist.lock"):
        if not dist.exists():
            source = shared / "source"
            left = (".*", "build", "dist", "runs", "*.egg-info", "__pycache__")
            shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*left))
            subprocess.run(
                [sys.executable, "-m", "build", "--outdir", shared / "made", source],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            (shared / "made").rename(dist)
    return {path.suffix: path for path in dist.iterdir()}


@pytest.fixture(scope="session")
def core(shared, built) -> Environment:
    """The wheel and what it needs; nothing else."""
    environment, done = Environment(shared / "core"), shared / "core.done"
    with FileLock(shared / "core.lock"):
        if not done.exists():
            venv.create(environment.folder, symlinks=True)
            environment.install(str(built[".whl"]))
            done.touch()
    return environment


@pytest.fixture
def beside_core(core, tmp_path) -> Environment:
    """An environment of its own that sees the core's packages."""
    venv.create(tmp_path, symlinks=True)
    (site,) = tmp_path.glob("lib/python*/site-packages")
    (there,) = core.folder.glob("lib/python*/site-packages")
    (site / "core.pth").write_text(f"{there}\n")
    shutil.copy(core.folder / "bin" / "distilled-envs", tmp_path / "bin")
    script = tmp_path / "bin" / "distilled-envs"
    script.write_text(script.read_text().replace(str(core.python), f"{tmp_path}/bin/python"))
    return Environment(tmp_path)


def test_metadata_is_what_an_index_takes(built):
    checked = [sys.executable, "-m", "twine", "check", "--strict", *built.values()]
    subprocess.run(checked, check=True)


def test_wheel_and_sdist_hold_every_module_and_dataset(built):
    tracked = {
        str(path.relative_to(ROOT))
        for folder in ("distilled_envs", "training", "hub")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path.name != "README.md"
    }
    inside = {re.sub("^(training|hub)/", r"distilled_envs/\1/", name) for name in tracked}
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == inside
    with tarfile.open(built[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert tracked <= names


def test_core_alone_trains_and_distills(core):
    code = """
import gymnasium as gym
from distilled_envs import load_distilled

dataset = load_distilled("cartpole_2d")
network = dataset.train()
assert dataset.evaluate(network, episodes=2).greedy.mean > 450
env = gym.make("DistilledCartPoleND-v0")
observation, _ = env.reset(seed=0)
assert env.observation_space.contains(observation)
"""
    done = core.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    small = ["--total-steps", "20000", "--eval-learners", "3", "--output", "run"]
    for command in (["list"], ["show", "hopper"], ["distill", "cartpole-nd-1d-min", *small]):
        done = core.run("distilled-envs", *command)
        assert done.returncode == 0, done.stderr
    assert (core.folder / "run" / "dataset" / "train.parquet").is_file()


@pytest.mark.parametrize("extra", NEEDS)
def test_an_extra_is_named_where_it_is_missing_and_brings_what_is_needed(extra, beside_core):
    command = shlex.split(NEEDS[extra])
    done = beside_core.run(*command)
    assert done.returncode == 1
    (named,) = re.findall(r"run `pip install (.+?)`\.$", done.stderr.strip())
    assert f"[{extra}]" in named
    beside_core.install(*shlex.split(named))
    if extra != "demo":
        done = beside_core.run(*command)
        assert done.returncode == 0, done.stderr
        return
    code = """
import urllib.request
from distilled_envs.demo.page import serve

page = serve(None, open_browser=False)
assert urllib.request.urlopen(page.local_url).status == 200
page.close()
"""
    done = beside_core.run("python", "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_site_is_built_by_its_extra(beside_core, built):
    beside_core.install(f"distilled-envs[docs] @ {built['.whl'].as_uri()}")
    site = beside_core.folder / "site"
    flags = ["--strict", "--quiet", "--config-file", ROOT / "examples" / "mkdocs.yml"]
    done = beside_core.run("python", "-m", "mkdocs", "build", *flags, "--site-dir", site)
    assert done.returncode == 0, done.stderr
    assert (site / "index.html").is_file()


def test_all_is_every_extra_of_users():
    (every,) = EXTRAS["all"]
    assert {*re.findall(r"\w+", every.partition("[")[2])} == EXTRAS.keys() - {"docs", "all", "dev"}
    assert {*NEEDS} == EXTRAS.keys() - {"docs", "all", "dev"}
