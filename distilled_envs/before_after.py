"""A network before its one gradient step and after it, side by side, as a video."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import MissingExtraError
from distilled_envs.formatting import written
from distilled_envs.learners.acceptance import accept
from distilled_envs.learners.sb3_policies import inside_model
from distilled_envs.seeds import checked_seed
from distilled_envs.watch import (
    Shown,
    checked_video,
    episode,
    frames_per_second,
    make_drawn,
    write_video,
)

WIDTH = 480
_HEAD, _FOOT, _GAP = 56, 24, 16
_INK, _PALE, _PAPER = (25, 25, 35), (120, 120, 130), (255, 255, 255)
_FADED = 0.45
"""How much of a picture is left where its episode is over."""
LABELS = ("before", "after ONE gradient step")


def before_and_after(
    dataset: DistilledDataset,
    video: str | Path,
    policy: nn.Module | object | None = None,
    *,
    episodes: int = 1,
    max_steps: int = 1000,
    seed: int = 0,
    width: int = WIDTH,
) -> list[tuple[float, float]]:
    """Write a video of a network and of what one gradient step makes of it.

    Both act from the same states, greedily, or in games with sampled actions. Whose episode ends
    first, fades until the other's ends.

    Args:
        dataset: The distilled dataset.
        video: An ``.mp4`` or ``.gif``.
        policy: What :meth:`~distilled_envs.dataset.DistilledDataset.train` takes; a copy of it is
            trained. None draws a fresh network.
        episodes: Episodes to play.
        max_steps: Steps after which to stop showing an episode.
        seed: Seed of the fresh network and of the environment.
        width: Width of each of the two pictures, in pixels; smaller ones are drawn larger.

    Returns:
        The returns before and after, of each episode.

    Raises:
        SettingsError: The file's ending is neither of the two, or there is no folder for it.
        DistilledEnvsError: The environment can't be drawn here.
        MissingExtraError: imageio or Pillow is not installed.
        PolicyError: The policy does not fit the dataset.
    """
    path, seed = checked_video(video, episodes, max_steps), checked_seed(seed)
    if policy is None:
        policy = dataset.new_policy(seed=seed)
    accept(policy, dataset)
    fresh: Any = inside_model(policy)  # the rest of a model, as its environment, can't be copied
    policies = fresh, dataset.train(copy.deepcopy(fresh))
    envs = [make_drawn(dataset, "rgb_array") for _ in policies]
    frames, returns = [], []
    for each in range(episodes):
        playing = [
            episode(dataset, policy, env, seed + each, max_steps)
            for policy, env in zip(policies, envs, strict=True)
        ]
        # Who has ended stays as it was at last.
        last = next(playing[0]), next(playing[1])
        now: tuple[Shown | None, Shown | None] = last
        while now != (None, None):
            last = now[0] or last[0], now[1] or last[1]
            frames.append(_beside(dataset, last, width))
            now = next(playing[0], None), next(playing[1], None)
        returns.append((last[0].total, last[1].total))
    for env in envs:
        env.close()
    write_video(path, frames, frames_per_second(envs[0]))
    return returns


def _beside(dataset: DistilledDataset, sides: tuple[Shown, Shown], width: int) -> np.ndarray:
    """Both pictures with what they are of, ``(height, width, 3)`` uint8, of whole blocks of 16."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise MissingExtraError("pillow", "A video with captions", "render") from None
    pictures = []
    for side in sides:
        assert side.frame is not None
        picture = Image.fromarray(side.frame)
        height = round(picture.height * width / picture.width)
        pixels = Image.Resampling.NEAREST if picture.width < width / 2 else Image.Resampling.LANCZOS
        picture = picture.resize((width, height), pixels)
        if side.over:
            picture = Image.blend(Image.new("RGB", picture.size, _PAPER), picture, _FADED)
        pictures.append(picture)
    height = max(each.height for each in pictures)
    size = 2 * width + _GAP, _HEAD + height + _FOOT
    sheet = Image.new("RGB", (_whole(size[0]), _whole(size[1])), _PAPER)
    draw = ImageDraw.Draw(sheet)
    head, small = ImageFont.load_default(20), ImageFont.load_default(15)
    places = 0, width + _GAP
    for place, side, label, picture in zip(places, sides, LABELS, pictures, strict=True):
        sheet.paste(picture, (place, _HEAD))
        draw.text((place + 8, 6), label, _INK, head)
        state = ", over" if side.over else ""
        said = (
            f"return {written(side.total)} after {side.steps} step{'s' * (side.steps != 1)}{state}"
        )
        draw.text((place + 8, 32), said, _PALE, small)
    foot = f"{_task(dataset)} - the same network, from the same state"
    draw.text((8, _HEAD + height + 3), foot, _PALE, small)
    return np.asarray(sheet)


def _task(dataset: DistilledDataset) -> str:
    env: Any = dataset.spec.env
    axes = f" of {env.kwargs['dims']} axes" if "dims" in env.kwargs else ""
    return f"{env.id}{axes}, {len(dataset)} rows"


def _whole(pixels: int) -> int:
    """The next multiple of 16, as video has blocks."""
    return -(-pixels // 16) * 16
