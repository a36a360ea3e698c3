"""Draw the figures of docs/how-it-works.md: the rows, what one step does, and why depth matters.

All that they show is measured here, in some seconds; nothing is played.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from distilled_envs import DistilledDataset, load_distilled
from distilled_envs.learners.expansion import mean_answers, noise, one_step_learners
from distilled_envs.learners.one_step import train_one_step

DEPTHS = range(1, 7)
BLUE, ORANGE, GREEN, RED = "#1f5fa8", "#c25b00", "#2c7a3d", "#a32638"
"""Dark enough for white paper, and each line is told by its dashes and marks as well."""
ACTIONS = ("push cart 1 left", "push cart 1 right", "push cart 2 left", "push cart 2 right")


@dataclass
class Arguments:
    """Draw the figures of docs/how-it-works.md."""

    output: Path = Path(__file__).parent / "docs" / "pictures"
    """Folder of the pictures."""
    networks: int = 8
    """Fresh networks of each kind."""


def rows_of_a_set(dataset: DistilledDataset) -> Figure:
    """The three rows of 2-D cart-pole as numbers on colors."""
    figure = Figure(figsize=(9, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(8, 5))
    names = [f"{name}{axis}" for axis in "₁₂" for name in ("x", "ẋ", "θ", "θ̇")]
    _numbers(left, dataset.observations, names, "observation", "{:.2f}")
    actions = ["1 left", "1 right", "2 left", "2 right"]
    _numbers(right, dataset.targets, actions, "target: a logit for each push", "{:.1f}")
    left.set_yticks(range(len(dataset)), [f"row {1 + row}" for row in range(len(dataset))])
    right.set_yticks([])
    return figure


def _numbers(plot: Axes, values: torch.Tensor, names: list[str], title: str, form: str) -> None:
    most = float(values.abs().max())
    plot.imshow(values, cmap="RdBu_r", vmin=-1.6 * most, vmax=1.6 * most, aspect="auto")
    for (row, column), value in np.ndenumerate(values.numpy()):
        plot.text(column, row, form.format(value), ha="center", va="center", fontsize=11)
    plot.set_xticks(range(len(names)), names, fontsize=11, va="baseline")
    plot.set_title(title, fontsize=12)
    plot.tick_params(length=0)
    plot.tick_params(axis="x", pad=16)
    plot.spines[:].set_visible(False)


def one_step(dataset: DistilledDataset, networks: int) -> Figure:
    """Logits of several fresh networks before and after their step, as pole 1 leans."""
    degrees = torch.linspace(-12, 12, 49)
    observations = torch.zeros(len(degrees), 8)
    observations[:, 2] = torch.deg2rad(degrees)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    before, after = figure.subplots(1, 2, sharex=True, sharey=True)
    styles = list(zip((BLUE, ORANGE, GREEN, RED), ("-", "--", "-.", ":"), strict=True))
    ends, most = [], 0.0
    for seed in range(networks):
        network = dataset.new_policy(seed=seed)
        for plot in (before, after):
            with torch.no_grad():
                logits = network(observations)
            for action, (color, dashes) in enumerate(styles):
                plot.plot(degrees, logits[:, action], color=color, linestyle=dashes, linewidth=1)
            if plot is before:
                most = max(most, float(logits.abs().max()))
                dataset.train(network)
        ends.append(logits[-1])
    for action, end in enumerate(torch.stack(ends).mean(0).tolist()):
        after.annotate(
            ACTIONS[action],
            (12, end),
            (6, (0, 0, 4, -4)[action]),
            textcoords="offset points",
            color=styles[action][0],
            va="center",
        )
    _say(
        before,
        (0, 1),
        f"all outputs lie within ±{math.ceil(1000 * most) / 1000}",
        "black",
        ha="center",
    )
    before.set_title(f"{networks} fresh networks before the step", fontsize=12)
    after.set_title("the same networks after it", fontsize=12)
    before.set_ylabel("output: a logit for each push")
    for plot in (before, after):
        plot.set_xlabel("angle of pole 1 in degrees, all else 0")
        _plain(plot)
    return figure


def _mlp(dataset: DistilledDataset, depth: int) -> nn.Sequential:
    """Tanh layers of 64 as PyTorch draws them."""
    width, layers = dataset.observations.shape[1], []
    for _ in range(depth):
        layers += [nn.Linear(width, 64), nn.Tanh()]
        width = 64
    return nn.Sequential(*layers, nn.Linear(width, dataset.targets.shape[1]))


def _orthogonal(dataset: DistilledDataset, depth: int) -> nn.Sequential:
    """The same as Stable-Baselines3 draws them, and as the rows expect two of them."""
    network = _mlp(dataset, depth)
    *hidden, last = (layer for layer in network if isinstance(layer, nn.Linear))
    for layer, gain in [*((layer, math.sqrt(2)) for layer in hidden), (last, 0.01)]:
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return network


def _initialized(dataset: DistilledDataset, depth: int) -> nn.Sequential:
    return dataset.initialize(_mlp(dataset, depth))


def depth_matters(dataset: DistilledDataset, networks: int) -> Figure:
    """How large the answers are that one step teaches, and how much of them is wrong, by depth."""
    generator = torch.Generator().manual_seed(0)
    inputs = noise(dataset, 512, generator)
    wanted = mean_answers(dataset, one_step_learners(dataset, generator), inputs)
    kinds: dict[str, tuple[Callable[[DistilledDataset, int], nn.Sequential], str, str]] = {
        "PyTorch": (_mlp, RED, ":s"),
        "orthogonal": (_orthogonal, BLUE, "--o"),
        "initialize": (_initialized, GREEN, "-^"),
    }
    sizes, missed, resized = {}, {}, {}
    for kind, (draw, _, _) in kinds.items():
        found = np.array(
            [
                [_measured(dataset, draw, depth, seed, inputs, wanted) for seed in range(networks)]
                for depth in DEPTHS
            ]
        )
        sizes[kind], missed[kind], resized[kind] = np.median(found, axis=1).T
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_title("size of the answers after one step,\nin units of the right one", fontsize=12)
    for kind in ("orthogonal", "initialize"):
        left.plot(DEPTHS, sizes[kind], kinds[kind][2], color=kinds[kind][1], markersize=5)
    left.set_yscale("log", base=2)
    left.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _say(left, (3.4, 4.0), "orthogonal, gain √2:\ndoubles with each layer", BLUE, ha="right")
    _say(left, (6, 0.8), "drawn by initialize", GREEN, ha="right")
    right.set_title("squared error of the answers,\nas a share of their mean square", fontsize=12)
    for kind, (_, color, style) in kinds.items():
        right.plot(DEPTHS, missed[kind], style, color=color, markersize=5)
    right.plot(DEPTHS, resized["orthogonal"], "-.D", color=ORANGE, markersize=5)
    right.axhline(0.004, color="black", linewidth=0.8)
    right.set_yscale("log")
    _say(right, (6, 0.009), "limit of diagnose, 0.4%", "black", ha="right")
    _say(right, (1, 70), "as PyTorch draws it", RED, ha="left")
    _say(right, (6, 1.2), "orthogonal, gain √2,\nthe plain step", BLUE, ha="right")
    _say(right, (4.95, 0.0016), "orthogonal, step resized", ORANGE, ha="right")
    _say(right, (6, 2e-5), "drawn by initialize", GREEN, ha="right")
    for plot in (left, right):
        plot.set_xlabel("hidden layers")
        _plain(plot)
    return figure


def _measured(
    dataset: DistilledDataset,
    draw: Callable[[DistilledDataset, int], nn.Sequential],
    depth: int,
    seed: int,
    inputs: torch.Tensor,
    wanted: torch.Tensor,
) -> tuple[float, float, float]:
    """Of a network: size of what the plain step teaches, share missed, and that after train's."""
    torch.manual_seed(seed)
    network = draw(dataset, depth)
    resized = dataset.diagnose(network).disagreement
    with torch.no_grad():
        before = network(inputs)
    rows, rate = (dataset.observations, dataset.targets), dataset.spec.inner.learning_rate
    train_one_step(network, *rows, rate)
    with torch.no_grad():
        answers = network(inputs)
    size = float(((answers - before) * wanted).sum() / wanted.square().sum())
    return size, float((answers - wanted).square().sum() / wanted.square().sum()), resized


def _say(plot: Axes, place: tuple[float, float], text: str, color: str, ha: str) -> None:
    plot.text(*place, text, color=color, fontsize=10, ha=ha, va="center")


def _plain(plot: Axes) -> None:
    plot.spines[["top", "right"]].set_visible(False)
    plot.grid(alpha=0.25)


def main(arguments: Arguments) -> None:
    """Draw them, one after the other."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    cartpole, hopper = load_distilled("cartpole_2d", instances=3), load_distilled("hopper-min")
    figures = {
        "rows": rows_of_a_set(cartpole),
        "one-step": one_step(cartpole, arguments.networks),
        "depth": depth_matters(hopper, arguments.networks),
    }
    for name, figure in figures.items():
        path = arguments.output / f"{name}.png"
        figure.savefig(path, dpi=120, metadata={"Software": None})
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
