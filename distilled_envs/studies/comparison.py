"""One-step learners beside Stable-Baselines3: same machine, same seeds, same evaluation.

A comparison is a list of parts, one player with one seed each. A part is kept as soon as it is
finished, so that an interrupted comparison goes on where it was.
"""

import dataclasses
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distilled_envs.bars import tqdm
from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.making import ending
from distilled_envs.envs.real import make_bare_env
from distilled_envs.errors import SettingsError
from distilled_envs.evaluation import EVALUATION_SEED, Score
from distilled_envs.formatting import in_a_line, written
from distilled_envs.learners.threads import torch_threads
from distilled_envs.records import read_json
from distilled_envs.storage.files import alone_in, atomic_path, given_path, is_taken, make_folder
from distilled_envs.storage.folder import ROWS_FILE
from distilled_envs.studies.drop_in import PPO_STEPS, train_ppo_on_bandit, train_with_adam
from distilled_envs.studies.sb3 import check_fits, learn, make_model
from distilled_envs.studies.warm_start import can_start_warm, make_warm_model
from distilled_envs.studies.zoo import ZOO, Recipe

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback

Progress = Callable[[int, float], None]
Part = tuple[str, int]
"""A player and its seed."""


@dataclass(frozen=True)
class ComparisonSettings:
    """What is compared, and for how long.

    Attributes:
        steps: Environment steps of each baseline.
        evaluations: How often a baseline plays along the way.
        episodes: Episodes each time, and of each network that was trained on the rows.
        seeds: Runs of each baseline, and networks of each kind that is trained on the rows.
        learners: Fresh networks that take the one step, and episodes of random actions.
        baselines: SB3's algorithms, from scratch with their default settings.
    """

    steps: int = 300_000
    evaluations: int = 20
    episodes: int = 10
    seeds: int = 3
    learners: int = 100
    baselines: tuple[str, ...] = ("ppo",)

    def __post_init__(self) -> None:
        for name in ("steps", "evaluations", "episodes", "seeds", "learners"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}.")


