"""Any CNN learns a game from its rows: an IMPALA-style one, fitted on what one-step networks meet.

The network is the deep one of Espeholt et al., "IMPALA" (arXiv 1802.01561), figure 3, without its
LSTM: 15 convolutions, of which no encoder is given.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn

from distilled_envs import load_distilled
from distilled_envs.storage.files import atomic_path


@dataclass
class Arguments:
    """Fit an IMPALA-style CNN on expanded rows, and let it play whole games."""

    name: str = "pong"
    """What `load_distilled` takes; needs the extra `atari`."""
    pairs: int = 8192
    """Frames that one-step networks met, with their mean answers; 28 KB each."""
    steps: int = 3_000
    """Batches at most: half an hour on two cores."""
    batch_size: int = 64
    """Pairs in a batch."""
    learning_rate: float = 5e-4
    """Adam's."""
    games: int = 20
    """Games that the network plays, in each action mode."""
    seed: int = 0
    """Seed of everything."""
    output: Path | None = None
    """File for the result, as JSON."""


class Residual(nn.Module):
    """Two convolutions beside a skip connection."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, seen: Tensor) -> Tensor:
        """Same shape as ``seen``, (n, channels, height, width)."""
        return seen + self.layers(seen)


def impala(frames: int, actions: int) -> nn.Sequential:
    """Frames ``(n, frames, 84, 84)`` of 0 to 255 to logits ``(n, actions)``."""
    layers: list[nn.Module] = [nn.BatchNorm2d(frames, affine=False)]  # bytes to ordinary numbers
    before = frames
    for channels in (16, 32, 32):
        layers += [
            nn.Conv2d(before, channels, 3, padding=1),
            nn.MaxPool2d(3, stride=2, padding=1),
            Residual(channels),
            Residual(channels),
        ]
        before = channels
    last = [nn.ReLU(), nn.Flatten(), nn.Linear(32 * 11 * 11, 256), nn.ReLU()]
    return nn.Sequential(*layers, *last, nn.Linear(256, actions))


def main(arguments: Arguments) -> None:
    """Expand, fit, play."""
    dataset = load_distilled(arguments.name)
    torch.manual_seed(arguments.seed)
    policy = impala(dataset.spec.task.observation_shape[0], dataset.spec.task.n_outputs)
    start = time.perf_counter()
    pairs = dataset.expand(arguments.pairs, seed=arguments.seed, source="play", progress=True)
    ready = time.perf_counter()
    dataset.fit(
        policy,
        pairs,
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        progress=True,
    )
    trained = time.perf_counter()
    evaluation = dataset.evaluate(policy, episodes=arguments.games)
    print(f"{dataset.spec.name}: {arguments.pairs:,} pairs in {ready - start:.0f} s")
    print(f"fit of an IMPALA-style CNN in {trained - ready:.0f} s")
    print(evaluation)
    print(f"one step, by the protocol: {dataset.spec.evaluation['one_step']['greedy']['mean']:.1f}")
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(arguments.output) as path:
            asked = {key: value for key, value in vars(arguments).items() if key != "output"}
            seconds = {"expand": round(ready - start), "fit": round(trained - ready)}
            record = {"dataset": dataset.spec.name, "settings": asked, "seconds": seconds}
            path.write_text(json.dumps(record | evaluation.to_dict(), indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
