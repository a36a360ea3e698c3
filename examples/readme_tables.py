"""Write the tables of README.md and docs/ anew, from the datasets' specs and from results/.

What is known of PPO is also written into the package, for the page of `distilled-envs demo`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; `--check` only says whether all of
them are up to date.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import error_sentences
import numpy as np
import tyro

from distilled_envs.catalog import Entry, entries
from distilled_envs.demo.comparison import task_of
from distilled_envs.formatting import written, written_score
from distilled_envs.hub.baselines import AUTHORS, RANDOM, baselines
from distilled_envs.hub.baselines import PPO as PUBLISHED
from distilled_envs.spec import DistillationSpec
from distilled_envs.studies.comparison_report import gets_there, label, pays_off
from distilled_envs.studies.drop_in import share_of_own
from distilled_envs.studies.generalization import OWN, TRAININGS
from distilled_envs.studies.reports import markdown_table, score_cell

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
SHIPPED = ROOT / "distilled_envs" / "demo" / "comparison.json"

SUMMARY = {
    "cartpole-nd-2d-min": "2-D cart-pole",
    "cartpole-nd-5d-min": "5-D cart-pole",
    "swimmer-min": "Swimmer",
    "hopper-min": "Hopper",
    "halfcheetah-encoder": "HalfCheetah",
    "walker2d-min": "Walker2d",
    "ant-encoder": "Ant",
    "humanoid-min": "Humanoid",
    "reacher-encoder": "Reacher",
    "pong-level4": "Pong",
    "breakout-level4": "Breakout",
    "spaceinvaders-level4": "Space Invaders",
}
"""Datasets and environments of the README's table."""

CONSTANT = "best constant action"
GAMES = {
    "ALE/Pong-v5": {RANDOM: -20.1, CONSTANT: -21.0},
    "ALE/Breakout-v5": {RANDOM: 1.0, CONSTANT: 0.0},
    "ALE/MsPacman-v5": {RANDOM: 247.5, CONSTANT: 210.0},
    "ALE/Centipede-v5": {CONSTANT: 10_195.0},  # RIGHTFIRE, 60 whole games
    # The authors' set has an encoder of level 3.
    "ALE/SpaceInvaders-v5": {RANDOM: 130, CONSTANT: 285.0, AUTHORS: 1_536},
}
"""What others get; at random and by one action by :func:`distilled_envs.evaluation.yardsticks`."""

ZOO = {
    "CartPole-v1": 500.0,
    "Acrobot-v1": -73.5,
    "MountainCar-v0": -110.4,
    "MountainCarContinuous-v0": 88.3,
    "Pendulum-v1": -172.2,
    "LunarLander-v3": 242.1,
    "LunarLanderContinuous-v3": 270.9,
    "BipedalWalker-v3": 213.3,
    "Swimmer-v5": 281.6,
    "Hopper-v5": 2_410.4,
    "HalfCheetah-v5": 5_819.1,
}
"""PPO's returns in benchmark.md of RL Baselines3 Zoo, some for earlier versions."""

PPO = "SB3's PPO, 100,000 steps on the id"

OTHERS = (
    *(f"gymnasium.envs.{each}." for each in ("classic_control", "box2d", "toy_text")),
    "minatar.",
)
"""Packages of the environments whose datasets the default command made."""

MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
"""A table in its place."""


@dataclass
class Arguments:
    """Write the tables of README.md and docs/ from the stored results."""

    check: bool = False
    """Change nothing; exit with status 1 if a table is out of date."""


def main(arguments: Arguments) -> None:
    """Write the tables, or check them."""
    pages = [ROOT / "README.md", *sorted((Path(__file__).parent / "docs").glob("*.md"))]
    before = {page: page.read_text() for page in pages}
    places = [found[2] for text in before.values() for found in MARKED.finditer(text)]
    if sorted(places) != sorted(TABLES):
        sys.exit(
            "Each table has one place, in README.md or on a page of examples/docs/. The tables are "
            f"{', '.join(sorted(TABLES))}; the places are {', '.join(sorted(places))}."
        )
    for page, text in before.items():
        after = MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)
        if after != text and arguments.check:
            sys.exit(f"A table of {page} is out of date: run examples/readme_tables.py.")
        if after != text:
            page.write_text(after)
    shipped = json.dumps(known_of_ppo(), indent=1) + "\n"
    if SHIPPED.read_text() != shipped:
        if arguments.check:
            sys.exit(f"{SHIPPED} is out of date: run examples/readme_tables.py.")
        SHIPPED.write_text(shipped)
    print(f"{len(TABLES)} tables are up to date")


def stored(kind: str) -> Iterator[dict[str, Any]]:
    """The results of one kind, by the name of their folder."""
    for path in sorted(RESULTS.glob(f"{kind}-*/results.json")):
        yield json.loads(path.read_text())


