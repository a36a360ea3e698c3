"""Meta-PPO before its first iteration and its datasets, for the scripts beside this one."""

import time

import torch

from distilled_envs.dataset import DistilledDataset
from distilled_envs.spec import DistillationSpec, InnerSpec
from distilled_envs.training import Settings, distributed
from distilled_envs.training.backends import checked_world, make_training_envs
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.run import make_algorithm, start_alike


def algorithm_of(settings: Settings) -> MetaPPO:
    """The algorithm of settings, a rank's share where processes share a run, in environments."""
    world = checked_world(settings)
    torch.manual_seed(settings.seed)
    env_seed = settings.seed + distributed.rank() * settings.learners * settings.envs_per_learner
    env = make_training_envs(settings, world, env_seed)
    algorithm = make_algorithm(settings, env, world.task, env_seed)
    if distributed.world_size() > 1:
        start_alike(algorithm)
    return algorithm


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


def as_dataset(algorithm: MetaPPO) -> DistilledDataset:
    """What an algorithm has distilled so far."""
    settings, batch = algorithm.settings, algorithm.batch
    spec = DistillationSpec(
        name=settings.name,
        env=checked_world(settings).spec,
        task=algorithm.task,
        inner=InnerSpec(learning_rate=batch.learning_rate.item()),
        learner=settings.learner,
    )
    return DistilledDataset(
        batch.observations.detach().clone(), batch.targets.detach().clone(), spec
    )


def seconds_until(
    goal: float, settings: Settings, *, networks: int = 32, limit: float = float("inf")
) -> float:
    """Seconds until networks that are drawn anew, and take the one step, get it.

    They are the processor's, and the clock's where processes share the run and wait for each other.

    Args:
        goal: Their mean return, with sampled actions.
        settings: The run's.
        networks: How many are drawn, whenever the run's own learners get the goal. They do not
            count as time.
        limit: Seconds after which to stop.

    Returns:
        The seconds; infinite where they never get it.
    """
    ranks = distributed.world_size()
    clock = time.process_time if ranks == 1 else time.perf_counter
    algorithm, seconds = algorithm_of(settings), 0.0
    while algorithm.iteration < algorithm.ending.iterations and seconds < limit:
        start = clock()
        metrics = algorithm.iterate()
        (seconds,) = distributed.all_reduce_sum((seconds + clock() - start) / ranks)
        if metrics["return"] >= goal:
            scores = as_dataset(algorithm).evaluate(learners=networks, episodes=1)
            if scores.sampled.mean >= goal:
                return seconds
    return float("inf")
