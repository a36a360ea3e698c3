"""Numbers for people; without torch, for commands that start at once."""


def written(value: float) -> str:
    """A return for people: more digits where it is small.

    >>> written(-0.0), written(312.46), written(-0.0456)
    ('0.0', '312.5', '-0.046')
    """
    if abs(value) < 1 and round(value, 3):
        return f"{value:.3f}"
    return f"{round(value, 1) + 0.0:.1f}"  # no -0.0
