"""The figures of the reports, and of the datasets themselves."""

import itertools
import textwrap
from typing import Any

import numpy as np

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import MissingExtraError
from distilled_envs.evaluation.statistics import bootstrap_interval, interquartile_mean

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter
except ImportError:
    raise MissingExtraError("matplotlib", "A figure", "compare") from None


INK = "#222222"
STYLES: dict[str, tuple[str, Any]] = {
    "PPO": ("#0072B2", "-"),
    "PPO, RL Zoo settings": ("#D55E00", "--"),
    "PPO from the one-step policy": ("#009E73", "-."),
    "one gradient step": (INK, "-"),
    "random actions": ("#777777", ":"),
    "one step": ("#0072B2", "-"),
    "initialize": ("#D55E00", "-"),
    "fit": ("#009E73", "-"),
}
"""Color and line of a method, wherever it is drawn: of the palette of Okabe and Ito, whose
brightness differs in gray as well."""
OTHERS = (("#CC79A7", (0, (1, 1))), ("#E69F00", (0, (5, 1, 1, 1))), ("#56B4E9", (0, (3, 1))))
"""Those of methods without one, in turn."""
_THOUSANDS = StrMethodFormatter("{x:,.0f}")


def learning_curves(
    environment: str,
    learners: dict[str, list[dict[str, list[Any]]]],
    axis: str,
    marks: dict[str, dict[str, Any]],
    costs: dict[str, float] | None = None,
) -> "Figure":
    """Return over environment steps or seconds: interquartile mean over seeds, 95% bands.

    Args:
        environment: Whose return it is.
        learners: Curves of :func:`distilled_envs.studies.sb3.learn`, one for each seed, by what
            they are of.
        axis: ``"steps"`` or ``"seconds"``.
        marks: Scores to compare with, as horizontal lines, by what they are of.
        costs: What some of them cost once, before their first network, in units of the axis.
            Their lines are thin up to there.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    plot = figure.subplots()
    styles, labels, last = _styles([*learners, *marks]), [], 0.0
    for place, (name, curves) in enumerate(learners.items()):
        color, line = styles[name]
        # Seeds are evaluated after equally many steps; the clock differs a little between them.
        places = np.mean([curve[axis] for curve in curves], axis=0)
        means = np.array([np.mean(curve["returns"], axis=1) for curve in curves])
        middle = interquartile_mean(means, axis=0)
        # Where curves lie on each other, the first one shows on both sides of the next.
        width = 1.6 + 1.2 * (len(learners) - 1 - place)
        plot.plot(places, middle, color=color, linestyle=line, linewidth=width)
        labels.append((name, color, float(middle[-1])))
        last = max(last, float(places[-1]))
        bands = [band for at in means.T if (band := bootstrap_interval(at, interquartile_mean))]
        if bands:
            low, high = np.transpose(bands)
            plot.fill_between(places, low, high, color=color, alpha=0.15, linewidth=0)
    for name, score in marks.items():
        color, line = styles[name]
        cost = (costs or {}).get(name)
        plot.axhline(score["mean"], color=color, linestyle=line, linewidth=0.5 if cost else 1.2)
        if cost:
            _paid(plot, cost, last, score["mean"], color, axis)
        labels.append((name, color, score["mean"]))
        if score["ci95"] is not None:
            plot.axhspan(*score["ci95"], color=color, alpha=0.1, linewidth=0)
    plot.set_xlim(0, last or 1.0)
    plot.set_xlabel({"steps": "environment steps", "seconds": "seconds of training"}[axis])
    plot.set_ylabel(f"return, {environment}")
    plot.xaxis.set_major_formatter(_THOUSANDS)
    plot.yaxis.set_major_formatter(_THOUSANDS)
    plot.grid(alpha=0.3)
    plot.spines[["top", "right"]].set_visible(False)
    _label(plot, labels)
    return figure


def _paid(plot: Any, cost: float, last: float, height: float, color: str, axis: str) -> None:
    """Mark a one-time cost on a horizontal line; an arrow if it lies beyond the plot."""
    words = f"distilled once: {cost:,.0f} {'steps' if axis == 'steps' else 's'}"
    here, left = cost < last, cost < last / 2
    if here:
        plot.plot([cost, last], [height] * 2, color=color, linewidth=1.8)
        plot.plot([cost], [height], "o", color=color, markersize=6)
    plot.annotate(
        words if here else f"{words} \N{RIGHTWARDS ARROW}",
        (cost if here else last, height),
        (4 if left else -4, -7),
        textcoords="offset points",
        ha="left" if left else "right",
        va="top",
        color=color,
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
    )


def _styles(names: list[str]) -> dict[str, tuple[str, Any]]:
    """Color and line by name."""
    others = itertools.cycle(OTHERS)
    return {name: STYLES.get(name) or next(others) for name in names}


def _label(plot: Any, labels: list[tuple[str, str, float]]) -> None:
    """Names to the right of a plot, each as near to its line's height as there is room.

    Args:
        plot: The axes, whose limits are final.
        labels: Name, color, and the height of the line at its end, in data.
    """
    low, high = plot.get_ylim()
    ends = sorted(((end - low) / (high - low), name, color) for name, color, end in labels)
    heights: list[float] = []
    for share, _, _ in ends:
        heights.append(max(share, heights[-1] + _APART) if heights else share)
    for place in reversed(range(len(heights))):  # down again from the top
        above = heights[place + 1] - _APART if place + 1 < len(heights) else 1.0
        heights[place] = min(heights[place], above)
    for height, (share, name, color) in zip(heights, ends, strict=True):
        plot.annotate(
            textwrap.fill(name, 22),
            (1.0, share),
            (1.04, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=color,
            va="center",
            arrowprops={
                **{"arrowstyle": "-", "color": color, "linewidth": 0.6},
                **{"shrinkB": 0, "relpos": (0, 0.5)},
            },
        )


_APART = 0.11
"""Of two labels of two lines each, as a share of the plot's height."""


