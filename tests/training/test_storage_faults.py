"""Runs whose disk fills up, whose folder another run has, or whose files are something else."""

import dataclasses
import errno
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import time

import pytest
import torch
from filelock import FileLock

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError, StorageError
from distilled_envs.training import AutomaticSettings, distill, distill_any, run
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.scalars import Scalars


@pytest.fixture
def full_after(monkeypatch):
    """Lets no file grow beyond ``room`` bytes once an iteration is done."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    iterate = MetaPPO.iterate

    def limit(iteration, room):
        def limited(algorithm):
            metrics = iterate(algorithm)
            if algorithm.iteration == iteration:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
            return metrics

        monkeypatch.setattr(MetaPPO, "iterate", limited)

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("room", [0, 3_000], ids=["log", "checkpoint"])
def test_a_full_disk_costs_no_checkpoint(tmp_path, full_after, monkeypatch, room, short_run):
    whole = distill(short_run, tmp_path / "whole", progress=False)
    full_after(2, room)
    with pytest.raises(StorageError, match=r"no room left .* \(a run goes on with --resume\)"):
        distill(short_run, tmp_path / "run", progress=False)
    left = sorted(each.name for each in (tmp_path / "run").iterdir())
    assert left == [".lock", "checkpoint.pt", "run.json", "tensorboard"]
    assert torch.load(tmp_path / "run" / "checkpoint.pt")["algorithm"]["iteration"] == 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits[1], limits[1]))
    monkeypatch.undo()
    again = distill(short_run, tmp_path / "run", resume=True, progress=False)
    assert torch.equal(again.observations, whole.observations)
    assert torch.equal(again.targets, whole.targets)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_log_that_fails_at_its_end_hides_no_other_error(tmp_path, full_after):
    with pytest.raises(ZeroDivisionError), Scalars(tmp_path / "log") as scalars:
        scalars.add({"return": 1.0}, 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        raise ZeroDivisionError


RUN = """
import sys
from distilled_envs.cli import main
sys.exit(main(["distill", "cartpole-nd-1d-min", "--output", sys.argv[1], "--total-steps", "60000",
               "--eval-learners", "2", "--threads", "1", "--no-progress"]))
"""


def test_of_runs_into_one_folder_one_goes_on(tmp_path):
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / "run")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [each.communicate(timeout=120)[1] for each in runs]
    assert sorted(each.returncode for each in runs) == [0, 1]
    (refused,) = (text for each, text in zip(runs, said, strict=True) if each.returncode)
    assert "Another process works in" in refused or "exists already" in refused
    assert len(DistilledDataset.load(tmp_path / "run" / "dataset")) == 2


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, short_run):
    """A run with a checkpoint, as bytes of its two files."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    short = dataclasses.replace(short_run, total_steps=short_run.total_steps // 4)
    distill(short, folder, progress=False)
    return {name: (folder / name).read_bytes() for name in ("run.json", "checkpoint.pt")}


def packed(value):
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


FOREIGN = {
    "run.json": [
        *(b"", b"[]", b"{}", b"null", b"3", b'"text"', b"not json", b"\xff\xfe", b"[" * 100_000),
        b'{"command": null, "settings": [], "changes": []}',
        b'{"command": 3, "settings": {}, "changes": []}',
        b'{"automatic": {}, "seconds": 1.0}',
        b'{"command": null, "settings": {}, "changes": [NaN]}',
        b'{"command": null, "settings": {"clip": 1e400}, "changes": []}',
    ],
    "checkpoint.pt": [
        *(b"", b"text", bytes(1000), b"PK\x03\x04" + bytes(100)),
        *map(packed, ([], {}, None, 3, {"algorithm": {}}, {"algorithm": {"iteration": -1}})),
        packed({"algorithm": {"iteration": "many"}}),
        packed({"algorithm": {"iteration": 2}}),
        packed({"algorithm": {"iteration": 2, "batch": torch.zeros(3)}}),
    ],
}


@pytest.mark.parametrize(
    ("file", "place"), [(file, place) for file in FOREIGN for place in range(len(FOREIGN[file]))]
)
def test_files_of_something_else_are_told_and_stay(tmp_path, stopped, file, place, short_run):
    for name, content in stopped.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / file).write_bytes(FOREIGN[file][place])
    with pytest.raises(SettingsError, match=file.replace(".", r"\.")) as caught:
        distill(short_run, tmp_path, resume=True, progress=False)
    assert "\n" not in str(caught.value)
    assert (tmp_path / file).read_bytes() == FOREIGN[file][place]


def test_a_folder_of_another_kind_of_run_is_told(tmp_path, stopped, short_run):
    automatic = AutomaticSettings("CliffWalking-v1")
    for name, content in stopped.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match="with the flags that it was started with"):
        distill_any(automatic, tmp_path, resume=True, progress=False)
    asked = {"automatic": dataclasses.asdict(automatic), "seconds": 1.0}
    (tmp_path / "run.json").write_text(json.dumps(asked))
    with pytest.raises(SettingsError, match="with the flags that the run was started with"):
        distill(short_run, tmp_path, resume=True, progress=False)


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch, short_run):
    whole = distill(short_run, tmp_path / "whole", progress=False)
    jumps = itertools.cycle([0.0, 3e9, 1.0, 2e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    dataset = distill(short_run, tmp_path / "run", progress=False)
    assert torch.equal(dataset.targets, whole.targets)
    assert 0 < dataset.spec.provenance["wall_seconds"] < 60


def test_a_longer_run_that_was_killed_at_its_end_is_not_taken_for_finished(
    tmp_path, monkeypatch, short_run
):
    distill(short_run, tmp_path, progress=False)
    longer = dataclasses.replace(short_run, total_steps=2 * short_run.total_steps)
    with monkeypatch.context() as patch:

        def killed(*_):
            raise MemoryError

        patch.setattr(run, "_finish", killed)
        with pytest.raises(MemoryError):
            distill(longer, tmp_path, resume=True, progress=False)
    dataset = distill(longer, tmp_path, resume=True, progress=False)
    assert dataset.spec.provenance["env_steps"] == longer.total_steps


def test_a_teacher_that_was_not_kept_yet_is_loaded_again(tmp_path, monkeypatch, short_run):
    taught = dataclasses.replace(short_run, teacher="cartpole-nd-1d-64")
    with monkeypatch.context() as patch:
        patch.setattr(DistilledDataset, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            distill(taught, tmp_path / "run", progress=False)
    dataset = distill(taught, tmp_path / "run", resume=True, progress=False)
    assert dataset.spec.provenance["teacher"]["name"] == "cartpole-nd-1d-64"
    assert (tmp_path / "run" / "teacher").is_dir()


def test_a_disk_without_locks_is_told_and_used(tmp_path, monkeypatch, caplog, short_run):
    def refused(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(FileLock, "acquire", refused)
    distill(short_run, tmp_path / "run", progress=False)
    assert "is on a disk without locks" in caplog.text


def test_networks_that_no_dataset_may_have_are_refused_before_they_are_trained(tmp_path, short_run):
    huge = dataclasses.replace(short_run, hidden_sizes=(16_384, 16_384))
    with pytest.raises(SettingsError, match="MiB each, and the limit is"):
        distill(huge, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