def datasets(*packages: str) -> str:
    """What the shipped datasets teach, of environments from some packages."""
    return results_table(e for e in entries() if e.spec.env.entry_point.startswith(packages))


def results_table(listed: Iterable[Entry]) -> str:
    """Datasets and their measured returns as a Markdown table."""
    trainings = {
        "one_step": "one step",
        "one_step_256x256": "width 256",
        "adam_to_convergence": "Adam",
        "sb3_ppo_on_bandit": "PPO",
    }
    listed = [*listed]
    tried = set().union(*(entry.spec.evaluation for entry in listed))
    trainings = {key: name for key, name in trainings.items() if key in tried}
    rows = [["dataset", "rows", *trainings.values()]]
    for entry in listed:
        cells = [f"`{entry.spec.name}`", str(entry.instances)]
        for training in trainings:
            scores = entry.spec.evaluation.get(training)
            modes = [] if scores is None else [scores["sampled"], scores["greedy"]]
            cells.append(" / ".join(map(written_score, modes)) or "-")
        rows.append(cells)
    return markdown_table(rows)


def games() -> str:
    """What the shipped datasets of Atari games teach."""
    rows = [
        ["dataset", "rows", "one step", "sticky actions", "likeliest actions", "constant action"]
    ]
    for entry in entries():
        spec = entry.spec
        if spec.preprocessing != "atari":
            continue
        cells = []
        for training in ("one_step", "one_step_sticky"):
            scores = spec.evaluation.get(training)
            modes = [] if scores is None else [scores["sampled"], scores["greedy"]]
            cells.append(" / ".join(map(written_score, modes)) or "-")
        shares = spec.evaluation["one_step"].get("actions", [])
        used = sum(share >= 0.01 for share in shares)
        cells.append(f"{used} of {len(shares)}, one in {max(shares):.0%}" if shares else "-")
        constant = GAMES.get(spec.env.id, {}).get(CONSTANT)
        cells.append("-" if constant is None else brief(constant))
        rows.append([f"`{spec.name}`", str(entry.instances), *cells])
    return markdown_table(rows)


def summary() -> str:
    """The best known tasks, one dataset each."""
    by_name = {entry.spec.name: entry for entry in entries()}
    from_scratch: dict[Any, float] = {}
    for results in stored("compare"):
        players = results["players"]
        means = [players[each]["score"]["mean"] for each in ("ppo", "ppo-zoo") if each in players]
        task = results["dataset"]["env"], *results["dataset"]["env_kwargs"].items()
        from_scratch[task] = max(means)
    # What counts comes first: a phone shows three columns.
    rows = [["environment", "one step", "PPO", "random play", "authors' rows", "rows"]]
    for name, environment in SUMMARY.items():
        entry = by_name[name]
        task = entry.spec.env.id, *entry.spec.env.kwargs.items()
        others = GAMES.get(entry.spec.env.id) or baselines(entry.spec.env)
        known = [value for value in (from_scratch.get(task), others.get(PUBLISHED)) if value]
        players = others.get(RANDOM), max(known, default=None), others.get(AUTHORS)
        random, ppo, authors = ("-" if each is None else brief(each) for each in players)
        score = entry.spec.evaluation["one_step"][entry.spec.shown_by]
        one_step = f"**{brief(score['mean'])} ± {brief(score['std'])}**"
        rows.append([environment, one_step, ppo, random, authors, str(entry.instances)])
    return markdown_table(rows)


def brief(value: float) -> str:
    """A return to read others beside."""
    return f"{value:,.1f}" if abs(value) < 50 and value % 1 else f"{value:,.0f}"


def comparisons() -> str:
    """One-step learners beside SB3's PPO."""
    players = ("one_step", "ppo", "ppo-zoo", "ppo-warm", "random")
    rows = [
        ["dataset", *(label(each) for each in players), "PPO gets there after", "pays off after"]
    ]
    for results in stored("compare"):
        found = results["players"]
        cells = [score_cell(found[each]["score"]) if each in found else "-" for each in players]
        scratch = [found[each] for each in ("ppo", "ppo-zoo") if each in found]
        name = f"`{results['dataset']['name']}`"
        rows.append(
            [
                name,
                *cells,
                " / ".join(gets_there(each) or "never" for each in scratch),
                " / ".join(pays_off(each) for each in scratch),
            ]
        )
    return markdown_table(rows)


