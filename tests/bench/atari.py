"""What the parts of a game's distillation take, on one thread; run by ``make bench``.

Simulation, the forward pass of rollouts, and the update's forward and backward pass, each alone and
by environment step; then whole iterations.
"""

import dataclasses
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from algorithms import algorithm_of

from distilled_envs.training import PRESETS

ROUNDS = 3


def per_second(work: Callable[[], int]) -> float:
    """Median of what ``work`` says that it has done, a second; once before that to warm up."""
    work()
    speeds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        speeds.append(work() / (time.perf_counter() - start))
    return float(np.median(speeds))


def main(device: str = "cpu") -> None:
    """Time the parts and the whole, and print them."""
    torch.set_num_threads(1)
    settings = dataclasses.replace(PRESETS["pong-level4"], threads=1, device=device)
    algorithm = algorithm_of(settings)
    env, view, task = algorithm.actors.env, algorithm.view, algorithm.task
    copies = env.num_envs
    actions = np.random.default_rng(0).integers(task.n_outputs, size=(64, copies))

    def simulate() -> int:
        for chosen in actions:
            env.step(chosen)
        return actions.size

    minibatch = settings.steps_per_iteration // settings.minibatches
    frames = torch.randint(0, 256, (minibatch, *task.observation_shape), dtype=torch.uint8)

    def infer() -> int:
        with torch.no_grad():
            for part in frames.split(copies):
                view(part).cpu()
        return len(frames)

    def update() -> int:
        view(frames).sum().backward()
        if device != "cpu":
            torch.cuda.synchronize()
        return len(frames)

    def iterate() -> int:
        algorithm.iterate()
        return settings.steps_per_iteration

    print(f"{settings.env_id}, {device}, median of {ROUNDS}\n{'':46}{'a second':>10}")
    for name, work in {
        f"simulation, {copies} copies: steps": simulate,
        f"inference, {copies} at a time: frames": infer,
        f"forward and backward, {minibatch} at a time: frames": update,
        f"whole iterations, {settings.epochs} epochs: steps": iterate,
    }.items():
        print(f"{name:46}{per_second(work):10,.0f}")
    env.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
