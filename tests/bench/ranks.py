"""Steps a second of one and of two processes that share a run; run by ``make bench``.

Each process has one thread. Started by ``torchrun``, or with ``--worker``, it is one of them.
"""

import dataclasses
import subprocess
import sys

import numpy as np
from algorithms import steps_per_second

from distilled_envs.training import PRESETS, Settings, distributed

CASES = {"halfcheetah-64": 6, "cartpole-nd-5d-64": 12}
"""Iterations that are timed, by preset."""
ROUNDS = 3


def of_all(settings: Settings, iterations: int) -> float:
    """Steps a second of all processes together."""
    with distributed.process_group("cpu"):
        mine = distributed.share(dataclasses.replace(settings, threads=1))
        return distributed.world_size() * steps_per_second(mine, iterations)


def measured(preset: str, ranks: int) -> float:
    """Steps a second of so many processes that start for it."""
    alone = [sys.executable, __file__]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = alone if ranks == 1 else [*torchrun, f"--nproc-per-node={ranks}", __file__]
    done = subprocess.run([*command, "--worker", preset], check=True, stdout=subprocess.PIPE)
    return float(done.stdout)


def main() -> None:
    """Time both in turn, some rounds, and print medians and their ratio."""
    print(f"steps/s, one thread a process, median of {ROUNDS}")
    print(f"{'':24}{'1 process':>12}{'2 processes':>14}   ratio")
    for preset in CASES:
        speeds = [[measured(preset, ranks) for ranks in (1, 2)] for _ in range(ROUNDS)]
        one, two = np.median(speeds, axis=0)
        print(f"{preset:24}{one:12,.0f}{two:14,.0f}   {two / one:.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        name = sys.argv[2]
        found = of_all(PRESETS[name], CASES[name])
        if distributed.is_first():
            print(found)
    else:
        main()
