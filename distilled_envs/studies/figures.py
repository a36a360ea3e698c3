"""The figures of the reports, and of the datasets themselves."""

import itertools
from typing import Any

import numpy as np

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import MissingExtraError
from distilled_envs.evaluation.statistics import bootstrap_interval, interquartile_mean

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter
except ImportError:
    raise MissingExtraError("matplotlib", "A figure", "compare") from None


def learning_curves(
    title: str,
    learners: dict[str, list[dict[str, list[Any]]]],
    axis: str,
    marks: dict[str, dict[str, Any]],
) -> "Figure":
    """Return over environment steps or seconds: interquartile mean over seeds, 95% bands.

    Args:
        title: Of the figure.
        learners: Curves of :func:`distilled_envs.studies.sb3.learn`, one for each seed, by what
            they are of.
        axis: ``"steps"`` or ``"seconds"``.
        marks: Scores to compare with, as horizontal lines, by what they are of.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    plot = figure.subplots()
    for name, curves in learners.items():
        # Seeds are evaluated after equally many steps; the clock differs a little between them.
        places = np.mean([curve[axis] for curve in curves], axis=0)
        means = np.array([np.mean(curve["returns"], axis=1) for curve in curves])
        (line,) = plot.plot(places, interquartile_mean(means, axis=0), label=name)
        bands = [band for at in means.T if (band := bootstrap_interval(at, interquartile_mean))]
        if bands:
            low, high = np.transpose(bands)
            plot.fill_between(places, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    for (name, score), style in zip(marks.items(), itertools.cycle(("-", ":", "--"))):
        plot.axhline(score["mean"], color="black", linestyle=style, linewidth=1, label=name)
        if score["ci95"] is not None:
            plot.axhspan(*score["ci95"], color="black", alpha=0.1, linewidth=0)
    plot.set_xlabel({"steps": "environment steps", "seconds": "seconds of training"}[axis])
    plot.set_ylabel("return")
    if axis == "steps":
        plot.xaxis.set_major_formatter(EngFormatter())
    plot.set_title(title)
    plot.grid(alpha=0.3)
    plot.legend(fontsize="small")
    return figure


def score_bars(title: str, scores: dict[str, dict[str, Any]]) -> "Figure":
    """Mean returns as horizontal bars with their 95% intervals.

    Args:
        title: Of the figure.
        scores: Records of :class:`~distilled_envs.evaluation.protocol.Score`, by what they are of.
    """
    figure = Figure(figsize=(7, 0.8 + 0.35 * len(scores)), layout="constrained")
    plot = figure.subplots()
    means = np.array([score["mean"] for score in scores.values()])
    bounds = [score["ci95"] or [score["mean"]] * 2 for score in scores.values()]
    errors = np.abs(np.transpose(bounds) - means)
    plot.barh(list(scores), means, xerr=errors, color="tab:blue", ecolor="black", capsize=3)
    plot.invert_yaxis()
    plot.set_xlabel("mean return, 95% interval")
    plot.set_title(title)
    plot.grid(axis="x", alpha=0.3)
    return figure


def score_pairs(
    title: str, across: tuple[str, list[float]], up: tuple[str, list[float]]
) -> "Figure":
    """Two scores of the same things as points, a point each.

    Args:
        title: Of the figure.
        across: What is drawn from left to right, and its values.
        up: What is drawn upwards, and its values.
    """
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    plot = figure.subplots()
    plot.scatter(across[1], up[1], color="tab:blue", alpha=0.7)
    plot.set_xlabel(across[0])
    plot.set_ylabel(up[0])
    plot.set_title(title)
    plot.grid(alpha=0.3)
    return figure


def rows_figure(dataset: DistilledDataset) -> "Figure":
    """The rows of a dataset: as a heat map, or the frames beside their targets."""
    if dataset.observations.dim() == 4:
        return _frames(dataset)
    parts = {"observation, coordinate": dataset.observations, "target, output": dataset.targets}
    widths = [part.shape[1] + 6 for part in parts.values()]
    figure = Figure(figsize=(9, min(max(2.2, 0.1 * len(dataset)), 6)), layout="constrained")
    axes = figure.subplots(1, 2, width_ratios=widths)
    for axis, (label, part) in zip(axes, parts.items(), strict=True):
        bound = part.abs().max().item()
        image = axis.imshow(
            part, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest"
        )
        axis.set_xlabel(label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.yaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=axis)
    axes[0].set_ylabel("row")
    figure.suptitle(dataset.spec.name, fontsize=10)
    return figure


def _frames(dataset: DistilledDataset) -> "Figure":
    stack, (k, n_outputs) = dataset.observations.shape[1], dataset.targets.shape
    env = dataset.make_env()
    names: list[Any] = [*range(n_outputs)]
    if env.has_wrapper_attr("get_action_meanings") and dataset.spec.task.choices is None:
        names = env.get_wrapper_attr("get_action_meanings")()
    env.close()
    figure = Figure(figsize=(9, 0.6 + 1.6 * k), layout="constrained")
    axes = figure.subplots(k, stack + 1, squeeze=False, width_ratios=[1] * stack + [1.8])
    bound = 1.1 * dataset.targets.abs().max().item()
    for row, places in enumerate(axes):
        for age, axis in enumerate(places[:-1]):
            axis.imshow(dataset.observations[row, age], cmap="gray", vmin=0, vmax=255)
            axis.set_xticks([])
            axis.set_yticks([])
        places[0].set_ylabel(f"row {row}")
        places[-1].bar(range(n_outputs), dataset.targets[row], color="tab:blue")
        places[-1].axhline(0, color="black", linewidth=0.5)
        places[-1].set_ylim(-bound, bound)
        places[-1].set_xticks(range(n_outputs), names if row == k - 1 else [], rotation=90)
        places[-1].tick_params(labelsize="x-small")
    axes[0][0].set_title("oldest frame", fontsize="small")
    axes[0][-2].set_title("newest frame", fontsize="small")
    axes[0][-1].set_title("target: logits of the actions", fontsize="small")
    figure.suptitle(dataset.spec.name, fontsize=10)
    return figure
