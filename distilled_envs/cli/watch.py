"""The command ``watch``."""

from pathlib import Path

from distilled_envs.cli.choice import Choice
from distilled_envs.formatting import written


def watch(
    choice: Choice,
    *,
    video: Path | None = None,
    episodes: int = 1,
    max_steps: int = 1000,
    seed: int = 0,
) -> None:
    """Train a fresh learner, one gradient step, and show it acting in the real environment.

    Args:
        choice: Which dataset.
        video: An .mp4 or .gif to write instead of opening a window.
        episodes: Episodes to play.
        max_steps: Steps after which an episode is no longer shown.
        seed: Seed of the learner and of the environment.
    """
    from distilled_envs import watch as watching

    dataset = choice.load()
    returns = watching.watch(
        dataset, video=video, episodes=episodes, max_steps=max_steps, seed=seed
    )
    for episode, total in enumerate(returns, start=1):
        print(f"episode {episode}: return {written(total)}")
    if video is not None:
        print(f"video: {video}")
