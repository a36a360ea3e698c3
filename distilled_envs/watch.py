"""Watching a learner act: in a window, or into a video file where there is no display."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import gymnasium as gym
import numpy as np
import torch

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DistilledEnvsError, MissingExtraError, SettingsError
from distilled_envs.formatting import in_a_line
from distilled_envs.learners.actions import as_taken, choose_actions
from distilled_envs.learners.policies import policy_outputs
from distilled_envs.seeds import checked_seed
from distilled_envs.storage.files import atomic_path, given_path

OFFSCREEN_HELP = (
    "MuJoCo needs OpenGL to draw without a display: install Debian's libegl1 (MUJOCO_GL=egl) or "
    "libosmesa6 (MUJOCO_GL=osmesa), or the like of your system"
)

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")

logger = logging.getLogger(__name__)


def watch(
    dataset: DistilledDataset,
    *,
    video: str | Path | None = None,
    episodes: int = 1,
    max_steps: int = 1000,
    seed: int = 0,
) -> list[float]:
    """Train a fresh learner with one gradient step and show it acting, greedily.

    Args:
        dataset: The distilled dataset.
        video: Where to write an ``.mp4`` or ``.gif``; None opens a window.
        episodes: Episodes to play.
        max_steps: Steps after which to stop showing an episode.
        seed: Seed of the learner and of the environment.

    Returns:
        The return of each episode.

    Raises:
        SettingsError: The file's ending is neither of the two.
        DistilledEnvsError: The environment can't be drawn here.
        MissingExtraError: imageio is not installed.
    """
    video = None if video is None else given_path(video)
    if video is not None and video.suffix not in (".mp4", ".gif"):
        raise SettingsError(f"A video ends in .mp4 or .gif, got {video}.")
    if video is not None and sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")
    if video is None and sys.platform == "linux" and not any(map(os.environ.get, _DISPLAYS)):
        # SDL would draw into the void, and GLFW abort the process.
        raise DistilledEnvsError("There is no display for a window: give a --video to write.")
    if episodes < 1 or max_steps < 1:
        raise SettingsError(
            f"episodes and max_steps must be at least 1, got {episodes} and {max_steps}."
        )
    if video is not None and not video.resolve().parent.is_dir():
        raise SettingsError(f"There is no folder {video.parent} to write the video into.")
    seed = checked_seed(seed)
    policy = dataset.train(seed=seed)
    frames: list[np.ndarray] = []
    with _drawable(dataset):
        env = dataset.make_env(render_mode="human" if video is None else "rgb_array")
    returns = []
    for episode in range(episodes):
        with _drawable(dataset):  # a window is drawn by reset and step themselves
            observation, _ = env.reset(seed=seed + episode)
        total = 0.0
        for _ in range(max_steps):
            with torch.no_grad():
                given = policy_outputs(policy, torch.from_numpy(observation)[None].float())
            action = choose_actions(dataset.spec.task, given, None, greedy=True)[0].numpy()
            action = as_taken(env.action_space, action)
            with _drawable(dataset):
                observation, reward, terminated, truncated, _ = env.step(action)
                if video is not None:
                    frames.append(cast(np.ndarray, env.render()))
            total += float(reward)
            if terminated or truncated:
                break
        else:
            logger.warning(
                "Episode %d goes on after the %d steps that are shown.", episode + 1, max_steps
            )
        returns.append(total)
    env.close()
    if video is not None:
        _write(video, frames, env.metadata["render_fps"])
    return returns


@contextmanager
def _drawable(dataset: DistilledDataset) -> Iterator[None]:
    try:
        yield
    except DistilledEnvsError:
        raise
    except gym.error.DependencyNotInstalled:
        raise MissingExtraError("pygame", "Drawing", "render") from None
    except Exception as error:  # every graphics stack fails in its own way
        raise DistilledEnvsError(
            f"{dataset.spec.env.id} can't be drawn here ({in_a_line(error)}). {OFFSCREEN_HELP}."
        ) from error


def _write(video: Path, frames: list[np.ndarray], fps: int) -> None:
    try:
        import imageio.v3 as imageio
    except ImportError:
        raise MissingExtraError("imageio", "Writing a video", "render") from None
    with atomic_path(video) as path:
        if video.suffix == ".gif":
            every = max(1, round(fps / 25))  # players slow down what is faster than 50 a second
            imageio.imwrite(
                path, frames[::every], extension=".gif", duration=1000 * every / fps, loop=0
            )
        else:
            imageio.imwrite(path, frames, extension=".mp4", fps=fps)
