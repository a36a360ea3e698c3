"""Where a dataset came from: everything that is needed to make it again."""

import dataclasses
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

import distilled_envs
from distilled_envs.dataset import DistilledDataset
from distilled_envs.training.settings import Settings


def provenance(
    settings: Settings,
    *,
    command: str | None,
    changes: list[dict[str, Any]],
    env_steps: int,
    wall_seconds: float,
    training_curve: dict[str, list[float]],
    teacher: DistilledDataset | None = None,
) -> dict[str, Any]:
    """The record that ``distillation.json`` keeps of a distillation.

    Args:
        settings: The settings at its end.
        command: The shell command that started it.
        changes: Settings that were changed on resuming, and in which iteration.
        env_steps: Environment steps taken.
        wall_seconds: Seconds it took, pauses not counted.
        training_curve: Mean return over environment steps.
        teacher: The dataset that the run learned from; its cost comes on top.
    """
    taught = {}
    if teacher is not None:
        made = {k: v for k, v in teacher.spec.provenance.items() if k != "training_curve"}
        source = {"name": teacher.spec.name, "files": teacher.spec.files}
        taught = {"teacher": source | made}
    packages = {"torch": torch, "gymnasium": gym, "numpy": np, "distilled_envs": distilled_envs}
    return {
        "algorithm": "meta-ppo",
        "paper": "arXiv:2508.09283",
        "command": command,
        "settings": dataclasses.asdict(settings),
        "changed_on_resuming": changes,
        "seed": settings.seed,
        "env_steps": env_steps,
        "wall_seconds": round(wall_seconds, 1),
        "cpu_cores": os.cpu_count(),
        "torch_threads": settings.threads or torch.get_num_threads(),
        "versions": {"python": platform.python_version()}
        | {name: module.__version__ for name, module in packages.items()},
        "git_revision": git_revision(Path(__file__)),
        "training_curve": training_curve,
    } | taught


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
