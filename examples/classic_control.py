"""Classic control in two to four rows: CMA-ES finds a linear policy, closed form makes its rows."""

import time
from dataclasses import dataclass

import tyro

from distilled_envs import imitate
from distilled_envs.training.evolution import evolve
from distilled_envs.training.world import vector_world_of


@dataclass
class Arguments:
    """Search a linear policy of each environment, and let fresh networks learn it in one step."""

    env_ids: tuple[str, ...] = ("CartPole-v1", "Acrobot-v1", "MountainCarContinuous-v0")
    """Gymnasium ids, of vectors."""
    total_steps: int = 1_000_000
    """Environment steps of each search at most."""
    learners: int = 100
    """Fresh networks that are scored, with an episode each."""
    seed: int = 0
    """Seed of everything."""
    progress: bool = True
    """Show a bar of each search."""


def main(arguments: Arguments) -> None:
    """Search, imitate, score."""
    for env_id in arguments.env_ids:
        started, world = time.monotonic(), vector_world_of(env_id)
        found = evolve(
            world, arguments.total_steps, seed=arguments.seed, progress=arguments.progress
        )
        dataset = imitate(found.policy, world.spec, progress=False)
        seconds = time.monotonic() - started
        score = dataset.evaluate(learners=arguments.learners, episodes=1).greedy
        print(
            f"{env_id}: a linear policy gets {found.mean:.1f}, and networks after one step on its "
            f"{len(dataset)} rows {score.mean:.1f} ± {score.std:.1f} ({seconds:.0f} s)"
        )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
