"""Environment steps per second of a distillation of HalfCheetah, as ratios; run by ``make bench``.

The whole loop counts: learners' steps, rollouts, advantages and updates. Beside it the same on
Gymnasium's SyncVectorEnv, and Stable-Baselines3's ``PPO.learn`` with its default settings.
"""

import dataclasses
import time

import numpy as np
import torch
from stable_baselines3 import PPO

from distilled_envs.training import for_environment
from distilled_envs.training.backends import checked_world, make_training_envs
from distilled_envs.training.meta_ppo import MetaPPO

SETTINGS = for_environment("HalfCheetah-v5")
ROUNDS = 3


def distillation(use_envpool: bool, iterations: int = 4) -> float:
    """Steps per second of some iterations, after one that warms up."""
    settings = dataclasses.replace(SETTINGS, use_envpool=use_envpool)
    world = checked_world(settings)
    task = world.task
    torch.manual_seed(0)
    env = make_training_envs(settings, world, seed=0)
    algorithm = MetaPPO(settings, env, task)
    algorithm.iterate()
    start = time.perf_counter()
    for _ in range(iterations):
        algorithm.iterate()
    seconds = time.perf_counter() - start
    env.close()
    return iterations * settings.steps_per_iteration / seconds


def sb3(steps: int = 8192) -> float:
    """Steps per second of ``PPO.learn`` with one environment, SB3's default."""
    model = PPO("MlpPolicy", SETTINGS.env_id, seed=0, device="cpu")
    model.learn(2048)
    start = time.perf_counter()
    model.learn(steps)
    return steps / (time.perf_counter() - start)


def main() -> None:
    """Time the three in turn, some rounds, and print medians and ratios."""
    candidates = {
        "meta-PPO on EnvPool": lambda: distillation(True),
        "meta-PPO on SyncVectorEnv": lambda: distillation(False),
        "Stable-Baselines3 PPO.learn": sb3,
    }
    speeds = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, measure in candidates.items():
            speeds[name].append(measure())
    median = {name: float(np.median(values)) for name, values in speeds.items()}
    print(f"HalfCheetah-v5, median of {ROUNDS}\n{'':30}{'steps/s':>10}   ratio to the first")
    for name, value in median.items():
        print(f"{name:30}{value:10,.0f}   {value / median['meta-PPO on EnvPool']:.3f}")


if __name__ == "__main__":
    main()
