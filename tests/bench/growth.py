"""What a distillation of cart-pole costs as it grows, as one figure; run by ``make bench``.

Each point is a process of its own with one thread, or two that share the run: environment steps a
second, the most memory that they take, and the seconds until fresh networks get 495 of 500. At the
end stands, from the messages of two processes, what a network would cost of more. Seconds are the
processor's, and the clock's where two share the run.
"""

import dataclasses
import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist
from algorithms import seconds_until, steps_per_second
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distilled_envs.training import PRESETS, Settings, distributed

BASE = dataclasses.replace(
    PRESETS["cartpole-nd-2d-64"], threads=1, reward_threshold=None, total_steps=20_000_000
)
GROWN: dict[str, tuple[int, ...]] = {
    "dims": (1, 2, 3, 5, 10, 20),
    "instances": (3, 8, 32, 64, 128, 512),
    "learners": (1, 4, 16, 32, 64, 256),
    "ranks": (1, 2),
}
"""What grows, while all else is as in ``BASE``: settings, and the processes that share a run."""
TITLES = {"dims": "axes", "instances": "rows", "learners": "learners", "ranks": "processes"}
ITERATIONS = 6
GOAL, LIMIT = 495.0, 90.0
"""A mean return, and the seconds after which it is given up."""
FIGURE = Path("build") / "growth.png"
MACHINES = 64
LATENCY, BANDWIDTH = 50e-6, 125e6
"""Seconds of a message's way to a neighbor, and bytes a second: a local network of 1 Gbit/s."""


def one_point(settings: Settings) -> dict[str, float]:
    """What a run of these settings costs; all processes that share it measure together."""
    sizes: list[int] = []
    send = dist.all_reduce

    def counted(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(tensor.numel() * tensor.element_size())
        return send(tensor, *args, **kwargs)

    with distributed.process_group("cpu"):
        mine, ranks = distributed.share(settings), distributed.world_size()
        dist.all_reduce = counted
        speed = ranks * steps_per_second(mine, ITERATIONS)
        dist.all_reduce = send
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (memory,) = distributed.all_reduce_sum(kilobytes * 1024.0)
        seconds = seconds_until(GOAL, mine, limit=LIMIT)
    return {
        "steps_per_second": speed,
        "memory": memory,
        "seconds": seconds,
        "messages": len(sizes) / (ITERATIONS + 1),
        "bytes": sum(sizes) / (ITERATIONS + 1),
    }


def measured(changes: dict[str, int]) -> dict[str, float]:
    """:func:`one_point` in processes that start for it."""
    changes = dict(changes)
    ranks = changes.pop("ranks", 1)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command = [sys.executable, *(torchrun if ranks > 1 else []), __file__]
    command += ["--worker", json.dumps(changes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def seconds_of_messages(machines: int, messages: float, size: float) -> float:
    """What one iteration's messages take, around a ring of machines as gloo sends them.

    Args:
        machines: How many.
        messages: Of an iteration.
        size: Bytes of all of them.
    """
    rounds = 2 * (machines - 1)
    return messages * rounds * LATENCY + rounds / machines * size / BANDWIDTH


def on_paper(alone: dict[str, float], shared: dict[str, float]) -> str:
    """Where a network would bound many machines that share a run.

    Args:
        alone: What one process measures.
        shared: What two do.
    """
    messages, size = shared["messages"], shared["bytes"]
    work = BASE.steps_per_iteration / alone["steps_per_second"]

    def pace(machines: int) -> float:
        """How many times as fast as one so many machines are that share the learners."""
        return work / (work / machines + seconds_of_messages(machines, messages, size))

    shares = (each for each in range(1, BASE.learners + 1) if BASE.learners % each == 0)
    most, sent = max(shares, key=pace), seconds_of_messages(MACHINES, messages, size)
    way = 2 * (MACHINES - 1) * messages * LATENCY / sent
    return (
        f"An iteration sends {messages:.0f} messages of {size / messages / 1000:.1f} kB and takes "
        f"one process {work:.2f} s. On {MACHINES} machines, {BANDWIDTH * 8 / 1e9:.0f} Gbit/s and "
        f"{LATENCY * 1e6:.0f} us to a neighbor, its messages take {sent:.2f} s, {way:.0%} of it "
        f"their way: with as many learners on each as on one now, {work / (work + sent):.0%} is "
        f"work.\n{BASE.learners} learners shared out are the fastest on {most} machines, "
        f"{pace(most):.1f} times as fast as on one."
    )


def draw(points: dict[str, dict[int, dict[str, float]]]) -> Figure:
    """Rows of plots: speed, memory, and seconds to the goal, each over all that grows."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    plots = figure.subplots(3, len(points), sharey="row")
    for column, (name, found) in zip(plots.T, points.items(), strict=True):
        over = [*found]
        lines = {
            "environment steps a second": [each["steps_per_second"] for each in found.values()],
            "peak memory, MB": [each["memory"] / 1e6 for each in found.values()],
            f"seconds to {GOAL:.0f}": [each["seconds"] for each in found.values()],
        }
        for plot, (title, values) in zip(column, lines.items(), strict=True):
            _line(plot, over, values)
            if plot.get_subplotspec().is_first_col():
                plot.set_ylabel(title)
        column[0].set_title(f"over {TITLES[name]}")
        column[-1].set_xlabel(TITLES[name])
    figure.suptitle("2-D cart-pole, 64 rows, 32 learners, one thread a process, but for what grows")
    return figure


def _line(plot: Axes, over: list[int], values: list[float]) -> None:
    """Values as a line; those that are infinite as open marks at the limit."""
    known = [(at, value) for at, value in zip(over, values, strict=True) if math.isfinite(value)]
    plot.plot(*zip(*known, strict=True) if known else ([], []), marker="o", color="#1f5fa8")
    never = [at for at, value in zip(over, values, strict=True) if value == math.inf]
    if never:
        plot.plot(never, [LIMIT] * len(never), "^", mfc="none", color="#c25b00", label="not yet")
        plot.legend(loc="best", fontsize=8)
    plot.set_xscale("log")
    plot.set_xticks(over, [str(each) for each in over])
    plot.minorticks_off()
    plot.set_ylim(bottom=0)
    plot.grid(alpha=0.3)


def main() -> None:
    """Measure all points, and print and draw them."""
    print(f"{'':24}{'steps/s':>10}{'peak MB':>10}{f's to {GOAL:.0f}':>12}")
    points: dict[str, dict[int, dict[str, float]]] = {}
    for name, sizes in GROWN.items():
        points[name] = {}
        for size in sizes:
            found = points[name][size] = measured({name: size})
            told = f"{found['steps_per_second']:10,.0f}{found['memory'] / 1e6:10,.0f}"
            print(f"{size:5} {TITLES[name]:18}{told}{found['seconds']:12.1f}", flush=True)
    print(on_paper(points["ranks"][1], points["ranks"][2]))
    FIGURE.parent.mkdir(exist_ok=True)
    draw(points).savefig(FIGURE, dpi=110)
    print(FIGURE)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        point = one_point(dataclasses.replace(BASE, **json.loads(sys.argv[2])))
        if distributed.is_first():
            print(json.dumps(point))
    else:
        main()
