"""Random acts on random worlds: python -m trading_pipeline_tests.machine [--steps N] [--seed S] [--workers 2].

A failure names its world: --world N plays that one again, and shows the few acts that are needed for it.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.ports import Ledger
from trading_pipeline_tests.machine.drive import Failure, Played, play_all, play_world, shrink
from trading_pipeline_tests.machine.tally import missing
from trading_pipeline_tests.memory_ledger import MemoryLedger

CHUNK = 5_000
"""Steps a process does at a time."""
ENOUGH = 100_000
"""A run of so many steps must have seen everything that can happen."""


@contextmanager
def ledgers(kind: str) -> Iterator[Callable[[], Ledger]]:
    """What makes an empty ledger: in memory, or a SQLite file of its own."""
    if kind == "memory":
        yield MemoryLedger
        return
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  a private folder in it
    with tempfile.TemporaryDirectory(prefix="machine-", dir=memory) as folder:
        empty = Path(folder) / "empty"
        SqlLedger.open(default_url(empty)).close()

        def make() -> Ledger:
            home = Path(folder) / "one"
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(empty, home)
            return SqlLedger(default_url(home))

        yield make


def play_chunk(steps: int, seed: int, kind: str) -> Played:
    """So many steps, in a process of their own."""
    logging.disable()
    with ledgers(kind) as make_ledger:
        return play_all(steps, seed, make_ledger)


def run(steps: int, seed: int, kind: str, workers: int, console: Console) -> Played:
    """Share the steps among processes; the first failure ends it."""
    sizes = [CHUNK] * (steps // CHUNK) + ([steps % CHUNK] if steps % CHUNK else [])
    total = Played()
    with ProcessPoolExecutor(workers) as pool, Progress(console=console, transient=True) as shown:
        task = shown.add_task("steps", total=steps)
        chunks = [pool.submit(play_chunk, size, seed * 10_000 + n, kind) for n, size in enumerate(sizes)]
        for number, chunk in enumerate(as_completed(chunks), start=1):
            total.add(chunk.result())
            shown.update(task, completed=total.steps)
            if not console.is_terminal and number % 20 == 0:
                console.print(f"{total.steps:,} steps in {total.worlds:,} worlds")
            if total.failure is not None:
                pool.shutdown(cancel_futures=True)
                break
    return total


def main(arguments: Sequence[str]) -> int:
    """Play, show what happened, and return 1 when a law was broken or a long run has not seen everything."""
    options = _parser().parse_args(arguments)
    console, started = Console(), time.monotonic()
    if options.world is not None:
        logging.disable()
        with ledgers(options.ledger) as make_ledger:
            total = play_world(options.world, make_ledger)
    else:
        total = run(options.steps, options.seed, options.ledger, options.workers, console)
    _show(console, total, time.monotonic() - started)
    if total.failure is not None:
        _show_failure(console, total.failure)
        return 1
    unseen = missing(total.what) if total.steps >= ENOUGH else []
    if unseen:
        console.print(f"never happened: {', '.join(unseen)}")
    return int(bool(unseen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trading_pipeline_tests.machine", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ledger", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--world", type=int, help="one world, as named by a failure")
    return parser


def _show(console: Console, total: Played, seconds: float) -> None:
    table = Table("what", "times")
    for name, times in sorted(total.what.items()):
        table.add_row(name, f"{times:,}")
    console.print(table)
    failures, pace = int(total.failure is not None), total.steps / max(seconds, 0.001)
    console.print(
        f"{total.steps:,} steps in {total.worlds:,} worlds, {total.rested:,} of them with nothing on its way; "
        f"{seconds:,.0f} s, {pace:,.0f} steps/s; failures: {failures}"
    )


def _show_failure(console: Console, failure: Failure) -> None:
    console.print(failure.message, highlight=False, soft_wrap=True, markup=False)
    console.print(f"world {failure.seed}, {len(failure.moves)} acts; again: --world {failure.seed}. Needed are:")
    for move in shrink(failure):
        console.print(f"  {move}", highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
