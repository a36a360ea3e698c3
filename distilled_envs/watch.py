"""Watching a learner act: in a window, or into a video file where there is no display."""

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, overload

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DistilledEnvsError, MissingExtraError, SettingsError
from distilled_envs.evaluation.players import outputs_of
from distilled_envs.formatting import in_a_line
from distilled_envs.learners.actions import as_taken, choose_actions
from distilled_envs.seeds import checked_seed
from distilled_envs.storage.files import atomic_path, given_path

OFFSCREEN_HELP = (
    "MuJoCo needs OpenGL to draw without a display: install Debian's libegl1 (MUJOCO_GL=egl) or "
    "libosmesa6 (MUJOCO_GL=osmesa), or the like of your system"
)

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")

_SMALL = 100
"""Pixels below which a picture is drawn larger."""
COLORS = 64
"""Colors of a .gif."""
LAST_FRAME = 1500
"""Milliseconds that its last frame stays."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Shown:
    """A moment of an episode.

    Attributes:
        frame: The picture ``(height, width, 3)`` uint8; None where a window shows it.
        total: The return so far.
        steps: How many there were.
        over: Whether the episode has ended.
    """

    frame: np.ndarray | None
    total: float
    steps: int
    over: bool


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
        SettingsError: The file's ending is neither of the two, or there is no folder for it.
        DistilledEnvsError: The environment can't be drawn here.
        MissingExtraError: imageio is not installed.
    """
    path = checked_video(video, episodes, max_steps)
    if path is None and sys.platform == "linux" and not any(map(os.environ.get, _DISPLAYS)):
        # SDL would draw into the void, and GLFW abort the process.
        raise DistilledEnvsError("There is no display for a window: give a --video to write.")
    seed = checked_seed(seed)
    policy = dataset.train(seed=seed)
    env = make_drawn(dataset, "human" if path is None else "rgb_array")
    frames: list[np.ndarray] = []
    returns = []
    for each in range(episodes):
        moments = [*episode(dataset, policy, env, seed + each, max_steps)]
        frames += [shown.frame for shown in moments if shown.frame is not None]
        returns.append(moments[-1].total)
    env.close()
    if path is not None:
        write_video(path, frames, frames_per_second(env))
    return returns


@overload
def checked_video(video: str | Path, episodes: int, max_steps: int) -> Path: ...


@overload
def checked_video(video: None, episodes: int, max_steps: int) -> None: ...


@overload
def checked_video(video: str | Path | None, episodes: int, max_steps: int) -> Path | None: ...


def checked_video(video: str | Path | None, episodes: int, max_steps: int) -> Path | None:
    """The file of a video, after a look at all that can be wrong before anything is played.

    Raises:
        SettingsError: Something is.
    """
    path = None if video is None else given_path(video)
    if path is not None and path.suffix not in (".mp4", ".gif"):
        raise SettingsError(f"A video ends in .mp4 or .gif, got {path}.")
    if episodes < 1 or max_steps < 1:
        raise SettingsError(
            f"episodes and max_steps must be at least 1, got {episodes} and {max_steps}."
        )
    if path is not None and not path.resolve().parent.is_dir():
        raise SettingsError(f"There is no folder {path.parent} to write the video into.")
    if path is not None and sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")
    return path


