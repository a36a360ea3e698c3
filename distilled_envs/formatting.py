"""Numbers for people; without torch, for commands that start at once."""

from collections.abc import Mapping


def written(value: float) -> str:
    """A return for people: more digits where it is small.

    >>> written(-0.0), written(312.46), written(-0.0456)
    ('0.0', '312.5', '-0.046')
    """
    if abs(value) < 1 and round(value, 3):
        return f"{value:.3f}"
    return f"{round(value, 1) + 0.0:.1f}"  # no -0.0


def written_score(score: Mapping[str, float]) -> str:
    """The mean return of a score, and the deviation between networks.

    >>> written_score({"mean": 0.748, "std": 0.1})
    '0.748 ± 0.100'
    """
    return f"{written(score['mean'])} ± {written(score['std'])}"
