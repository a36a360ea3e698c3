"""The third tab: what a dataset's networks get, beside PPO that learned in the environment itself.

The numbers were measured before, and come with the package: those of datasets in their specs, those
of PPO in ``comparison.json``, which ``examples/readme_tables.py`` writes from stored results.
"""

import functools
import html
import json
from importlib import resources
from typing import Any

from distilled_envs.catalog import Entry
from distilled_envs.demo.drawings import Curve, curves
from distilled_envs.demo.words import as_html
from distilled_envs.formatting import written_score
from distilled_envs.spec import DistillationSpec

ONE_STEP = "one gradient step"
_TRAININGS = {
    "one_step": ONE_STEP,
    "one_step_256x256": "one gradient step, networks of width 256",
    "one_step_gains-1": "one gradient step, all gains 1",
    "one_step_xavier": "one gradient step, Xavier",
    "one_step_pytorch": "one gradient step, as PyTorch draws networks",
    "adam_to_convergence": "Adam on the rows, until nothing changes",
    "sb3_ppo_on_bandit": "PPO on the distilled environment",
}
"""Ways to train on the rows, by their key in a spec's evaluation."""


def task_of(spec: DistillationSpec) -> str:
    """What stands for an environment in ``comparison.json``."""
    return " ".join([spec.env.id, *(f"{k}={v}" for k, v in sorted(spec.env.kwargs.items()))])


def comparison_page(entry: Entry) -> str:
    """The comparison of a dataset as HTML."""
    spec = entry.spec
    mode = spec.shown_by
    own = spec.evaluation.get("one_step", {}).get(mode)
    measured = _measured().get(task_of(spec))
    rows = [
        (name, scores[mode], "the rows alone")
        for key, name in _TRAININGS.items()
        if mode in (scores := spec.evaluation.get(key, {}))
    ]
    for player in measured["players"] if measured else ():
        rows.append((player["name"], player, _taken(player, spec)))
    body = "".join(
        f"<tr><th scope='row'>{html.escape(name)}<br><small>{html.escape(taken)}</small></th>"
        f"<td>{written_score(score)}</td></tr>"
        for name, score, taken in rows
    )
    table = (
        "<table><thead><tr><th scope='col'>who, and learned from what</th>"
        f"<th scope='col'>return</th></tr></thead><tbody>{body}</tbody></table>"
    )
    parts = [
        f"<p>{as_html(_intro(spec, measured))}</p>",
        f'<div class="de-table">{table}</div>',
    ]
    if measured and own:
        lines = [
            Curve(player["name"], player["curve"]["steps"], player["curve"]["returns"])
            for player in measured["players"]
            if "curve" in player
        ]
        if lines:
            label = f"return of PPO over environment steps, beside {spec.name}'s one step"
            parts.append(f"<h4>While PPO learns</h4>{curves(lines, own['mean'], ONE_STEP, label)}")
    return "".join(parts)


def _intro(spec: DistillationSpec, measured: dict[str, Any] | None) -> str:
    actions = "sampled" if spec.shown_by == "sampled" else "the likeliest"
    said = (
        f"Mean returns of {actions} actions in the real environment, ± the standard deviation "
        "between networks, as measured before this page was made."
    )
    if measured is None:
        return (
            f"{said} PPO was not measured there: `distilled-envs compare {spec.name}` does it, in "
            "about an hour of a processor."
        )
    return f"{said} PPO learned in {spec.env.id} itself."


def _taken(player: dict[str, Any], spec: DistillationSpec) -> str:
    """What a player learned from, and when it was as good as the networks of this dataset."""
    if "steps" not in player:
        return "nothing"
    said = f"{player['steps']:,} steps of the environment"
    if player["sha256"] not in spec.files.values():
        return said
    reached = player["reaches"]
    if reached is None:
        return f"{said}; never as good as the one step"
    if reached.startswith("0 steps"):
        return f"{said}; as good as the one step from the start"
    return f"{said}; as good as the one step after {reached}"


@functools.cache
def _measured() -> dict[str, Any]:
    content = resources.files(__package__).joinpath("comparison.json").read_text("utf-8")
    return json.loads(content)