def make_drawn(dataset: DistilledDataset, mode: Literal["human", "rgb_array"]) -> gym.Env:
    """The real environment in a window, or giving pictures, with the walker in the middle.

    MuJoCo's models have a camera of that name which follows; Gymnasium 1.4 takes it no more, and
    what walks is out of the picture after some seconds.

    Raises:
        DistilledEnvsError: It can't be drawn here.
    """
    with drawable(dataset):
        env = dataset.make_env(render_mode=mode)
    renderer, mujoco = getattr(env.unwrapped, "mujoco_renderer", None), sys.modules.get("mujoco")
    if renderer is not None and mujoco is not None and mode == "rgb_array":
        camera = mujoco.mj_name2id(renderer.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        renderer.camera_id = camera  # -1 is the free one, where there is none
    return env


def picture(dataset: DistilledDataset) -> bytes | None:
    """The environment's first state as a PNG; None where it can't be drawn here."""
    try:
        from PIL import Image

        checked_video("picture.gif", 1, 1)  # which chooses how MuJoCo draws
        with closing(make_drawn(dataset, "rgb_array")) as env, drawable(dataset):
            env.reset(seed=0)
            frame = as_frame(env.render())
        content = io.BytesIO()
        Image.fromarray(frame).save(content, format="PNG")
    except (ImportError, DistilledEnvsError):
        return None
    return content.getvalue()


def as_frame(drawn: Any) -> np.ndarray:
    """What an environment drew, as a frame ``(height, width, 3)`` uint8.

    MinAtar's draw with numbers from 0 to 1, a pixel for each cell.

    Raises:
        ValueError: It is no picture.
    """
    frame = np.asarray(drawn)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype.kind not in "uif":
        raise ValueError(f"its picture has shape {frame.shape} and type {frame.dtype}")
    if frame.dtype.kind == "f":
        frame = (255 * frame.clip(0, 1)).round()
    if (side := min(frame.shape[:2])) < _SMALL:
        frame = frame.repeat(-(-_SMALL // side), axis=0).repeat(-(-_SMALL // side), axis=1)
    return frame.astype(np.uint8)


def frames_per_second(env: gym.Env) -> float:
    """How fast an environment is shown; MinAtar's don't say."""
    return float(env.metadata.get("render_fps", 30))


def episode(
    dataset: DistilledDataset, policy: nn.Module, env: gym.Env, seed: int, max_steps: int
) -> Iterator[Shown]:
    """An episode of a policy's likeliest actions, in games sampled ones, a moment after each step.

    Args:
        dataset: What the policy was trained on.
        policy: Observations ``(1, *obs_shape)`` to outputs ``(1, n_outputs)``.
        env: The environment as the dataset saw it, which shows itself or gives pictures.
        seed: Of its first state, and of sampled actions.
        max_steps: Steps after which no more is shown.
    """
    with drawable(dataset):  # a window is drawn by reset and step themselves
        observation, _ = env.reset(seed=seed)
    outputs, total, steps, over = outputs_of(policy), 0.0, 0, False
    greedy = dataset.spec.shown_by == "greedy"
    chance = torch.Generator().manual_seed(seed).get_state()
    while not over and steps < max_steps:
        with torch.no_grad():
            given = outputs(torch.from_numpy(observation)[None].float())
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(chance)
            action = choose_actions(dataset.spec.task, given, None, greedy=greedy)[0].numpy()
            chance = torch.get_rng_state()
        with drawable(dataset):
            stepped = env.step(as_taken(env.action_space, action))
            drawn = None if env.render_mode == "human" else as_frame(env.render())
        observation, reward, terminated, truncated, _ = stepped
        total, steps = total + float(reward), steps + 1
        over = bool(terminated or truncated)
        if not over and steps == max_steps:
            logger.warning("An episode goes on after the %d steps that are shown.", max_steps)
        yield Shown(cast(Any, drawn), total, steps, over)


@contextmanager
def drawable(dataset: DistilledDataset) -> Iterator[None]:
    """What keeps an environment from being drawn, in one sentence.

    Raises:
        DistilledEnvsError: It can't be.
    """
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


def write_video(video: Path, frames: list[np.ndarray], fps: float) -> None:
    """Write frames ``(height, width, 3)`` as an .mp4 or .gif.

    Raises:
        MissingExtraError: What writes them is not installed.
    """
    if video.suffix == ".gif":
        _write_gif(video, frames, fps)
        return
    try:
        import imageio.v3 as imageio
    except ImportError:
        raise MissingExtraError("imageio", "Writing a video", "render") from None
    with atomic_path(video) as path:
        imageio.imwrite(path, frames, extension=".mp4", fps=fps)


def _write_gif(video: Path, frames: list[np.ndarray], fps: float) -> None:
    """One palette for all frames, and no dither: a fifth of what each frame's own would take.

    The last frame is among those that are shown, and stays for a while before the film starts anew.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("pillow", "Writing a .gif", "render") from None
    every = max(1, round(fps / 25))  # players slow down what is faster than 50 a second
    shown = [Image.fromarray(frame) for frame in frames[(len(frames) - 1) % every :: every]]
    some = frames[:: max(1, len(frames) // 4)]
    palette = Image.fromarray(np.concatenate(some)).quantize(COLORS, dither=Image.Dither.NONE)
    reduced = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in shown]
    with atomic_path(video) as path:
        reduced[0].save(
            path,
            format="GIF",
            save_all=True,
            append_images=reduced[1:],
            duration=[1000 * every / fps] * (len(shown) - 1) + [LAST_FRAME],
            loop=0,
            optimize=True,
        )
