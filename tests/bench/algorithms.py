"""Meta-PPO before its first iteration, for the scripts beside this one."""

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