def compare(
    dataset: DistilledDataset,
    output: str | Path,
    settings: ComparisonSettings | None = None,
    *,
    progress: bool = True,
) -> dict[str, Any]:
    """Run a comparison, or what is left of it.

    Args:
        dataset: The distilled dataset.
        output: Folder that keeps the parts; one that holds parts of the same comparison goes on.
        settings: What is compared; more seeds and other baselines may be added later.
        progress: Whether to show a progress bar.

    Returns:
        The results; see :func:`summarize`.

    Raises:
        SettingsError: A baseline does not fit the environment, or the folder holds another
            comparison.
        StorageError: The folder can't be written, or another comparison goes on there.
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    settings, output = settings or ComparisonSettings(), given_path(output)
    probe = make_bare_env(dataset.spec)
    for algorithm in settings.baselines:
        check_fits(algorithm, probe.action_space)
    probe.close()
    _check_claim(output, dataset, settings)
    with alone_in(output):
        _claim(output, dataset, settings)
        parts = _parts(dataset, settings)
        finished = {part: output / "parts" / f"{part[0]}-{part[1]}.json" for part in parts}
        unfinished = [part for part in parts if not finished[part].exists()]
        total = settings.steps * sum(_is_rl(player, settings) for player, _ in unfinished)
        with tqdm(total=total, unit=" steps", dynamic_ncols=True, disable=not progress) as bar:
            for player, seed in unfinished:
                bar.set_description_str(f"{dataset.spec.name}: {player}, seed {seed}")
                start = bar.n

                def report(step: int, mean: float, start: int = start) -> None:
                    bar.set_postfix_str(f"return {written(mean)}", refresh=False)
                    bar.update(start + min(step, settings.steps) - bar.n)

                with torch_threads(1):  # small networks gain nothing from more
                    record = _run(dataset, settings, player, seed, report)
                with atomic_path(finished[player, seed]) as path:
                    path.write_text(json.dumps(record) + "\n")
    records = {part: _read(path) for part, path in finished.items()}
    return summarize(dataset, settings, records)


def summarize(
    dataset: DistilledDataset,
    settings: ComparisonSettings,
    records: dict[Part, dict[str, Any]],
) -> dict[str, Any]:
    """What the parts say together.

    Args:
        dataset: The distilled dataset.
        settings: What was compared.
        records: The parts, by player and seed.

    Returns:
        ``dataset``, ``settings``, ``machine``, ``distillation`` (its cost), and ``players``: for
        each its ``score`` over networks; for the one step the ``seconds`` it takes; for those who
        learn by RL the ``curves``, the ``steps`` and ``seconds`` of each seed until it plays as
        well as the one-step learners do on average (None: never within the budget), and
        ``pays_off_after``: the number of trained networks from which on distilling is the quicker
        way, at most so many where ``pays_off_sooner`` (see :func:`pays_off_after`); not for the
        warm start, which needs the dataset.
    """
    trainings = [*_trainings(dataset.spec.provenance)]
    distillation: dict[str, Any] = {
        "env_steps": sum(each.get("env_steps") or 0 for each in trainings) or None,
        "seconds": round(sum(each.get("wall_seconds") or 0.0 for each in trainings), 1),
    }
    players: dict[str, Any] = {}
    for player in dict.fromkeys(player for player, _ in records):
        runs = [record for (who, _), record in records.items() if who == player]
        if "curve" not in runs[0]:
            returns = np.concatenate([run["returns"] for run in runs])
            # Random actions are one policy: its episodes are the units.
            players[player] = {"score": Score.of(returns).to_dict()}
        else:
            last = np.array([run["curve"]["returns"][-1] for run in runs])
            players[player] = {
                "score": Score.of(last).to_dict(),
                "curves": [run["curve"] for run in runs],
            }
        if "seconds" in runs[0]:
            players[player]["seconds"] = float(np.median([run["seconds"] for run in runs]))
    goal, one = players["one_step"]["score"]["mean"], players["one_step"]["seconds"]
    for name, player in players.items():
        if "curves" in player:
            reached = [_reach(curve, goal) for curve in player["curves"]]
            player["reaches"] = {
                "steps": [None if r is None else r[0] for r in reached],
                "seconds": [None if r is None else r[1] for r in reached],
            }
            if name == "ppo-warm":  # it needs the dataset itself
                continue
            player["pays_off_after"], player["pays_off_sooner"] = pays_off_after(
                player, distillation["seconds"], one
            )
    return {
        "dataset": {
            "name": dataset.spec.name,
            "rows": len(dataset),
            "env": dataset.spec.env.id,
            "env_kwargs": dataset.spec.env.kwargs,
            "sha256": dataset.spec.files.get(ROWS_FILE),
        },
        "settings": dataclasses.asdict(settings),
        "machine": _machine(),
        "distillation": distillation,
        "players": players,
    }


def _asked(dataset: DistilledDataset, settings: ComparisonSettings) -> dict[str, Any]:
    """What a comparison is of, as its folder keeps it."""
    asked = json.loads(json.dumps(dataclasses.asdict(settings)))
    return asked | {"dataset": dataset.spec.name, "sha256": dataset.spec.files.get(ROWS_FILE)}


def _check_claim(output: Path, dataset: DistilledDataset, settings: ComparisonSettings) -> None:
    """Refuse a folder of something else, and of another comparison."""
    asked, file = _asked(dataset, settings), output / "comparison.json"
    if file.exists():
        before = _read(file)
        may_change = {"seeds", "baselines"}
        changed = [
            f"{key} {before.get(key)!r} -> {value!r}"
            for key, value in asked.items()
            if before.get(key) != value and key not in may_change
        ]
        if changed:
            raise SettingsError(
                f"{output} holds another comparison ({'; '.join(changed)}): choose another "
                "--output, or the same settings."
            )
    elif is_taken(output):
        raise SettingsError(f"{output} holds something else: choose another --output.")


def _read(file: Path) -> dict[str, Any]:
    """A JSON object of a comparison's folder."""
    try:
        record = read_json(file.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it holds no object")
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"{file} is damaged ({in_a_line(error)}): remove it, and what it held is done again."
        ) from None
    return record


def _claim(output: Path, dataset: DistilledDataset, settings: ComparisonSettings) -> None:
    """Take a folder for a comparison, or find that it is this one's already."""
    _check_claim(output, dataset, settings)
    make_folder(output / "parts")
    with atomic_path(output / "comparison.json") as path:
        path.write_text(json.dumps(_asked(dataset, settings), indent=1) + "\n")


def _parts(dataset: DistilledDataset, settings: ComparisonSettings) -> list[Part]:
    """Cheap ones first; all players of a seed before the next seed."""
    once = [("random", 0), ("one_step", 0)]
    players = ["adam", "bandit", *settings.baselines]
    if dataset.spec.env.name in ZOO:
        players.append("ppo-zoo")
    if can_start_warm(dataset):
        players.append("ppo-warm")
    return once + [(player, seed) for seed in range(settings.seeds) for player in players]


