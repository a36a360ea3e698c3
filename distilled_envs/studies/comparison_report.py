"""A comparison as a report: its table, the sentences below it, and its figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distilled_envs.studies.figures import learning_curves
from distilled_envs.studies.reports import markdown_table, score_cell, write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {
    "random": "random actions",
    "one_step": "one gradient step",
    "adam": "Adam on the rows",
    "bandit": "PPO on the distilled environment",
    "ppo": "PPO",
    "ppo-zoo": "PPO, RL Zoo settings",
    "ppo-warm": "PPO from the one-step policy",
}


def write_comparison(
    folder: Path,
    results: dict[str, Any],
    *,
    as_html: bool = False,
    env: bytes | None = None,
    command: str | None = None,
) -> str:
    """Write the report of a comparison; see :func:`~distilled_envs.studies.reports.write_report`.

    Args:
        folder: Where.
        results: From :func:`distilled_envs.studies.comparison.compare`.
        as_html: Also write it as one HTML file.
        env: A picture of the environment for that file, a PNG.
        command: The shell command that asked for it.

    Returns:
        Its table, in Markdown.
    """
    table = comparison_table(results)
    title = f"{results['dataset']['name']} beside Stable-Baselines3"
    write_report(
        folder,
        title,
        results,
        table,
        _notes(results),
        _figures(results),
        as_html=as_html,
        env=env,
        command=command,
    )
    return markdown_table(table)


def comparison_table(results: dict[str, Any]) -> list[list[str]]:
    """The results as rows of cells, the first the head."""
    rows = [
        [
            "player",
            "environment steps",
            "return",
            "one-step return after",
            "distilling pays off after",
        ]
    ]
    for name, player in results["players"].items():
        taken = "0"
        reached = pays = "-"
        if "curves" in player:
            # SB3 finishes the rollout in which the budget ends.
            taken = f"{player['curves'][0]['steps'][-1]:,}"
            reached = gets_there(player) or f"never within {taken} steps"
            if "pays_off_after" in player:
                pays = pays_off(player)
        rows.append([label(name), taken, _cell(player["score"]), reached, pays])
    return rows


def _notes(results: dict[str, Any]) -> list[str]:
    """Sentences that belong below the table."""
    settings, cost = results["settings"], results["distillation"]
    one = results["players"]["one_step"]
    return [
        f"Mean return in {results['dataset']['env']} ± standard deviation between networks, [95% "
        f"interval], likeliest actions: {settings['learners']} networks for the one step (and as "
        f"many episodes of random actions), {settings['seeds']} for the others with "
        f"{settings['episodes']} episodes each.",
        f"One gradient step takes {1000 * one['seconds']:.1f} ms; the distillation before it took "
        f"{cost['seconds']:.0f} s and {cost['env_steps']:,} environment steps, once. It pays off "
        "after as many networks as take that long to train to the same return otherwise, or after "
        "fewer ('at most') where training did not get there within its budget.",
        f"One thread of a machine with {results['machine']['cores']} cores; seconds are its "
        "processor's, of training without the evaluations along the way; the distillation's are "
        "those on the clock.",
    ]


def _figures(results: dict[str, Any]) -> dict[str, "Figure"]:
    """Return over environment steps, and over seconds."""
    players, cost = results["players"], results["distillation"]
    costs = {"steps": cost["env_steps"], "seconds": cost["seconds"]}
    learners = {label(n): each["curves"] for n, each in players.items() if "curves" in each}
    marks = {label(name): players[name]["score"] for name in ("one_step", "random")}
    return {
        f"return-over-{axis}": learning_curves(
            results["dataset"]["env"], learners, axis, marks, {label("one_step"): costs[axis]}
        )
        for axis in costs
    }


def pays_off(player: dict[str, Any]) -> str:
    """After how many trained networks distilling is the quicker way."""
    networks = player["pays_off_after"]
    if networks is None:
        return "never"
    return f"{networks} trained{' at most' * (player['pays_off_sooner'] and networks > 1)}"


def gets_there(player: dict[str, Any]) -> str | None:
    """After how many environment steps and seconds a player is as good as the one step, if ever."""
    seeds = len(player["reaches"]["steps"])
    steps, seconds = (
        [each for each in player["reaches"][unit] if each is not None]
        for unit in ("steps", "seconds")
    )
    if not steps:
        return None
    share = f" ({len(steps)} of {seeds} seeds)" * (len(steps) < seeds)
    return f"{np.median(steps):,.0f} steps, {np.median(seconds):.0f} s{share}"


def label(player: str) -> str:
    """What a player is called in tables and figures."""
    return LABELS.get(player, player.upper())


def _cell(score: dict[str, Any]) -> str:
    interval = score["ci95"]
    bounds = "" if interval is None else f" [{interval[0]:,.1f}, {interval[1]:,.1f}]"
    return score_cell(score) + bounds