def known_of_ppo() -> dict[str, Any]:
    """What random play and PPO get, by environment, of the comparisons."""
    known: dict[str, Any] = {}
    by_name = {entry.spec.name: entry for entry in entries()}
    for results in stored("compare"):
        players = []
        for name in ("random", "ppo", "ppo-zoo", "ppo-warm"):
            if (found := results["players"].get(name)) is None:
                continue
            player = {"name": label(name), **{k: found["score"][k] for k in ("mean", "std")}}
            if "curves" in found:
                runs = found["curves"]
                returns = np.mean([np.mean(run["returns"], axis=1) for run in runs], axis=0)
                player |= {
                    "steps": runs[0]["steps"][-1],
                    "reaches": gets_there(found),
                    "sha256": results["dataset"]["sha256"],
                    "curve": {"steps": runs[0]["steps"], "returns": returns.round(1).tolist()},
                }
            players.append(player)
        known[task_of(by_name[results["dataset"]["name"]].spec)] = {"players": players}
    return known


def generalization() -> str:
    """Which networks learn, by each training; of the datasets on which all kinds were tried."""
    studies = [each for each in stored("generalize") if "one step" in each["families"].get(OWN, {})]
    kinds = dict.fromkeys(kind for study in studies for kind in study["families"])
    rows = [["networks", *(f"`{study['dataset']['name']}`" for study in studies)]]
    for kind in kinds:
        found = [study["families"].get(kind, {}) for study in studies]
        rows.append(
            [
                kind,
                *(
                    " / ".join(
                        score_cell(each[training]["greedy"]) if training in each else "-"
                        for training in TRAININGS
                    )
                    for each in found
                ),
            ]
        )
    return markdown_table(rows)


DEPTHS = ("depth 0", "depth 1", OWN, "depth 3", "depth 4", "depth 5")
WIDTHS = ("width 32", OWN, *(f"width {units}" for units in (128, 256, 512, 1024)))
EVERY_NETWORK: dict[str, tuple[str, tuple[str, ...]]] = {
    "`fit`: tanh 64, as PyTorch draws it": ("fit", ("PyTorch's default",)),
    "`fit`: three ReLU layers of 256": ("fit", ("three ReLU layers of 256",)),
    "`fit`: LayerNorm": ("fit", ("LayerNorm",)),
    "`fit`: LSTM": ("fit", ("LSTM",)),
    "`initialize`, one step: depths 0 to 5": ("initialize", DEPTHS),
    "`initialize`, one step: widths 32 to 1,024": ("initialize", WIDTHS),
    "`initialize`, one step: GELU": ("initialize", ("GELU",)),
    "`initialize`, one step: SiLU": ("initialize", ("SiLU",)),
    "`initialize`, one step: ReLU": ("initialize", ("ReLU",)),
}
"""Ways to a policy, and which kinds of networks took them."""
GROUPS = dict.fromkeys(
    EVERY_NETWORK, "`fit`: PyTorch's tanh 64, three ReLU layers of 256, LayerNorm, LSTM"
)
GROUPS |= dict.fromkeys(
    [*EVERY_NETWORK][4:7], "`initialize`, one step: depths 0 to 5, widths 32 to 1,024, GELU"
)
GROUPS |= dict.fromkeys([*EVERY_NETWORK][7:], "`initialize`, one step: ReLU, SiLU")
GROUPS[PPO] = "SB3's PPO, default settings, 100,000 steps on the id"
"""Rows of the README's table, by way."""
ANY = "one step on `-any` datasets: networks as PyTorch draws them, Xavier's, gains of 1"
FIT_GAME = "`fit` of an IMPALA-style CNN, from play"


def share(spec: DistillationSpec, score: dict[str, Any]) -> float:
    """A score's part of a dataset's own return, with the likeliest actions; 0 of another sign."""
    own = spec.evaluation["one_step"]["greedy"]["mean"]
    return share_of_own(score["greedy"]["mean"], own) or 0.0


def shares() -> dict[str, dict[str, list[float]]]:
    """What each way keeps of a dataset's own return, by dataset and way; one for each kind."""
    studies = {study["dataset"]["name"]: study for study in stored("generalize")}
    found: dict[str, dict[str, list[float]]] = {}
    for spec in (entry.spec for entry in entries()):
        study = studies.get(spec.name)
        if study is not None and study["dataset"]["sha256"] not in spec.files.values():
            sys.exit(f"{spec.name} has other rows than the study of networks on it: run it again.")
        families = {} if study is None else study["families"]
        ppo = spec.evaluation.get("sb3_ppo_on_bandit")
        if ppo is not None and ppo["steps"] != 100_000:
            sys.exit(f"{spec.name} has a score of PPO after {ppo['steps']:,} steps, not 100,000.")
        if not families and ppo is None:
            continue
        found[spec.name] = {
            way: [
                share(spec, families[kind][training])
                for kind in kinds
                if training in families.get(kind, {})
            ]
            for way, (training, kinds) in EVERY_NETWORK.items()
        }
        found[spec.name][PPO] = [] if ppo is None else [ppo["share_of_one_step"]]
    return found


