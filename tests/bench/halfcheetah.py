"""Environment steps per second of a distillation of HalfCheetah, as ratios; run by ``make bench``.

The whole loop counts: learners' steps, rollouts, advantages and updates. Beside it the same on
Gymnasium's SyncVectorEnv, Stable-Baselines3's ``PPO.learn`` with its default settings, and EnvPool
alone under random actions.
"""

import dataclasses
import time

import numpy as np
from algorithms import steps_per_second
from stable_baselines3 import PPO

from distilled_envs.training import PRESETS
from distilled_envs.training.backends import EnvPoolVectorEnv

SETTINGS = PRESETS["halfcheetah-64"]
ROUNDS = 3


def distillation(use_envpool: bool, iterations: int = 4) -> float:
    """Steps per second of some iterations, after one that warms up."""
    return steps_per_second(dataclasses.replace(SETTINGS, use_envpool=use_envpool), iterations)


def envpool(rounds: int = 128) -> float:
    """Steps per second of as many copies in EnvPool, with its own number of threads."""
    env = EnvPoolVectorEnv(SETTINGS.env_id, SETTINGS.learners * SETTINGS.envs_per_learner, 0, 0)
    env.reset()
    actions = env.action_space.sample()
    env.step(actions)
    start = time.perf_counter()
    for _ in range(rounds):
        env.step(actions)
    seconds = time.perf_counter() - start
    env.close()
    return rounds * env.num_envs / seconds


def sb3(steps: int = 8192) -> float:
    """Steps per second of ``PPO.learn`` with one environment, SB3's default."""
    model = PPO("MlpPolicy", SETTINGS.env_id, seed=0, device="cpu")
    model.learn(2048)
    start = time.perf_counter()
    model.learn(steps)
    return steps / (time.perf_counter() - start)


def main() -> None:
    """Time the four in turn, some rounds, and print medians and ratios."""
    candidates = {
        "meta-PPO on EnvPool": lambda: distillation(True),
        "meta-PPO on SyncVectorEnv": lambda: distillation(False),
        "Stable-Baselines3 PPO.learn": sb3,
        "EnvPool alone": envpool,
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