def _is_rl(player: str, settings: ComparisonSettings) -> bool:
    return player in settings.baselines or player.startswith("ppo")


def _run(
    dataset: DistilledDataset,
    settings: ComparisonSettings,
    player: str,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """One part: ``returns`` (networks, episodes) or a ``curve``, with the likeliest actions."""
    spec = dataset.spec
    play: dict[str, Any] = {"episodes": settings.episodes, "seed": EVALUATION_SEED + seed}
    if player == "random":
        return {"returns": _random_returns(dataset, settings.learners)}
    if player == "one_step":
        evaluation = dataset.evaluate(learners=settings.learners, episodes=1)
        seconds = np.median([_seconds(dataset.train) for _ in range(20)])
        return {"returns": evaluation.greedy.returns.tolist(), "seconds": float(seconds)}
    if player in ("adam", "bandit"):
        started = time.process_time()
        if player == "adam":
            policy = train_with_adam(dataset, seed=seed)
        else:  # no more steps than in the real environment
            policy = train_ppo_on_bandit(dataset, seed=seed, steps=min(settings.steps, PPO_STEPS))
        seconds = time.process_time() - started
        returns = dataset.evaluate(policy, **play).greedy.returns
        return {"returns": returns.tolist(), "seconds": seconds}
    model: BaseAlgorithm
    callbacks: tuple[BaseCallback, ...]
    ends = spec.replace(env=ending(spec.env))
    callbacks, make_env = (), lambda: make_bare_env(ends)
    if player == "ppo-warm":
        make_env = dataset.make_env
        model, callbacks = make_warm_model(dataset, seed)
    elif player == "ppo-zoo":
        model = make_model("ppo", make_env, ZOO[spec.env.name], seed)
    else:
        model = make_model(player, make_env, Recipe(), seed)
    curve = learn(
        model,
        make_env,
        steps=settings.steps,
        evaluations=settings.evaluations,
        **play,
        progress=progress,
        callbacks=callbacks,
    )
    return {"curve": curve}


def _trainings(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that went into a dataset: its own run, refits of it, and what taught it."""
    yield made
    for kind in ("refit", "before", "teacher"):
        if made.get(kind) is not None:
            yield from _trainings(made[kind])


def _random_returns(dataset: DistilledDataset, episodes: int) -> list[list[float]]:
    env = make_bare_env(dataset.spec.replace(env=ending(dataset.spec.env)))
    env.action_space.seed(EVALUATION_SEED)
    returns = []
    for episode in range(episodes):
        env.reset(seed=EVALUATION_SEED + episode)
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return [returns]


def _seconds(function: Callable[[], Any]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


def pays_off_after(player: dict[str, Any], cost: float, one: float) -> tuple[int | None, bool]:
    """How many trained networks take as long as the distillation and their one steps.

    A seed that never gets there takes longer than its budget. Where that decides, the number is a
    bound: with a larger budget it could only be smaller.

    Args:
        player: With ``curves`` and ``reaches``.
        cost: Seconds of the distillation.
        one: Seconds of one step.

    Returns:
        The number, None where training takes no longer than a step; and whether it is a bound.
    """
    reached = player["reaches"]["seconds"]
    budgets = [curve["seconds"][-1] for curve in player["curves"]]
    # The median seed, or the two; those that never get there are the slowest.
    seeds = sorted(
        zip(reached, budgets, strict=True),
        key=lambda seed: math.inf if seed[0] is None else seed[0],
    )
    middle = seeds[(len(seeds) - 1) // 2 : len(seeds) // 2 + 1]
    spare = np.mean([budget if there is None else there for there, budget in middle]) - one
    after = max(1, math.ceil(cost / spare)) if spare > 0 else None
    return after, any(there is None for there, _ in middle)


def _reach(curve: dict[str, list[Any]], goal: float) -> tuple[int, float] | None:
    """Steps and seconds at the first evaluation with a mean return of at least ``goal``."""
    means = np.mean(curve["returns"], axis=1)
    first = int(np.argmax(means >= goal))
    return (curve["steps"][first], curve["seconds"][first]) if means[first] >= goal else None


def _machine() -> dict[str, Any]:
    packages = ("gymnasium", "stable-baselines3", "torch")
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in packages},
    }
