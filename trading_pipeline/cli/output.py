"""Printing: tables for people, JSON for machines, one line for a failure. Nothing in a text steers the terminal."""

from __future__ import annotations

import json
import os
import sys
import textwrap
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
LEAST_OF_WORDS, LEAST_OF_LAST = 24, 30
"""Columns below which words are not folded; the last column takes what is left."""
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


def say_below(text: str) -> None:
    """Print words below a line they belong to, folded to the terminal, if it is one: for text that others wrote."""
    for line in _folded(plain(text), indent=4) if console.is_terminal else [plain(text)]:
        say(f"    {line}")


def _folded(text: str, indent: int) -> list[str]:
    return textwrap.wrap(REDACTOR(text), console.width - indent, break_on_hyphens=False)


def heading(text: str) -> None:
    """Print a heading with a line of space above."""
    console.print()
    console.print(Text(_line(text), style="bold"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "none") -> None:
    """Print rows under column names; numbers to the right; one line of words when there are no rows.

    Words fold where the terminal is narrow. A table that is wider all the same is shown row by row instead.
    """
    found = [[plain(REDACTOR(_cell(value))) for value in row] for row in rows]
    if not found:
        say(f"  {empty}")
        return
    least = [_least(number, columns, found) for number in range(len(columns))]
    if console.is_terminal and sum(least) > console.width:
        _print_rows(columns, found)
        return
    table = Table(box=None, pad_edge=True, header_style="dim")
    for number, name in enumerate(columns):
        right = all(set(row[number]) <= NUMBER_LIKE for row in found)
        folds = least[number] < _width(number, columns, found)
        table.add_column(name, justify="right" if right else "left", no_wrap=not folds, overflow="fold")
    for row in found:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, width=max(console.width, sum(least))).print(table)


def _width(number: int, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return max(len(columns[number]), *(len(row[number]) for row in rows)) + 2


def _least(number: int, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """What a column needs: words and the last column fold, names and dates never do."""
    width, longest = _width(number, columns, rows), max((row[number] for row in rows), key=len)
    if number == len(columns) - 1:
        return min(width, LEAST_OF_LAST)
    return min(width, LEAST_OF_WORDS) if longest.count(" ") > 1 else width


def _print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row for itself: what tells it from others, then its other cells with their names, but empty ones."""
    heads = 1 if len({row[0] for row in rows}) == len(rows) else 2
    for row in rows:
        for line in _folded("  ".join(row[:heads]), indent=1):
            say(f" {line}")
        told = [f"{name} {cell}".strip() for name, cell in zip(columns[heads:], row[heads:], strict=True) if cell]
        for line in _folded(" · ".join(told), indent=4):
            say(f"   {line}")


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
