"""A network before its training and after it, each as a film of its first seconds."""

import base64
import itertools
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.making import LONGEST
from distilled_envs.learners.threads import torch_threads
from distilled_envs.watch import (
    Shown,
    checked_video,
    episode,
    frames_per_second,
    make_drawn,
    write_video,
)

SECONDS = 10
"""Of the environment's own time."""
_FRAMES = 25  # a second, at most
_BLOCK = 16  # films are made of squares of so many pixels
_SMALL, _FADED = 300, 0.35


@dataclass(frozen=True)
class Film:
    """What is shown of one network.

    Attributes:
        mp4: The file's content.
        total: The return until the film ends.
        steps: Steps until then.
        over: Whether the episode is over by then.
    """

    mp4: bytes
    total: float
    steps: int
    over: bool

    @property
    def base64(self) -> str:
        """The file as text, for a page that holds it."""
        return base64.b64encode(self.mp4).decode()


@torch_threads(1)
def films(dataset: DistilledDataset, policies: list[nn.Module]) -> list[Film]:
    """Films of policies that start from the same state, as long as the longest of them.

    Raises:
        DistilledEnvsError: The environment can't be drawn here.
        MissingExtraError: What it takes to make films is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = checked_video(Path(folder) / "film.mp4", 1, 1)
        shown: list[list[Shown]] = []
        for policy in policies:
            with closing(make_drawn(dataset, "rgb_array")) as env:
                rate = frames_per_second(env)
                moments = episode(dataset, policy, env, 0, LONGEST)
                shown.append([*itertools.islice(moments, round(SECONDS * rate))])
        every = max(1, round(rate / _FRAMES))
        longest = max(map(len, shown))
        made = []
        for moments_of_one in shown:
            last = moments_of_one[-1]
            frames = [_picture(each) for each in moments_of_one[::every]]
            end = _picture(last)
            if last.over:
                end = (255 - _FADED * (255.0 - end)).astype(np.uint8)
            frames += [end] * (-(-longest // every) + 1 - len(frames))
            write_video(path, frames, max(1, round(rate / every)))
            made.append(Film(path.read_bytes(), last.total, last.steps, last.over))
    return made


def _picture(moment: Shown) -> np.ndarray:
    """A frame of whole blocks; a small one is drawn larger."""
    assert moment.frame is not None
    frame = moment.frame
    if frame.shape[1] < _SMALL:
        frame = frame.repeat(2, axis=0).repeat(2, axis=1)
    lacking = [(0, -size % _BLOCK) for size in frame.shape[:2]]
    return np.pad(frame, [*lacking, (0, 0)], mode="edge")
