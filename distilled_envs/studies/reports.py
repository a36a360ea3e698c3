"""A result as a folder that people can read: ``results.json``, a table, figures, one HTML page."""

import base64
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distilled_envs.storage.files import atomic_path, make_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(
    folder: Path,
    title: str,
    results: dict[str, Any],
    table: list[list[str]],
    notes: list[str],
    figures: dict[str, "Figure"],
    *,
    as_html: bool = False,
) -> None:
    """Write a report; each file takes the place of an earlier one as a whole.

    Args:
        folder: Where; made if need be.
        title: Its heading.
        results: What ``results.json`` holds.
        table: Rows of cells; the first is the head.
        notes: Sentences below the table.
        figures: Figures by the name of their files; each is written as PNG and SVG.
        as_html: Also write ``report.html``, with the figures inside.
    """
    write_results(folder, results)
    pictures = "".join(f"\n![{name}]({name}.png)\n" for name in figures)
    text = f"# {title}\n\n{markdown_table(table)}\n\n" + "\n\n".join(notes) + f"\n{pictures}"
    _write(folder / "results.md", text.encode())
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            _write(folder / f"{name}.{kind}", drawn(figure, kind))
    if as_html:
        _write(folder / "report.html", _page(title, table, notes, figures).encode())


def write_results(folder: Path, results: dict[str, Any]) -> None:
    """Write ``results.json`` alone, as a whole; the folder is made if need be."""
    make_folder(folder)
    _write(folder / "results.json", (json.dumps(results, indent=1) + "\n").encode())


def markdown_table(table: list[list[str]]) -> str:
    """Rows of cells, the first the head, as a Markdown table.

    >>> print(markdown_table([["rows", "return"], ["3", "500.0"]]))
    | rows | return |
    |---|---|
    | 3 | 500.0 |
    """
    head, *rows = (f"| {' | '.join(row)} |" for row in table)
    return "\n".join([head, "|" + "---|" * len(table[0]), *rows])


def score_cell(score: dict[str, Any]) -> str:
    """The record of a :class:`~distilled_envs.evaluation.protocol.Score` in a table."""
    return f"{score['mean']:,.1f} ± {score['std']:,.1f}"


def _page(
    title: str, table: list[list[str]], notes: list[str], figures: dict[str, "Figure"]
) -> str:
    def row(cells: list[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    rows = row(table[0], "th") + "".join(row(each, "td") for each in table[1:])
    pictures = "".join(
        f'<img alt="{name}" src="data:image/svg+xml;base64,'
        f'{base64.b64encode(drawn(figure, "svg")).decode()}">'
        for name, figure in figures.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        "<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2rem .6rem;"
        "text-align:left}img{display:block;max-width:100%;margin:1rem 0}</style>"
        f"<h1>{html.escape(title)}</h1><table>{rows}</table>"
        f"{''.join(f'<p>{html.escape(note)}</p>' for note in notes)}{pictures}</html>\n"
    )


def drawn(figure: "Figure", kind: Literal["png", "svg"], dpi: int = 120) -> bytes:
    """A figure as a file, the same for the same figure: without date, version and random ids."""
    import matplotlib

    content = io.BytesIO()
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    with matplotlib.rc_context({"svg.hashsalt": "distilled-envs"}):
        figure.savefig(content, format=kind, dpi=dpi, metadata=metadata)
    return content.getvalue()


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
