"""The second tab: each row as a picture of what it shows, and of what it asks for."""

import base64
import html
import io
from collections.abc import Iterator

import numpy as np

from distilled_envs.catalog import Entry
from distilled_envs.demo.drawings import bars
from distilled_envs.envs.cartpole_rendering import TRACK, Painter
from distilled_envs.errors import MissingExtraError
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage.folder import read_folder

SHOWN = 12
"""Rows at most."""
_CARTPOLES = ("CartPoleND-v0", "CartPole-v1")
_PARTS = ("cart's place", "its speed", "pole's angle", "its speed")


def rows_page(entry: Entry) -> str:
    """The rows of a dataset as HTML.

    Raises:
        DatasetError: Its files are damaged.
        MissingExtraError: What draws them is not installed.
    """
    observations, targets, spec, _ = read_folder(entry.folder)
    k = len(targets)
    shown = f"The first {SHOWN} of its {k} rows" if k > SHOWN else f"All of its {k} rows"
    meaning = "a logit for each action" if spec.task.kind == "categorical" else "the action itself"
    seen = "a stack of four frames" if spec.has_frames else "an observation"
    intro = (
        f"{shown}: this is all that a network is trained on. A row shows {seen}, and asks for "
        f"{meaning}. They were learned, not recorded: none has to look like play."
    )
    if spec.env.id in _CARTPOLES:
        intro += " Of each observation the carts and poles are drawn; speeds are in the bars."
    cards = "".join(_cards(observations[:SHOWN], targets[:SHOWN], spec))
    return f'<p>{html.escape(intro)}</p><div class="de-cards">{cards}</div>'


def _cards(observations: np.ndarray, targets: np.ndarray, spec: DistillationSpec) -> Iterator[str]:
    wanted = float(np.abs(targets).max())
    seen = float(np.abs(observations).max())
    for place, (observation, target) in enumerate(zip(observations, targets, strict=True)):
        content = [f"<h4>row {place + 1}</h4>"]
        if spec.has_frames:
            content.append(_image(np.concatenate([*observation], axis=1), "four frames"))
        else:
            if spec.env.id in _CARTPOLES:
                content.append(_cartpoles(observation, spec))
            content.append(f"<p>observation, {len(observation)} numbers</p>")
            content.append(bars([*observation], _inputs(spec), "observation", seen, below=False))
        content.append(f"<p>target, {len(target)} number{'s' * (len(target) > 1)}</p>")
        content.append(bars([*target], _outputs(spec), "target", wanted))
        yield f'<div class="de-card">{"".join(content)}</div>'


def _cartpoles(observation: np.ndarray, spec: DistillationSpec) -> str:
    """The carts and poles of an observation, undone from the dataset's transform."""
    state = observation.astype(float)
    if (fixed := spec.observation_transform) is not None:
        state = state / fixed.scale * np.array(fixed.std) + np.array(fixed.mean)
    axes = state.reshape(-1, 4).T
    try:
        frame = Painter().frame(axes, np.zeros(axes.shape[1]))
    except ImportError:
        raise MissingExtraError("pygame", "Drawing", "demo") from None
    drawn = _image(frame, "carts and poles of the observation")
    if (outside := int((np.abs(axes[0]) > TRACK / 2).sum())) == 0:
        return drawn
    carts = "one cart is" if outside == 1 else f"{outside} carts are"
    return f"{drawn}<p>{carts} beyond the edge of the picture</p>"


def _inputs(spec: DistillationSpec) -> list[str]:
    """Names of an observation's numbers, where they are known."""
    if spec.env.id not in _CARTPOLES:
        return [f"coordinate {place}" for place in range(spec.task.observation_shape[0])]
    axes = spec.task.observation_shape[0] // 4
    return [f"{part}, axis {axis + 1}" for axis in range(axes) for part in _PARTS]


def _outputs(spec: DistillationSpec) -> list[str]:
    """Names of a target's numbers."""
    n = spec.task.n_outputs
    if spec.env.id not in _CARTPOLES:
        return [f"{place}" for place in range(n)]
    arrows = ("\u2190", "\u2192")
    return [arrows[place % 2] + (str(place // 2 + 1) if n > 2 else "") for place in range(n)]


def _image(pixels: np.ndarray, label: str) -> str:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("pillow", "Drawing", "demo") from None
    content = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(content, format="PNG")
    encoded = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="{html.escape(label)}" src="data:image/png;base64,{encoded}"/>'
