"""The bar of environment steps that long work shows."""

from distilled_envs.bars import tqdm


def step_bar(description: str, total: int, *, done: int = 0, progress: bool = True) -> tqdm:
    """A bar of environment steps.

    Args:
        description: What stands before it.
        total: Steps of the whole work.
        done: Steps that were taken before.
        progress: Whether to show it.
    """
    return tqdm(
        total=total,
        initial=done,
        desc=description,
        unit=" steps",
        unit_scale=True,
        dynamic_ncols=True,
        disable=not progress,
    )
