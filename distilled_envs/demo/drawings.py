"""Small drawings as SVG, which take the color of the page's text and the width of their place."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

BLUE, ORANGE, GRAY = "#3b82f6", "#f59e0b", "#8a8f98"
COLORS = (BLUE, ORANGE, "#10b981", "#a855f7")
WIDTH = 420
"""Units across; text of 12 units is still read where a phone shows it."""


def svg(height: float, label: str, content: Iterable[str]) -> str:
    """A drawing that says in words what it shows."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{html.escape(label)}" '
        f'class="de-drawing">{"".join(content)}</svg>'
    )


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    """Words at a place, of the page's color."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="currentColor">{html.escape(words)}</text>'
    )


def bars(
    numbers: Sequence[float],
    names: Sequence[str],
    label: str,
    bound: float,
    *,
    below: bool = True,
) -> str:
    """Numbers as bars up and down from a line.

    Args:
        numbers: Some.
        names: What each is called, for who points at it.
        label: What they are.
        bound: The largest that there is room for.
        below: Whether names are short enough to stand below.
    """
    half, middle, step = 34.0, 40.0, WIDTH / max(len(numbers), 4)
    content = [
        f'<line x1="0" x2="{WIDTH}" y1="{middle}" y2="{middle}" stroke="currentColor" '
        'stroke-opacity="0.4"/>'
    ]
    for place, number in enumerate(numbers):
        size = half * min(abs(number) / (bound or 1), 1)
        top = middle - size if number > 0 else middle
        content.append(
            f'<rect x="{(place + 0.15) * step:.1f}" y="{top:.1f}" width="{0.7 * step:.1f}" '
            f'height="{size:.1f}" fill="{BLUE if number < 0 else ORANGE}"><title>'
            f"{html.escape(names[place])}: {number:.3f}</title></rect>"
        )
    height = 80.0
    if below and len(numbers) <= 12:
        content += [
            text((place + 0.5) * step, 96, name, "middle", 16) for place, name in enumerate(names)
        ]
        height = 104.0
    return svg(height, f"{label}: {', '.join(f'{each:.2f}' for each in numbers[:20])}", content)


def strip(before: np.ndarray, after: np.ndarray, marks: dict[str, float]) -> str:
    """Returns as dots on two lines, one for before and one for after, and marks across both.

    Args:
        before: Some.
        after: As many.
        marks: Returns to compare with, by what they are.
    """
    everything = [*before, *after, *marks.values()]
    low, high = min(everything), max(everything)
    left, right = 62.0, WIDTH - 12.0
    scale = (right - left) / ((high - low) or 1)
    content = []
    for place, (name, value) in enumerate(marks.items()):
        x = left + (value - low) * scale
        anchor = "start" if x < 170 else "end" if x > 300 else "middle"
        said = f"{name} {value:,.0f}" if abs(value) >= 10 else f"{name} {value:,.1f}"
        content += [
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{20 + 16 * place}" y2="112" '
            f'stroke="{GRAY}" stroke-dasharray="3 3"/>',
            text(x, 15 + 16 * place, said, anchor),
        ]
    for y, words, values, color in (
        (60.0, "before", before, ORANGE),
        (96.0, "after", after, BLUE),
    ):
        content += [
            text(0, y + 4, words),
            f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="currentColor" '
            'stroke-opacity="0.3"/>',
        ]
        for each in values:
            x = left + (each - low) * scale
            content.append(
                f'<circle cx="{x:.1f}" cy="{y}" r="6" fill="{color}" fill-opacity="0.55"/>'
            )
    content += [
        text(left, 128, f"{low:,.0f}"),
        text(right, 128, f"{high:,.0f}", "end"),
        text((left + right) / 2, 128, "return", "middle"),
    ]
    return svg(136, "returns of ten networks before and after", content)


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        name: What it is of.
        steps: Where it has points.
        returns: Their heights.
    """

    name: str
    steps: Sequence[float]
    returns: Sequence[float]


def curves(lines: Sequence[Curve], level: float, name: str, label: str) -> str:
    """Returns over environment steps, and a level to compare them with.

    Args:
        lines: What was learned, at most four.
        level: A return.
        name: Whose.
        label: What is drawn.
    """
    left, right, top, bottom = 52.0, WIDTH - 10.0, 12.0, 190.0
    everything = [level, *(each for line in lines for each in line.returns)]
    low, high = min(0.0, *everything), max(everything)
    last = max(line.steps[-1] for line in lines)
    across, up = (right - left) / last, (bottom - top) / ((high - low) or 1)

    def y(value: float) -> float:
        return bottom - (value - low) * up

    content = [
        f'<line x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="currentColor" '
        'stroke-opacity="0.4"/>'
    ]
    for value in (low, (low + high) / 2, high):
        content += [
            f'<line x1="{left}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            'stroke="currentColor" stroke-opacity="0.15"/>',
            text(left - 6, y(value) + 4, f"{value:,.0f}", "end"),
        ]
    for share in (0, 0.5, 1):
        anchor = ("start", "middle", "end")[int(2 * share)]
        content.append(
            text(
                left + share * (right - left),
                208,
                f"{share * last / 1000:,.0f}k" if share else "0",
                anchor,
            )
        )
    content.append(text((left + right) / 2, 226, "environment steps", "middle"))
    keys = [(name, "currentColor", "6 4")]
    content.append(
        f'<line x1="{left}" x2="{right}" y1="{y(level):.1f}" y2="{y(level):.1f}" '
        'stroke="currentColor" stroke-width="2" stroke-dasharray="6 4"/>'
    )
    for line, color in zip(lines, COLORS, strict=False):
        points = " ".join(
            f"{left + at * across:.1f},{y(value):.1f}"
            for at, value in zip(line.steps, line.returns, strict=True)
        )
        content.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2.5"/>'
        )
        keys.append((line.name, color, "none"))
    height = 240.0
    for words, color, dashes in keys:
        content += [
            f'<line x1="{left}" x2="{left + 28}" y1="{height}" y2="{height}" stroke="{color}" '
            f'stroke-width="2.5" stroke-dasharray="{dashes}"/>',
            text(left + 36, height + 4, words),
        ]
        height += 18
    return svg(height, label, content)
