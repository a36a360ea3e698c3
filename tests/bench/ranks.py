"""Steps a second of one and of two processes that share a run; run by ``make bench``.

Two runs apart, side by side, show what the machine allows. Each process has one thread. Started by
``torchrun``, or with ``--worker``, it is one of them.
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


def measured(preset: str, ranks: int, runs: int = 1) -> float:
    """Steps a second of all processes that start for it.

    Args:
        preset: What they do.
        ranks: Processes that share a run.
        runs: Such runs, side by side.
    """
    alone = [sys.executable, __file__]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = alone if ranks == 1 else [*torchrun, f"--nproc-per-node={ranks}", __file__]
    command += ["--worker", preset]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(runs)]
    said = [each.communicate()[0] for each in started]
    for each in started:
        if each.returncode:
            raise subprocess.CalledProcessError(each.returncode, command)
    return sum(float(each) for each in said)


def main() -> None:
    """Time all in turn, some rounds, and print medians and their ratios."""
    print(f"steps/s, one thread a process, median of {ROUNDS}")
    print(f"{'':24}{'1 process':>12}{'2 that share':>21}{'2 apart':>21}")
    cases = (1, 1), (2, 1), (1, 2)
    for preset in CASES:
        speeds = [[measured(preset, *case) for case in cases] for _ in range(ROUNDS)]
        one, *two = np.median(speeds, axis=0)
        told = "".join(f"{each:14,.0f} ({each / one:.2f})" for each in two)
        print(f"{preset:24}{one:12,.0f}{told}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        name = sys.argv[2]
        found = of_all(PRESETS[name], CASES[name])
        if distributed.is_first():
            print(found)
    else:
        main()
