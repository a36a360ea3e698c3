"""The folder of a run: what it was started with, its last good state, and the dataset at the end.

    <run>/run.json         command, settings, and what was changed on resuming
    <run>/checkpoint.pt    the last good state
    <run>/tensorboard/     scalars
    <run>/dataset/         the distilled dataset, once the run is finished
    <run>/dataset-<steps>/ what it was before the run went on for longer

Every file is written under a temporary name and renamed, so that none is ever half written.
"""

import dataclasses
import io
import json
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.formatting import in_a_line
from distilled_envs.records import read_json
from distilled_envs.storage.files import atomic_path, is_taken, sweep
from distilled_envs.storage.folder import read_spec
from distilled_envs.training.settings import GameSettings, Settings

_SCORE = ("eval_learners", "eval_episodes")
WITHOUT_EFFECT = {"threads", "device", "checkpoint_seconds", *_SCORE}
"""Settings without an effect on what is learned. They may change on resuming."""

MAY_CHANGE = {
    "learning_rate",
    "target_learning_rate",
    "critic_learning_rate",
    "encoder_learning_rate",
    "max_grad_norm",
    "entropy",
    "total_steps",
    "reward_threshold",
}
"""Settings that may change on resuming, from one number to another: to get past a divergence, or to
go on for longer or less long. The change is recorded."""


_RECORD = "run.json"


def check_free(path: Path) -> None:
    """Refuse a folder for a run that starts, where something is there.

    Raises:
        SettingsError: It is.
    """
    if is_taken(path):
        raise SettingsError(
            f"{path} exists already: go on with --resume, or choose another --output."
        )


def check_run(path: Path) -> None:
    """Refuse a folder in which there is no run that could go on.

    Raises:
        SettingsError: There is none.
    """
    if not (path / _RECORD).is_file():
        raise SettingsError(f"There is no run to resume in {path}: start it without --resume.")


class RunFolder:
    """A run's folder; made by :meth:`start` or :meth:`resume`.

    Attributes:
        path: Where it is.
        record: What ``run.json`` holds.
    """

    def __init__(self, path: Path, record: dict[str, Any]):
        self.path = path
        self.record = record
        self.checkpoint = path / "checkpoint.pt"
        self.tensorboard = path / "tensorboard"
        self.dataset = path / "dataset"
        self.teacher = path / "teacher"

    @classmethod
    def start(cls, path: Path, settings: Settings, command: str | None) -> "RunFolder":
        """A new run.

        Raises:
            SettingsError: The folder holds something already.
        """
        check_free(path)
        folder = cls(
            path, {"command": command, "settings": dataclasses.asdict(settings), "changes": []}
        )
        folder._write()
        return folder

    @classmethod
    def resume(cls, path: Path, settings: Settings) -> "RunFolder":
        """A run that goes on.

        Raises:
            SettingsError: There is none, or it was started with settings that can't change.
        """
        record = _read_record(path / _RECORD)
        sweep(path)
        # A setting may be newer than the run, and those of games may be left out.
        defaults = {
            field.name: field.default_factory()
            if callable(field.default_factory)
            else field.default
            for field in dataclasses.fields(GameSettings)
        }
        defaults = json.loads(json.dumps(defaults, default=str))  # tuples are lists in the record
        unknown = record["settings"].keys() - defaults
        if unknown:
            raise SettingsError(
                f"The run in {path} is of another version of distilled-envs (it has the settings "
                f"{', '.join(sorted(unknown))}): go on with that one, or start again with another "
                "--output."
            )
        now = json.loads(json.dumps(dataclasses.asdict(settings)))
        before, after = defaults | record["settings"], defaults | now
        changed = {
            name: [before[name], value]
            for name, value in after.items()
            if before[name] != value and name not in WITHOUT_EFFECT
        }
        fixed = [
            f"{name} {a!r} -> {b!r}"
            for name, (a, b) in changed.items()
            if name not in MAY_CHANGE or (None in (a, b) and name != "reward_threshold")
        ]
        if fixed:
            raise SettingsError(
                f"The run in {path} was started with other settings ({'; '.join(fixed)}): resume "
                "it with the same ones, or choose another --output."
            )
        folder = cls(path, record)
        scored = [name for name in _SCORE if before[name] != after[name]]
        if (changed or scored) and folder.is_finished(settings):
            told = ", ".join([*changed, *scored])
            raise SettingsError(
                f"The run in {path} is finished, and another {told} would change nothing: give it "
                f"{_more(folder.dataset)}, start another one, or score its dataset by "
                "`distilled-envs evaluate`."
            )
        if changed:
            record["changes"].append({"iteration": folder.iteration()} | changed)
        record["settings"] = now
        folder._write()
        return folder

    def keep(self, teacher: DistilledDataset | None) -> None:
        """A copy of the teacher: whatever becomes of its name, the run goes on with this one."""
        if teacher is not None and not self.teacher.exists():
            teacher.save(self.teacher)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last good state; None before the first one.

        Raises:
            SettingsError: The file is damaged, or of something else.
        """
        if not self.checkpoint.exists():
            return None
        with self.restoring():
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            if not 0 <= operator.index(state["algorithm"]["iteration"]) < 2**53:
                raise ValueError("its iteration is none")
        return state

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Whatever is wrong with a checkpoint, in one sentence.

        torch, zipfile and pickle each have errors of their own, and so has each part of a state.

        Raises:
            SettingsError: Something is wrong with it.
        """
        try:
            yield
        except Exception as error:
            raise SettingsError(
                f"{self.checkpoint} is damaged, or of another version of distilled-envs "
                f"({in_a_line(error)}): go on with that version, or start again with another "
                "--output."
            ) from error

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the last good state.

        Raises:
            StorageError: It can't be written; the last one stands.
        """
        # torch's own writer would say of a full disk that a file write failed, and no more.
        content = io.BytesIO()
        torch.save(state, content)
        with atomic_path(self.checkpoint) as path:
            path.write_bytes(content.getbuffer())

    def is_finished(self, settings: Settings) -> bool:
        """Whether there is a dataset of all the steps of settings, or of those that solved it."""
        if not self.dataset.exists():
            return False
        made = read_spec(self.dataset).provenance
        steps, solved = made.get("env_steps", 0), made.get("solved")
        if solved is not None and settings.is_solved_by(solved["reward_threshold"]):
            return True
        return steps >= settings.iterations * settings.steps_per_iteration

    def iteration(self) -> int:
        """Iterations done at the last checkpoint."""
        state = self.load_checkpoint()
        return 0 if state is None else state["algorithm"]["iteration"]

    def _write(self) -> None:
        with atomic_path(self.path / _RECORD) as path:
            path.write_text(json.dumps(self.record, indent=2) + "\n")


def _more(dataset: Path) -> str:
    """What lets a finished run go on."""
    solved = "solved" in read_spec(dataset).provenance
    return f"more --total-steps{' and a higher --reward-threshold' * solved}"


def _read_record(path: Path) -> dict[str, Any]:
    """What ``run.json`` holds.

    Raises:
        SettingsError: It is damaged, or of something else.
    """
    kinds = {"command": str | None, "settings": dict, "changes": list}
    try:
        record = read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is damaged: {error}.") from None
    if not isinstance(record, dict) or not all(
        name in record and isinstance(record[name], kind) for name, kind in kinds.items()
    ):
        raise SettingsError(
            f"{path} is of no run of meta-PPO: go on with the flags that the run was started with, "
            "or choose another --output."
        )
    return record
