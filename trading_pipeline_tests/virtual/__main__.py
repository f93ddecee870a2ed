"""Sessions in bad weather: python -m trading_pipeline_tests.virtual [--sessions 250] [--seed 1]."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from trading_pipeline_tests.virtual.laws import Outcome, traded_twice
from trading_pipeline_tests.virtual.weather import Trouble


def main(arguments: Sequence[str]) -> int:
    """Trade, show a table, and return 1 when anything was wrong."""
    options = _parser().parse_args(arguments)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="virtual-") as folder, Progress(console=console, transient=True) as shown:
        steps = {name: shown.add_task(name, total=options.sessions) for name in ("researched", "traded in bad weather")}
        outcome = traded_twice(Path(folder), options.sessions, options.seed, lambda name: shown.advance(steps[name]))
    _show(console, outcome)
    return 0 if outcome.holds(options.least_met) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trading_pipeline_tests.virtual", description=__doc__)
    parser.add_argument("--sessions", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least-met", type=int, default=20, help="how often each trouble must meet an open position")
    return parser


def _show(console: Console, outcome: Outcome) -> None:
    table = Table("trouble", "began", "met an open position")
    for trouble in Trouble:
        table.add_row(trouble.value, str(outcome.begun[trouble]), str(outcome.met[trouble]))
    console.print(table)
    console.print(*(f"{name}: {said}" for name, said in outcome.figures()), sep="\n")
    console.print(*outcome.breaches[:40], sep="\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