def score_bars(scores: dict[str, dict[str, dict[str, Any]]]) -> "Figure":
    """Mean returns as horizontal bars with their 95% intervals.

    Args:
        scores: Records of :class:`~distilled_envs.evaluation.protocol.Score`, by what they are of,
            and then by how it was trained.
    """
    ways = [*dict.fromkeys(way for each in scores.values() for way in each)]
    count, styles, size = sum(map(len, scores.values())), _styles(ways), 1 / (len(ways) + 0.5)
    figure = Figure(figsize=(8, 1.2 + 0.2 * count + 0.12 * len(scores)), layout="constrained")
    plot = figure.subplots()
    for place, way in enumerate(ways):
        rows = [(row, each[way]) for row, each in enumerate(scores.values()) if way in each]
        means = np.array([score["mean"] for _, score in rows])
        bounds = [score["ci95"] or [score["mean"]] * 2 for _, score in rows]
        plot.barh(
            [row + (place - (len(ways) - 1) / 2) * size for row, _ in rows],
            means,
            height=size,
            xerr=np.abs(np.transpose(bounds) - means),
            color=styles[way][0],
            error_kw={"ecolor": INK, "elinewidth": 0.8, "capsize": 2},
            label=way,
        )
    plot.set_yticks(range(len(scores)), list(scores))
    plot.set_ylim(len(scores) - 0.4, -0.6)
    plot.xaxis.set_major_formatter(_THOUSANDS)
    plot.set_xlabel("mean return, 95% interval")
    plot.grid(axis="x", alpha=0.3)
    plot.spines[["top", "right"]].set_visible(False)
    if len(ways) > 1:
        figure.legend(loc="outside upper center", ncols=len(ways), frameon=False)
    return figure


def score_pairs(across: tuple[str, list[float]], up: tuple[str, list[float]]) -> "Figure":
    """Two scores of the same things as points, a point each.

    Args:
        across: What is drawn from left to right, and its values.
        up: What is drawn upwards, and its values.
    """
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    plot = figure.subplots()
    plot.scatter(across[1], up[1], color=STYLES["PPO"][0], alpha=0.7)
    plot.set_xlabel(across[0])
    plot.set_ylabel(up[0])
    plot.xaxis.set_major_formatter(_THOUSANDS)
    plot.yaxis.set_major_formatter(_THOUSANDS)
    plot.grid(alpha=0.3)
    plot.spines[["top", "right"]].set_visible(False)
    return figure


_DRAWN = 6
"""Rows of frames that are drawn, at most; sixteen are three times as high as a screen."""


def rows_figure(dataset: DistilledDataset) -> "Figure":
    """The rows of a dataset: as a heat map, or the first few's frames beside their targets."""
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
    stack, (rows, n_outputs) = dataset.observations.shape[1], dataset.targets.shape
    k = min(rows, _DRAWN)
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
    some = f", {k} of {rows} rows" if k < rows else ""
    figure.suptitle(f"{dataset.spec.name}{some}", fontsize=10)
    return figure
