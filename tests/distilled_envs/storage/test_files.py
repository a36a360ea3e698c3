"""Disks that are full, files that are none, folders that two want, arguments that do not fit."""

import copy
import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.numpy

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs import real
from distilled_envs.errors import DatasetError, DistilledEnvsError, SettingsError, StorageError
from distilled_envs.expanded import ExpandedDataset
from distilled_envs.storage.files import alone_in, atomic_path, is_taken, make_folder, sha256
from distilled_envs.storage.folder import read_spec, write_spec
from distilled_envs.studies.reports import write_results

READ_ONLY = Path("/sys")


@pytest.fixture
def no_room():
    """Files of no more than 100 bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def dataset():
    return load_distilled("cartpole-nd-2d-min")


def test_a_file_that_was_there_outlives_a_full_disk(tmp_path, no_room):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    said = rf"{path} can't be written, there is no room left"
    with pytest.raises(StorageError, match=said), atomic_path(path) as temporary:
        temporary.write_bytes(bytes(1000))
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_each_kind_of_full_disk_says_how_to_go_on(tmp_path, number):
    said = r"make some, and .* --resume"
    with pytest.raises(StorageError, match=said) as caught, atomic_path(tmp_path / "file"):
        raise OSError(number, os.strerror(number))
    assert "\n" not in str(caught.value)


def test_datasets_are_whole_or_not_there(tmp_path, dataset, no_room):
    with pytest.raises(StorageError, match="no room left"):
        dataset.save(tmp_path / "rows")
    with pytest.raises(StorageError, match="no room left"):
        dataset.expand(8).save(tmp_path / "pairs")
    with pytest.raises(StorageError, match="no room left"):
        write_results(tmp_path / "study", {"numbers": [*range(100)]})
    assert [each.name for each in tmp_path.rglob("*")] == ["study"]


def test_a_score_that_can_not_be_kept_leaves_the_dataset(tmp_path, dataset, capsys):
    dataset.save(tmp_path / "rows")
    before = (tmp_path / "rows" / "distillation.json").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        few = ["--learners", "2", "--episodes", "1"]
        assert main(["evaluate", str(tmp_path / "rows"), "--save", *few]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err.splitlines()[-1]
    assert "distillation.json can't be written, there is no room left" in said
    assert (tmp_path / "rows" / "distillation.json").read_bytes() == before
    assert [each.name for each in (tmp_path / "rows").iterdir() if each.name[0] == "."] == []


@pytest.mark.skipif(not READ_ONLY.is_dir(), reason="this system has no /sys")
def test_what_may_not_be_written_is_told(dataset):
    for write in (
        lambda: dataset.save(READ_ONLY / "rows"),
        lambda: make_folder(READ_ONLY / "one" / "two"),
        lambda: write_results(READ_ONLY / "study", {}),
        lambda: ExpandedDataset.load(dataset.expand(4).save(READ_ONLY / "pairs")),
    ):
        with pytest.raises(StorageError, match=r"/sys/\S+ can't be written, its folder is read-on"):
            write()


def test_a_file_where_a_folder_should_be_is_told(tmp_path, dataset):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"can't be written, .*: choose another place"):
        dataset.save(tmp_path / "file" / "rows")


HOLDER = """
import sys, time
from pathlib import Path
from distilled_envs.storage.files import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_works_in_a_folder_and_its_death_frees_it(tmp_path):
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        said = f"Another process works in {folder}: wait until"
        with pytest.raises(StorageError, match=said), alone_in(folder):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with alone_in(folder):
        pass
    assert not is_taken(folder)  # a lock that nobody holds is nothing


FILES = ("distillation.json", "train.parquet", "encoder.safetensors")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link", "nothing"])
def test_something_else_in_a_files_place_is_told_at_once(tmp_path, name, kind):
    """A pipe would be waited on for ever."""
    load_distilled("pendulum-encoder").save(tmp_path / "rows")
    path = tmp_path / "rows" / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=name.replace(".", r"\.")) as caught:
        DistilledDataset.load(tmp_path / "rows")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["float64", "int32", "bool"])
def test_an_encoder_of_another_type_is_refused(tmp_path, kind):
    load_distilled("pendulum-encoder").save(tmp_path / "rows")
    path = tmp_path / "rows" / "encoder.safetensors"
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file({k: v.astype(kind) for k, v in tensors.items()}, path)
    spec = read_spec(tmp_path / "rows")
    write_spec(tmp_path / "rows", spec.replace(files=spec.files | {path.name: sha256(path)}))
    with pytest.raises(DatasetError, match=f"is of {kind}, expected float16"):
        DistilledDataset.load(tmp_path / "rows")


ARGUMENTS = {
    "pong-level4": {"frameskip": "relu", "mode": 99, "difficulty": [], "nonsense": 3},
    "hopper-64": {"frame_skip": "relu", "xml_file": "/etc/hostname", "nonsense": 3},
    "cartpole-nd-2d-min": {"dims": 10**9, "nonsense": None},
    "pendulum-encoder": {"nonsense": []},
}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, each) for name in ARGUMENTS for each in ARGUMENTS[name]]
)
def test_arguments_that_an_environment_does_not_take_are_told_by_whose_they_are(name, argument):
    dataset = load_distilled(name)
    value = ARGUMENTS[name][argument]
    env = copy.deepcopy(dataset.spec.env)
    env.kwargs[argument] = value
    files = dataset.spec.replace(env=env)

    def played(env):
        env.reset(seed=0)
        env.step(env.action_space.sample())

    with pytest.raises(DistilledEnvsError) as caught:
        played(real.make_env(files))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    with pytest.raises(SettingsError, match="can't be made with") as caught:
        played(dataset.make_env(**{argument: value}))
    assert argument in str(caught.value)
    assert "distillation.json" not in str(caught.value)


@pytest.mark.parametrize("count", [0, -1])
def test_copies_are_counted_from_one(dataset, count):
    with pytest.raises(SettingsError, match="num_envs must be at least 1"):
        dataset.make_vec_env(count)
