"""What `distilled-envs distill ID` alone makes of many environments, beside PPO.

Each environment is distilled by the default command, and PPO with default settings learns it in as
many steps. What is there already stays, so that the same command goes on after Ctrl-C, and adds
environments that are named.
"""

import json
import logging
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from distilled_envs import DistilledEnvsError
from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.making import ending
from distilled_envs.evaluation.yardsticks import yardsticks
from distilled_envs.storage.files import atomic_path
from distilled_envs.training import AutomaticSettings, distill_any
from distilled_envs.training.world import World, world_of

RESULTS = Path(__file__).parent / "results" / "environments.json"

ENVIRONMENTS = (
    "CartPole-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "LunarLander-v3",
    "LunarLanderContinuous-v3",
    "BipedalWalker-v3",
    "Blackjack-v1",
    "CliffWalking-v1",
    "FrozenLake-v1",
    "Taxi-v4",
    "minatar.gym:MinAtar/Asterix-v1",
    "minatar.gym:MinAtar/Breakout-v1",
    "minatar.gym:MinAtar/Freeway-v1",
    "minatar.gym:MinAtar/Seaquest-v1",
    "minatar.gym:MinAtar/SpaceInvaders-v1",
    "gymnasium_robotics:PointMaze_OpenDense-v3",
    "gymnasium_robotics:PointMaze_UMazeDense-v3",
    "CliffWalkingSlippery-v1",
    "FrozenLake8x8-v1",
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
    "Reacher-v5",
    "Pusher-v5",
    "Swimmer-v5",
    "Hopper-v5",
    "HalfCheetah-v5",
    "Walker2d-v5",
)
"""Classic control, Box2D, toy text, MinAtar, two of Gymnasium-Robotics, and ten that no setting was
chosen by."""


@dataclass
class Arguments:
    """Distill environments by the default command, and set PPO of the same steps beside them."""

    env_ids: tuple[str, ...] = ENVIRONMENTS
    """Gymnasium ids, with the module that registers them before a colon."""
    minutes: float = AutomaticSettings.minutes
    """Of each distillation."""
    ppo_steps: int = 1_000_000
    """Steps of PPO at most; otherwise as many as the distillation took. 0 leaves PPO out."""
    output: Path = Path("runs/environments")
    """Folder of the runs; their datasets stand in it."""
    results: Path = RESULTS
    """File of the results."""
    progress: bool = True
    """Show bars."""


def main(arguments: Arguments) -> None:
    """Distill, score, and write down, one environment after the other."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    for env_id in arguments.env_ids:
        record = _read(arguments.results).get(env_id, {})
        if record.get("minutes") != arguments.minutes:
            record = {}
        try:
            if "one_step" not in record:
                record = _distilled(env_id, arguments)
                _keep(env_id, record, arguments.results)
            steps = min(record["env_steps"], arguments.ppo_steps)
            if steps and "ppo" not in record:
                record["ppo"] = _ppo(world_of(env_id), steps)
                _keep(env_id, record, arguments.results)
        except DistilledEnvsError as error:
            print(f"{env_id}: {error}")
            continue
        print(f"{env_id}: {json.dumps(record)}")


def _distilled(env_id: str, arguments: Arguments) -> dict[str, Any]:
    """What the default command makes of an environment."""
    name = env_id.replace(":", "-").replace("/", "-")
    folder = arguments.output / f"{name}-{arguments.minutes:g}"
    dataset = distill_any(
        AutomaticSettings(env_id, minutes=arguments.minutes),
        folder,
        resume=folder.exists(),
        progress=arguments.progress,
        command=f"distilled-envs distill {env_id}",
    )
    return _described(dataset)


def _described(dataset: DistilledDataset) -> dict[str, Any]:
    spec, beside = dataset.spec, yardsticks(dataset.spec)
    score = spec.evaluation["one_step"]["greedy"]
    return {
        "one_step": {"mean": score["mean"], "std": score["std"]},
        "networks": spec.evaluation["one_step"]["learners"],
        "rows": len(dataset),
        "way": spec.provenance["choice"],
        "env_steps": spec.provenance["env_steps"],
        "seconds": spec.provenance["wall_seconds"],
        "minutes": spec.provenance["settings"]["minutes"],
        "random": round(beside.random, 3),
        "threshold": beside.threshold,
    }


def _ppo(world: World, steps: int) -> dict[str, Any]:
    """What Stable-Baselines3's PPO learns in as many steps: the likeliest actions, 32 episodes."""
    from distilled_envs.studies.sb3 import learn, make_model
    from distilled_envs.studies.zoo import Recipe
    from distilled_envs.training.sb3_envs import teacher_env

    world = replace(world, spec=ending(world.spec))  # an untrained network may walk for ever
    make, started = partial(teacher_env, world), time.monotonic()
    model = make_model("ppo", make, Recipe(), seed=0)
    curve = learn(model, make, steps=steps, evaluations=1, episodes=32, seed=0)
    returns = np.array(curve["returns"][-1])
    return {
        "mean": round(float(returns.mean()), 3),
        "std": round(float(returns.std()), 3),
        "steps": curve["steps"][-1],
        "seconds": round(time.monotonic() - started, 1),
    }


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _keep(env_id: str, record: dict[str, Any], path: Path) -> None:
    """Add a record to the file, which another run may have changed meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = _read(path) | {env_id: record}
    with atomic_path(path) as written:
        written.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
