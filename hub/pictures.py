"""The pictures of a dataset card: the rows, and the curve of the training."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from distilled_envs.dataset import DistilledDataset
from distilled_envs.studies.figures import rows_figure
from distilled_envs.studies.reports import drawn


def pictures(dataset: DistilledDataset) -> dict[str, bytes]:
    """PNG files by what they show: ``rows`` and, if the provenance has it, ``curve``."""
    files = {"rows": drawn(rows_figure(dataset), "png", dpi=100)}
    curve = dataset.spec.provenance.get("training_curve") or {}
    if curve.get("return"):
        files["curve"] = _curve(dataset.spec.name, curve)
    return files


def _curve(name: str, curve: dict[str, Any]) -> bytes:
    figure = Figure(figsize=(6, 3), layout="constrained")
    axis = figure.subplots()
    axis.plot(curve["env_steps"], curve["return"])
    axis.set_xlabel("environment steps of the run")
    axis.set_ylabel("mean return, sampled actions")
    axis.xaxis.set_major_formatter(EngFormatter())
    axis.grid(alpha=0.3)
    axis.set_title(name, fontsize=10)
    return drawn(figure, "png", dpi=100)
