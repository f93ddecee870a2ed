"""The crash sweep: python -m trading_pipeline_tests.crash [--days entry,kill] [--ledger postgresql] [--door ib]."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from trading_pipeline.adapters.ledger import default_url
from trading_pipeline_tests.crash.days import DAYS
from trading_pipeline_tests.crash.doors import DoorKind
from trading_pipeline_tests.crash.sweep import Calm, MakeUrl, Outcome, calm_day, crash_day, one_of_each
from trading_pipeline_tests.postgres import postgres


@dataclass(frozen=True, slots=True, kw_only=True)
class DayResult:
    """One day's sweep."""

    day: str
    points: int
    kinds: int
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def violations(self) -> list[Outcome]:
        """Crashes after which something was wrong."""
        return [outcome for outcome in self.outcomes if outcome.faults]


def sweep_day(
    name: str, folder: Path, make_url: MakeUrl, *, every: bool, workers: int, shown: Progress, door: DoorKind
) -> DayResult:
    """Crash one day at every point, or at the first and last point of every kind; several at a time."""
    started, number = time.monotonic(), count()
    calm = calm_day(name, folder / "calm", make_url, door)
    chosen = range(1, len(calm.points) + 1) if every else one_of_each(calm.points)
    task = shown.add_task(name, total=len(chosen))

    def crash(at: int) -> Outcome:
        outcome = crash_day(name, at, calm, folder / f"{next(number)}", make_url, door)
        shown.advance(task)
        if outcome.faults:
            shown.console.print(f"{name} point {at} ({outcome.point}): {len(outcome.faults)} violations")
        return outcome

    with ThreadPoolExecutor(workers) as pool:
        outcomes = tuple(pool.map(crash, chosen))
    return DayResult(
        day=name, points=len(calm.points), kinds=len(set(calm.points)), outcomes=(*_of_calm(name, calm), *outcomes),
        seconds=time.monotonic() - started,
    )  # fmt: skip


def _of_calm(name: str, calm: Calm) -> tuple[Outcome, ...]:
    return (Outcome(name, 0, "undisturbed", calm.faults),) if calm.faults else ()


def ledgers(kind: str) -> MakeUrl:
    """What makes a fresh ledger for a run: a file in its folder, or a database of a real server."""
    return default_url if kind == "sqlite" else lambda _: postgres().database()


def main(arguments: Sequence[str]) -> int:
    """Sweep, show a table, and return 1 when anything was wrong."""
    options = _parser().parse_args(arguments)
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="crash-") as folder,
        Progress(console=console, transient=True) as shown,
    ):
        sweep = partial(
            sweep_day,
            make_url=ledgers(options.ledger),
            every=options.points == "all",
            workers=options.workers,
            shown=shown,
            door=DoorKind(options.door),
        )
        results = [sweep(name, Path(folder) / name) for name in options.days.split(",")]
    _show(console, results, f"{options.ledger}, {options.door} door")
    return 1 if any(result.violations for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trading_pipeline_tests.crash", description=__doc__)
    parser.add_argument("--days", default=",".join(DAYS), help="comma-separated; default: all")
    parser.add_argument("--ledger", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--door", choices=[kind.value for kind in DoorKind], default="simulated")
    parser.add_argument("--points", choices=("kinds", "all"), default="kinds", help="first and last of a kind, or all")
    parser.add_argument("--workers", type=int, default=2)
    return parser


def _show(console: Console, results: Sequence[DayResult], ledger: str) -> None:
    table = Table("day", "crash points", "kinds", "crashes", "violations", "seconds", title=f"crash sweep on {ledger}")
    for one in results:
        figures = (one.points, one.kinds, len(one.outcomes), len(one.violations), round(one.seconds))
        table.add_row(one.day, *map(str, figures))
    console.print(table)
    for outcome in [bad for one in results for bad in one.violations]:
        console.print(f"[bold]{outcome.day}[/bold] point {outcome.number} ({outcome.point}):")
        for fault in outcome.faults:
            console.print(f"  {fault}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
