"""The folder of a run: what it was started with, its last good state, and the dataset at the end.

    <run>/run.json         command, settings, and what was changed on resuming
    <run>/checkpoint.pt    the last good state
    <run>/tensorboard/     scalars
    <run>/dataset/         the distilled dataset, once the run is finished
    <run>/dataset-<steps>/ what it was before the run went on for longer

Every file is written under a temporary name and renamed, so that none is ever half written.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from distilled_envs.errors import SettingsError
from distilled_envs.storage.files import atomic_path
from distilled_envs.training.settings import GameSettings, Settings

WITHOUT_EFFECT = {"threads", "device", "checkpoint_seconds", "eval_learners", "eval_episodes"}
"""Settings without an effect on what is learned. They may change on resuming."""

MAY_CHANGE = {
    "learning_rate",
    "target_learning_rate",
    "critic_learning_rate",
    "encoder_learning_rate",
    "max_grad_norm",
    "entropy",
    "total_steps",
}
"""Settings that may change on resuming, from one number to another: to get past a divergence, or to
go on for longer. The change is recorded."""


def make_folder(path: Path) -> None:
    """The folder of a run that starts; one that is there must be empty.

    Raises:
        SettingsError: It holds something already.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SettingsError(
            f"{path} exists already: go on with --resume, or choose another --output."
        )
    path.mkdir(parents=True, exist_ok=True)


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
        make_folder(path)
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
        try:
            record = json.loads((path / "run.json").read_text())
        except FileNotFoundError:
            raise SettingsError(
                f"There is no run to resume in {path}: start it without --resume."
            ) from None
        except ValueError as error:
            raise SettingsError(f"{path / 'run.json'} is damaged: {error}.") from None
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
            if name not in MAY_CHANGE or None in (a, b)
        ]
        if fixed:
            raise SettingsError(
                f"The run in {path} was started with other settings ({'; '.join(fixed)}): resume "
                "it with the same ones, or choose another --output."
            )
        folder = cls(path, record)
        if changed:
            record["changes"].append({"iteration": folder.iteration()} | changed)
        record["settings"] = now
        folder._write()
        return folder

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last good state; None before the first one.

        Raises:
            SettingsError: The file is damaged.
        """
        if not self.checkpoint.exists():
            return None
        try:
            return torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # torch, zipfile and pickle each have errors of their own
            raise SettingsError(
                f"{self.checkpoint} is damaged: start again with another --output ({error})."
            ) from error

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the last good state."""
        with atomic_path(self.checkpoint) as path:
            torch.save(state, path)

    def iteration(self) -> int:
        """Iterations done at the last checkpoint."""
        state = self.load_checkpoint()
        return 0 if state is None else state["algorithm"]["iteration"]

    def _write(self) -> None:
        with atomic_path(self.path / "run.json") as path:
            path.write_text(json.dumps(self.record, indent=2) + "\n")
