"""Where a dataset came from: what is needed to make it again, and what it took."""

import dataclasses
import math
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch

import distilled_envs
from distilled_envs.dataset import DistilledDataset
from distilled_envs.spec import DistillationSpec
from distilled_envs.training.distributed import world_size
from distilled_envs.training.settings import Settings


@dataclass
class TrainingLog:
    """What a run has taken so far, and its returns; a part of every checkpoint.

    Attributes:
        seconds: Wall time.
        trial_steps: Environment steps of a trial before the first iteration; see
            :func:`~distilled_envs.training.constant_action.best_constant_action`.
        returns: Environment steps and mean return of recent episodes, for each iteration in which
            there was one.
    """

    seconds: float = 0.0
    trial_steps: int = 0
    returns: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def from_checkpoint(cls, state: dict[str, Any]) -> Self:
        """What a checkpoint holds; a field that it lacks starts empty.

        Raises:
            ValueError: A field is of something else.
            TypeError: The same.
        """
        log = cls(**{name: state[name] for name in cls.__dataclass_fields__ if name in state})
        if not isinstance(log.returns, list):
            raise ValueError("its returns are no list")
        numbers = [log.seconds, log.trial_steps]
        for steps, value in log.returns:
            numbers += [steps, value]
        if not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
            raise ValueError("its log is of something else")
        return log

    def to_checkpoint(self) -> dict[str, Any]:
        """What :meth:`from_checkpoint` reads."""
        return asdict(self)

    def note(self, steps: int, value: float) -> None:
        """Add an iteration's return; before the first episode has ended there is none."""
        if math.isfinite(value):
            self.returns.append((steps, value))

    def curve(self, points: int = 60) -> dict[str, list[float]]:
        """Returns over environment steps, thinned out."""
        last = len(self.returns) - 1
        places = {round(i * last / (points - 1)) for i in range(points)} if self.returns else ()
        chosen = [self.returns[place] for place in sorted(places)]
        return {
            "env_steps": [steps for steps, _ in chosen],
            "return": [round(value, 2) for _, value in chosen],
        }


def provenance(
    settings: Settings,
    *,
    command: str | None,
    changes: list[dict[str, Any]],
    env_steps: int,
    log: TrainingLog,
    threads: int,
    solved: int = 0,
    teacher: DistilledDataset | None = None,
) -> dict[str, Any]:
    """The record that ``distillation.json`` keeps of a distillation.

    Args:
        settings: The settings at its end.
        command: The shell command that started it.
        changes: Settings that were changed on resuming, and in which iteration.
        env_steps: Environment steps of its iterations; those of a trial are added.
        log: Its time, trial and returns.
        threads: Those that torch used.
        solved: Steps after which it counted as solved; 0 where it never did.
        teacher: The dataset that learners or the guide learned from, if any. What that one took is
            recorded with it, and not added.
    """
    extra: dict[str, Any] = {}
    if world_size() > 1:
        extra["processes"] = world_size()
    if solved:
        extra["solved"] = {"reward_threshold": settings.reward_threshold, "env_steps": solved}
    if teacher is not None:
        made = {k: v for k, v in teacher.spec.provenance.items() if k != "training_curve"}
        source = {"name": teacher.spec.name, "files": teacher.spec.files}
        extra["teacher"] = source | made
    return (
        made_with("meta-ppo", command, settings.seed)
        | {
            "settings": dataclasses.asdict(settings),
            "changed_on_resuming": changes,
            "env_steps": log.trial_steps + env_steps,
            "wall_seconds": round(log.seconds, 1),
            "torch_threads": threads,
            "training_curve": log.curve(),
        }
        | extra
    )


def made_with(algorithm: str, command: str | None, seed: int) -> dict[str, Any]:
    """What every dataset's record has: who made it, and with what.

    Args:
        algorithm: "meta-ppo" or "imitation".
        command: The shell command that started it.
        seed: Of everything random.
    """
    packages = {"torch": torch, "gymnasium": gym, "numpy": np, "distilled_envs": distilled_envs}
    return {
        "algorithm": algorithm,
        "paper": "arXiv:2508.09283",
        "command": command,
        "seed": seed,
        "cpu_cores": os.cpu_count(),
        "versions": {"python": platform.python_version()}
        | {name: module.__version__ for name, module in packages.items()},
        "git_revision": git_revision(Path(__file__)),
    }


def git_revision(file: Path) -> str | None:
    """Commit of the checkout that a file is tracked in, with ``-dirty`` if tracked files differ.

    None for an installed package, also where that lies inside somebody's checkout.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=file.resolve().parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.resolve().name)
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def cost_of(spec: DistillationSpec) -> dict[str, Any]:
    """What a dataset took, for what is made of it: env steps, seconds, and its own teacher."""
    made = {key: spec.provenance.get(key) for key in ("env_steps", "wall_seconds", "teacher")}
    return {"name": spec.name} | {key: value for key, value in made.items() if value is not None}
