"""The pictures of a dataset card: the rows as a heat map, and the curve of the training."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from distilled_envs.dataset import DistilledDataset
from distilled_envs.reports import drawn


def pictures(dataset: DistilledDataset) -> dict[str, bytes]:
    """PNG files by what they show: ``rows`` and, if the provenance has it, ``curve``."""
    drawn = {"rows": _heat_map(dataset)}
    curve = dataset.spec.provenance.get("training_curve") or {}
    if curve.get("return"):
        drawn["curve"] = _curve(dataset.spec.name, curve)
    return drawn


def _heat_map(dataset: DistilledDataset) -> bytes:
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
    return drawn(figure, "png", dpi=100)


def _curve(name: str, curve: dict[str, Any]) -> bytes:
    figure = Figure(figsize=(6, 3), layout="constrained")
    axis = figure.subplots()
    axis.plot(curve["env_steps"], curve["return"])
    axis.set_xlabel("environment steps of meta-PPO")
    axis.set_ylabel("mean return, sampled actions")
    axis.xaxis.set_major_formatter(EngFormatter())
    axis.grid(alpha=0.3)
    axis.set_title(name, fontsize=10)
    return drawn(figure, "png", dpi=100)
