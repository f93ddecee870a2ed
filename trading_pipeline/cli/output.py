"""Printing: tables for people, JSON for machines, one line for a failure. Nothing in a text steers the terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from trading_pipeline.adapters.logs.plain import plain, plain_json
from trading_pipeline.adapters.logs.redaction import REDACTOR

WIDTH_OF_A_PIPE = 150
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
errors = Console(stderr=True, highlight=False)
NUMBER_LIKE = frozenset("0123456789.,+-−%$ RAM/")


def complain(message: str) -> int:
    """Print a failure to stderr; returns the exit code for it."""
    errors.print(Text("error: ", style="bold red") + Text(_line(message)), soft_wrap=True)
    return 1


def print_json(value: object) -> None:
    """Print a value as JSON, keys in the given order."""
    sys.stdout.write(plain_json(REDACTOR(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))) + "\n")


def say(text: str = "") -> None:
    """Print a line as it is, however long: no markup."""
    console.print(Text(_line(text)), soft_wrap=True)


def say_line(text: str) -> None:
    """Print one line, however long; a line break in it is shown, not made: for text that others wrote."""
    say(plain(text))


def heading(text: str) -> None:
    """Print a heading with a line of space above."""
    console.print()
    console.print(Text(_line(text), style="bold"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "none") -> None:
    """Print rows under column names; numbers to the right; one line of words when there are no rows."""
    found = [[plain(REDACTOR(_cell(value))) for value in row] for row in rows]
    if not found:
        say(f"  {empty}")
        return
    table = Table(box=None, pad_edge=True, header_style="dim")
    for number, name in enumerate(columns):
        right = all(set(row[number]) <= NUMBER_LIKE for row in found)
        is_last = number == len(columns) - 1
        table.add_column(name, justify="right" if right else "left", no_wrap=not is_last, overflow="fold")
    for row in found:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, width=max(console.width, _needed(columns, found))).print(table)


def _needed(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Columns a table needs so that a date is never broken; only its last column folds, and not below 30."""
    widths = [max(len(name), *(len(row[n]) for row in rows)) + 2 for n, name in enumerate(columns)]
    return sum(widths[:-1]) + min(widths[-1], 30)


def print_records(records: Sequence[Mapping[str, object]], *, empty: str = "none") -> None:
    """Print records as a table; their keys are the columns."""
    columns = list(records[0]) if records else []
    print_table(columns, ([record[name] for name in columns] for record in records), empty=empty)


def _line(text: str) -> str:
    return plain(REDACTOR(text), keep="\n\t")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display on stderr that goes away when done; none where there is no terminal."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    if not errors.is_terminal:
        with Progress(*columns, console=errors, disable=True) as silent:
            yield silent
        return
    # a copy of stderr: Dagster captures the stream itself while a step runs
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as terminal,
        Progress(*columns, console=Console(file=terminal, force_terminal=True), transient=True) as shown,
    ):
        yield shown
