"""The report of a study of which networks learn from a dataset."""

import json
from pathlib import Path
from typing import Any

from distilled_envs.errors import SettingsError
from distilled_envs.studies.figures import score_bars
from distilled_envs.studies.generalization import TRAININGS
from distilled_envs.studies.reports import score_cell, write_report


def read_results(folder: Path) -> dict[str, Any] | None:
    """The results in a report's folder; None if there are none.

    Raises:
        SettingsError: The file is not the results of such a study.
    """
    file = folder / "results.json"
    if not file.exists():
        return None
    try:
        results = json.loads(file.read_text())
        if all(isinstance(results[part], dict) for part in ("dataset", "settings", "families")):
            return results
    except (ValueError, KeyError, TypeError):
        pass
    raise SettingsError(f"{file} is no result of this study: choose another --output.")


def write_generalization(
    folder: Path,
    results: dict[str, Any],
    *,
    as_html: bool = False,
    env: bytes | None = None,
    command: str | None = None,
) -> None:
    """Write a study's report: a table and a figure of the likeliest actions' returns.

    Args:
        folder: Where; what is there is replaced.
        results: What :func:`~.generalization.generalize` returns.
        as_html: Also write it as one HTML file.
        env: A picture of the environment for that file, a PNG.
        command: The shell command that asked for it.
    """
    learners, episodes = results["settings"].values()
    name = results["dataset"]["name"]
    scores = {
        kind: {way: each[way]["greedy"] for way in TRAININGS if way in each}
        for kind, each in results["families"].items()
    }
    write_report(
        folder,
        f"{name}: which networks learn from it",
        results,
        generalization_table(results),
        [
            f"Mean return in {results['dataset']['env']} ± standard deviation between networks: "
            f"{learners} of each kind, {episodes} episode{'s' * (episodes > 1)}, likeliest "
            "actions. One step: as the networks come; initialize: one step after "
            "dataset.initialize; fit: dataset.fit."
        ],
        {"networks": score_bars(scores)},
        as_html=as_html,
        env=env,
        command=command,
    )


def generalization_table(results: dict[str, Any]) -> list[list[str]]:
    """The results with the likeliest actions as rows of cells, the first the head."""
    families = results["families"]
    shown = [name for name in TRAININGS if any(name in each for each in families.values())]
    rows = [["networks", *shown]]
    for kind, trained in families.items():
        cells = [score_cell(trained[name]["greedy"]) if name in trained else "-" for name in shown]
        rows.append([kind, *cells])
    return rows
