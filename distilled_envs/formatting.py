"""Numbers for people; without torch, for commands that start at once."""

import re
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


def in_a_line(error: BaseException) -> str:
    r"""Somebody else's error in one line: its first, after its kind if that line is one word.

    >>> in_a_line(KeyError("rows")), in_a_line(OSError("No space\nleft"))
    ("KeyError: 'rows'", 'No space')
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and re.match(r"\d+ (Client|Server) Error", lines[0]):
        del lines[0]  # of HTTP, and the next says of what
    if len(lines) > 1 and lines[0].endswith(":"):
        lines[0] += f" {lines[1]}"
    first = lines[0].rstrip(".") if lines else ""
    told = " " in first  # one word alone, as of a key, tells too little
    return first if told else f"{type(error).__name__}: {first}".rstrip(": ")
