"""A result as a folder that people can read: ``results.json``, a table, figures, one HTML page."""

import base64
import datetime
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distilled_envs import __version__
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
    env: bytes | None = None,
    command: str | None = None,
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
        env: A picture of the environment for that page, a PNG.
        command: The shell command that asked for it, which that page tells.
    """
    write_results(folder, results)
    pictures = "".join(f"\n![{name}]({name}.png)\n" for name in figures)
    text = f"# {title}\n\n{markdown_table(table)}\n\n" + "\n\n".join(notes) + f"\n{pictures}"
    _write(folder / "results.md", text.encode())
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            _write(folder / f"{name}.{kind}", drawn(figure, kind))
    if as_html:
        made = f"distilled-envs {__version__}, {datetime.date.today().isoformat()}"
        made += f", by `{command}`" if command else ""
        _write(folder / "report.html", _page(title, table, notes, figures, env, made).encode())


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


_STYLE = """
body{font:16px/1.55 system-ui,sans-serif;color:#222;background:#fff;margin:0}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem}
h1{font-size:1.5rem;line-height:1.25}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;min-width:38rem}
td,th{border-bottom:1px solid #ddd;padding:.35rem .8rem .35rem 0;text-align:left}
th{border-bottom:2px solid #888;vertical-align:bottom}
td{font-variant-numeric:tabular-nums;vertical-align:top}
img{display:block;max-width:100%;height:auto;margin:1.5rem 0}
img.seen{max-height:12rem;border:1px solid #ddd}
.wide img{min-width:34rem}
footer{margin-top:2rem;padding-top:.6rem;border-top:1px solid #ddd;color:#555;font-size:.85rem;
overflow-wrap:anywhere}
"""


def _seen(env: bytes | None) -> str:
    """The picture of an environment, if there is one."""
    if env is None:
        return ""
    encoded = base64.b64encode(env).decode()
    return f'<img class="seen" alt="the environment" src="data:image/png;base64,{encoded}">'


def _page(
    title: str,
    table: list[list[str]],
    notes: list[str],
    figures: dict[str, "Figure"],
    env: bytes | None,
    made: str,
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
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><main><h1>{html.escape(title)}</h1>{_seen(env)}"
        f'<div class="wide"><table>{rows}</table></div><div class="wide">{pictures}</div>'
        f"{''.join(f'<p>{html.escape(note)}</p>' for note in notes)}"
        f"<footer>{html.escape(made)}</footer></main></html>\n"
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
