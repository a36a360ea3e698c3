"""Draw the before-and-after pictures of README.md and docs/: one network, one gradient step.

They lie in docs/pictures/; each takes some seconds, and is smaller than 1.5 MB.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from distilled_envs import load_distilled
from distilled_envs.before_after import before_and_after
from distilled_envs.formatting import written

PICTURES = {
    "cartpole-nd-2d-min": 200,
    "cartpole-nd-5d-min": 200,
    "hopper-min": 500,
    "halfcheetah-min": 80,
    "ant-min": 80,
    "pong-level4": 240,
}
"""Datasets, and the steps that are shown of each."""


@dataclass
class Arguments:
    """Draw the before-and-after pictures."""

    names: tuple[str, ...] = tuple(PICTURES)
    """Datasets."""
    output: Path = Path(__file__).parent / "docs" / "pictures"
    """Folder of the pictures."""
    width: int = 320
    """Width of each of the two sides, in pixels."""


def main(arguments: Arguments) -> None:
    """Draw them, one after the other."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        path = arguments.output / f"{name}.gif"
        ((before, after),) = before_and_after(
            load_distilled(name), path, max_steps=PICTURES.get(name, 200), width=arguments.width
        )
        size = path.stat().st_size / 2**20
        print(f"{path}: {written(before)} before, {written(after)} after, {size:.2f} MiB")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
