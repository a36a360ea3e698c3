"""What a dataset says of itself, in words and, in a notebook, as a picture."""

import base64
import html
import io
from collections.abc import Iterable, Iterator

import numpy as np

from distilled_envs.envs.registering import distilled_id
from distilled_envs.formatting import written_score
from distilled_envs.spec import DistillationSpec
from distilled_envs.storage.source import Source

_SHOWN = 64
"""Rows and columns of a picture at most."""
_CELL = 7
"""Width and height of a number in a picture, in pixels."""


def facts(spec: DistillationSpec, rows: int, source: Source) -> Iterator[tuple[str, str]]:
    """Names and words; words may be missing where the file has none."""
    task, learner, made = spec.task, spec.learner, spec.provenance
    arguments = "".join(f", {name}={value!r}" for name, value in spec.env.kwargs.items())
    yield "environment", f"{spec.env.id}{arguments}"
    shown = "" if spec.preprocessing is None else f" ({spec.preprocessing})"
    outputs = f"{task.n_outputs} output{'s' * (task.n_outputs > 1)}"
    meaning = "logits" if task.kind == "categorical" else "means of actions"
    yield "rows", f"{rows}: observation {task.observation_shape}{shown} -> {outputs}, {meaning}"
    sizes = "x".join(map(str, learner.hidden_sizes))
    behind = f", behind an encoder of {learner.encoder_level} layers" * (learner.encoder_level > 0)
    families = f" of {len(spec.families)} families" if spec.families else ""
    yield "networks", f"{learner.architecture} {sizes} {learner.activation}{families}{behind}"
    yield "one step", f"SGD, learning rate {spec.inner.learning_rate:.4g}, mean squared error"
    for training, scores in spec.evaluation.items():
        if {"sampled", "greedy"} <= scores.keys():
            modes = (f"{mode} {written_score(scores[mode])}" for mode in ("sampled", "greedy"))
            who = f"{scores.get('learners', '?')} networks x {scores.get('episodes', '?')} episodes"
            yield f"returns, {training.replace('_', ' ')}", f"{', '.join(modes)} ({who})"
    if spec.one_action is not None:
        action, share = spec.one_action
        yield "teaches", f"one action: {action} is the likeliest in {share:.0%} of all steps"
    yield "made by", str(made.get("choice") or made.get("algorithm", ""))
    if "env_steps" in made and "wall_seconds" in made:
        yield "cost", f"{made['env_steps']:,} environment steps, {made['wall_seconds']:,.0f} s"
    yield "command", str(made.get("command") or "")
    identifier = distilled_id(spec.family)
    names = {"bundled": repr(spec.name), "memory": "dataset"}
    which = names.get(source.kind, repr(source.location))
    told = identifier and source.kind != "hub"  # of which an id takes the newest revision
    yield "in Gymnasium", f"gym.make({identifier!r}, dataset={which})" if told else ""
    yield "from", str(source)


def as_html(title: str, words: Iterable[tuple[str, str]], picture: str = "") -> str:
    """A title, named words below each other, and a picture, for a notebook."""
    rows = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(said)}</td></tr>'
        for name, said in words
        if said
    )
    return f"<div><b>{html.escape(title)}</b><table>{rows}</table>{picture}</div>"


def picture_of(observations: np.ndarray, targets: np.ndarray) -> str:
    """The first rows as an image: numbers from blue over white to red, or each's newest frame.

    Args:
        observations: ``(k, n_inputs)``, or frames ``(k, stack, height, width)``.
        targets: ``(k, n_outputs)``.

    Returns:
        HTML; nothing for frames where Pillow is not installed.
    """
    if observations.ndim == 4:
        return _frames(observations[:8, -1])
    gap = 2 * _CELL
    left, right = (each[:_SHOWN, :_SHOWN] for each in (observations, targets))
    offset = left.shape[1] * _CELL + gap
    width, height = offset + right.shape[1] * _CELL, len(left) * _CELL
    cells = [*_cells(left, 0), *_cells(right, offset)]
    return (
        f'<svg width="{width}" height="{height}" role="img" shape-rendering="crispEdges" '
        f'aria-label="observations and targets">{"".join(cells)}</svg>'
    )


def _cells(numbers: np.ndarray, offset: int) -> Iterator[str]:
    """A rectangle for each number, in the colors of a diverging map."""
    shares = numbers / (np.abs(numbers).max() or 1.0)
    for (row, column), share in np.ndenumerate(shares):
        pale = round(255 * (1 - abs(float(share))))
        color = f"#ff{pale:02x}{pale:02x}" if share > 0 else f"#{pale:02x}{pale:02x}ff"
        x, y = offset + column * _CELL, row * _CELL
        yield f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="{color}"/>'


def _frames(frames: np.ndarray) -> str:
    """Frames ``(n, height, width)`` beside each other."""
    try:
        from PIL import Image
    except ImportError:
        return ""
    content = io.BytesIO()
    beside = np.concatenate([*frames], axis=1).astype(np.uint8)
    Image.fromarray(beside).save(content, format="PNG")
    encoded = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="newest frame of each row" src="data:image/png;base64,{encoded}"/>'
