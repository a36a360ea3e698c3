"""The command ``watch``."""

from pathlib import Path

from distilled_envs.cli.choice import Choice
from distilled_envs.errors import SettingsError
from distilled_envs.formatting import written


def watch(
    choice: Choice,
    *,
    video: Path | None = None,
    compare: bool = False,
    episodes: int = 1,
    max_steps: int = 1000,
    seed: int = 0,
) -> None:
    """Train a fresh learner, one gradient step, and show it acting in the real environment.

    Args:
        choice: Which dataset.
        video: An .mp4 or .gif to write instead of opening a window.
        compare: Show the network before the step, too, side by side in the video.
        episodes: Episodes to play.
        max_steps: Steps after which an episode is no longer shown.
        seed: Seed of the learner and of the environment.
    """
    from distilled_envs.before_after import before_and_after
    from distilled_envs.watch import watch as watching

    shown = {"episodes": episodes, "max_steps": max_steps, "seed": seed}
    if compare:
        if video is None:
            raise SettingsError("--compare writes a video: give a --video, an .mp4 or .gif.")
        for episode, both in enumerate(before_and_after(choice.load(), video, **shown), start=1):
            before, after = map(written, both)
            print(f"episode {episode}: return {before} before the step, {after} after it")
    else:
        returns = watching(choice.load(), video=video, **shown)
        for episode, total in enumerate(returns, start=1):
            print(f"episode {episode}: return {written(total)}")
    if video is not None:
        print(f"video: {video}")
