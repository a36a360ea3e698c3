"""What commands that only read take, as multiples of ``import numpy``; run by ``make bench``.

The medians of some rounds, each of which runs everything once: what else the machine does strikes
all alike.
"""

import subprocess
import sys
import time

import numpy as np

from distilled_envs.studies.reports import markdown_table

ROUNDS = 5
YARDSTICK = "import numpy"
COMMANDS = {
    "--version": ["--version"],
    "--help": ["--help"],
    "list": ["list"],
    "show cartpole_2d": ["show", "cartpole_2d"],
}


def seconds() -> dict[str, float]:
    """Median wall time of each command, and of the yardstick."""
    calls = {YARDSTICK: ["-c", YARDSTICK]}
    calls |= {name: ["-m", "distilled_envs.cli", *words] for name, words in COMMANDS.items()}
    taken = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, words in calls.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, capture_output=True)
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(each)) for name, each in taken.items()}


def main() -> None:
    """Time them and print a table."""
    median = seconds()
    rows = [[f"median of {ROUNDS}", "seconds", "ratio to the first"]]
    for name, value in median.items():
        rows.append([f"`{name}`", f"{value:.2f}", f"{value / median[YARDSTICK]:.1f}"])
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
