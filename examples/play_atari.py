"""A game of Atari after one gradient step: a fresh network, and Stable-Baselines3's CnnPolicy."""

from dataclasses import dataclass
from pathlib import Path

import tyro
from stable_baselines3 import PPO

from distilled_envs import load_distilled
from distilled_envs.studies.figures import rows_figure


@dataclass
class Arguments:
    """Train on a game's distilled frames with one gradient step, and play whole games."""

    name: str = "pong"
    """What `load_distilled` takes; needs the extra `atari`."""
    episodes: int = 4
    """Games that each network plays, in each action mode."""
    figure: Path = Path("runs/rows.png")
    """Where the frames are drawn, with their targets."""


def main(arguments: Arguments) -> None:
    """Draw the rows, take the step, play."""
    dataset = load_distilled(arguments.name)
    print(dataset)
    arguments.figure.parent.mkdir(parents=True, exist_ok=True)
    rows_figure(dataset).savefig(arguments.figure)
    print(f"rows: {arguments.figure}")

    policy = dataset.train()  # fresh layers behind the dataset's encoder
    print(f"\na fresh network: {dataset.evaluate(policy, episodes=arguments.episodes)}")

    env = dataset.make_env()  # 84 x 84 gray pixels, 4 frames skipped and 4 stacked
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8)
    dataset.train(model)  # gives it the encoder, then trains the rest: again one step
    print(f"\nSB3's CnnPolicy: {dataset.evaluate(model, episodes=arguments.episodes)}")
    env.close()


if __name__ == "__main__":
    main(tyro.cli(Arguments))
