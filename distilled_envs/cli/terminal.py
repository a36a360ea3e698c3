"""Tables and facts in a terminal, fitted to its width."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED = 160
"""Width where the output is no terminal: a file, or another program."""


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], notes: str = "") -> None:
    """A table, whose first column is never cut; long cells are wrapped.

    Args:
        head: Names of the columns.
        rows: Their cells. Those that begin with a digit or a sign stand to the right.
        notes: Sentences below it.
    """
    rows, table = [*rows], Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(head):
        numbers = all(each[place][:1] in "-0123456789" for each in rows)
        table.add_column(
            name, justify="right" if numbers else "left", no_wrap=place == 0, overflow="fold"
        )
    for each in rows:
        table.add_row(*map(Text, each))  # nothing in a cell is markup
    console = _console()
    with console.capture() as captured:
        console.print(table)
        if notes:
            console.print()
            console.print(notes, highlight=False, markup=False)
    _write(captured.get())


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Named facts below each other, under a title; those without words are left out."""
    console, table = _console(), Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, words in facts:
        if words:
            table.add_row(name, Text(words))
    with console.capture() as captured:
        console.print(title, style="bold", highlight=False, markup=False)
        console.print(table)
    _write(captured.get())


def print_json(value: Any) -> None:
    """A value for other programs."""
    print(json.dumps(value, indent=2, allow_nan=False))


def _write(text: str) -> None:
    """Lines without the spaces that fill the last column."""
    print("\n".join(line.rstrip() for line in text.splitlines()))


def _console() -> Console:
    """On what standard output is now, and no narrower than it is."""
    return Console(width=None if sys.stdout.isatty() else PIPED, soft_wrap=False)