def every_network() -> str:
    """What groups of ways keep of the datasets' own returns: the mean, and the worst case.

    On cart-pole of all datasets; on MuJoCo each environment has one, of which the way keeps most.
    """
    found: dict[str, dict[str, list[float]]] = {"cart-pole": {}, "MuJoCo": {}, "games": {}}
    env_ids = {entry.spec.name: entry.spec.env.id for entry in entries()}
    best: dict[tuple[str, str], tuple[float, list[float]]] = {}
    for name, ways in shares().items():
        for way, kept in ways.items():
            if name.startswith("cartpole"):
                found["cart-pole"].setdefault(GROUPS[way], []).extend(kept)
            elif kept:
                task = (env_ids[name], way)
                best[task] = max(best.get(task, (0.0, [])), (sum(kept) / len(kept), kept))
    for (_, way), (_, kept) in best.items():
        found["MuJoCo"].setdefault(GROUPS[way], []).extend(kept)
    for entry in entries():
        for family in entry.spec.families[1:]:
            score = entry.spec.evaluation[f"one_step_{family}"]
            found["cart-pole"].setdefault(ANY, []).append(share(entry.spec, score))
    for results in stored("fit"):
        spec = next(each.spec for each in entries() if each.spec.name == results["dataset"])
        found["games"].setdefault(FIT_GAME, []).append(share(spec, results))
    rows = [["way to a policy", *found]]
    for way in (*dict.fromkeys(GROUPS.values()), ANY, FIT_GAME):
        cells = []
        for group in found.values():
            kept = group.get(way, [])
            least = f"{sum(kept) / max(len(kept), 1):.2f}, least {min(kept, default=0):.2f}"
            cells.append(least if kept else "")
        rows.append([way, *cells])
    return markdown_table(rows)


def every_dataset() -> str:
    """The same for each dataset: of several kinds the least."""
    rows = [["dataset", *EVERY_NETWORK, PPO]]
    for name, ways in shares().items():
        cells = [f"{min(kept):.2f}" if kept else "-" for kept in ways.values()]
        rows.append([f"`{name}`", *cells])
    return markdown_table(rows)


def any_initialization() -> str:
    """The datasets that teach several families in one step."""
    listed = [each for each in entries() if each.for_any_initialization]
    families = dict.fromkeys(family for each in listed for family in each.spec.families)
    rows = [["dataset", "rows", *families]]
    for entry in listed:
        cells = []
        for family in families:
            own = family == entry.spec.families[0]
            found = entry.spec.evaluation["one_step" if own else f"one_step_{family}"]
            cells.append(f"{score_cell(found['sampled'])} / {score_cell(found['greedy'])}")
        rows.append([f"`{entry.spec.name}`", str(entry.instances), *cells])
    return markdown_table(rows)


def warm_starts() -> str:
    """PPO from the one-step policy, and from scratch."""
    rows = [["dataset", "PPO", "at the start", "half way", "at the end"]]
    for results in stored("warm-start"):
        for name, scores in results["scores"].items():
            steps = f"`{results['name']}`, {results['steps']:,} steps"
            rows.append([steps, name, *map(score_cell, scores)])
    return markdown_table(rows)


def environments() -> str:
    """What the default command makes of each environment, beside PPO."""
    columns = "environment, one step, rows, way, seconds, random play, PPO of the same steps"
    rows = [[*columns.split(", "), "RL Zoo's PPO"]]
    for env_id, found in json.loads((RESULTS / "environments.json").read_text()).items():
        name, ppo = env_id.split(":")[-1], found.get("ppo")
        steps = f", {ppo['steps']:,} steps" if ppo else ""
        rows.append(
            [
                f"`{name}`",
                written_score(found["one_step"]),
                str(found["rows"]),
                found["way"].partition(", from which networks")[0],
                f"{found['seconds']:.0f}",
                written(found["random"]),
                f"{written_score(ppo)}{steps}" if ppo else "-",
                f"{ZOO[name]:,.1f}" if name in ZOO else "-",
            ]
        )
    return markdown_table(rows)


TABLES: dict[str, Callable[[], str]] = {
    "summary": summary,
    "cart-pole": lambda: datasets("distilled_envs."),
    "MuJoCo": lambda: datasets("gymnasium.envs.mujoco"),
    "Atari": games,
    "others": lambda: datasets(*OTHERS),
    "compare": comparisons,
    "generalize": generalization,
    "every network": every_network,
    "every dataset": every_dataset,
    "any initialization": any_initialization,
    "warm start": warm_starts,
    "environments": environments,
} | {f"errors {kind}": partial(error_sentences.table_of, kind) for kind in error_sentences.KINDS}

if __name__ == "__main__":
    main(tyro.cli(Arguments))
