"""Meta-PPO before its first iteration, for the scripts beside this one."""

import time

import torch

from distilled_envs.training import Settings
from distilled_envs.training.backends import checked_world, make_training_envs
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.run import make_algorithm


def algorithm_of(settings: Settings) -> MetaPPO:
    """The algorithm of settings, with its environments."""
    world = checked_world(settings)
    torch.manual_seed(settings.seed)
    env = make_training_envs(settings, world, settings.seed)
    return make_algorithm(settings, env, world.task, settings.seed)


def steps_per_second(settings: Settings, iterations: int) -> float:
    """Of an algorithm on one thread, as `distill` has it for vectors, after one iteration more."""
    torch.set_num_threads(1)
    algorithm = algorithm_of(settings)
    algorithm.iterate()
    start = time.perf_counter()
    for _ in range(iterations):
        algorithm.iterate()
    seconds = time.perf_counter() - start
    algorithm.actors.env.close()
    return iterations * settings.steps_per_iteration / seconds
