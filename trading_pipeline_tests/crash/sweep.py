"""Kill, restart, compare: one crash at a time, at every point of a day."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock
from typing import Any

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline_tests.crash.days import DAYS
from trading_pipeline_tests.crash.doors import Addresses, DoorKind, serve_door
from trading_pipeline_tests.crash.state import EndState, read_end_state, venue_executions, violations
from trading_pipeline_tests.crash.trader import Run, prepare, trade
from trading_pipeline_tests.services.scripted import TIMES

SECONDS_TO_COVER = 10.0
PATIENCE_SECONDS = 120
OPENING = Lock()
PRELOADED = ["trading_pipeline_tests.crash.trader", "trading_pipeline_tests.crash.doors"]

MakeUrl = Callable[[Path], str]
"""A fresh, empty ledger for a folder."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One crash: where, and what was wrong afterwards (nothing, when all is well)."""

    day: str
    number: int
    point: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Calm:
    """A day nobody disturbed."""

    end: EndState
    points: tuple[str, ...]
    faults: tuple[str, ...] = field(default=())


@lru_cache(maxsize=1)
def processes() -> Any:
    """Makes real processes quickly: forked from a clean one that has the imports done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def calm_day(name: str, folder: Path, make_url: MakeUrl = default_url, door: DoorKind = DoorKind.SIMULATED) -> Calm:
    """Run a day undisturbed; its points are what a crash can hit."""
    with _venue(name, folder, door) as addresses:
        url = _prepared(name, folder, make_url)
        run = Run(day=name, ledger_url=url, addresses=addresses, result=folder / "result.json", door=door)
        faults = [] if _live(run) == 0 else ["the undisturbed run failed"]
        told = json.loads(run.result.read_text())
        end, fills = _look(url, addresses.control)
    faults += violations(end, end, fills) + [f"naked: {one}" for one in told["naked"]]
    if not DAYS[name].happened(end):
        faults.append(f"the day did not show what it is for: {end}")
    return Calm(end, tuple(told["points"]), tuple(faults))


def crash_day(
    name: str, number: int, calm: Calm, folder: Path, make_url: MakeUrl = default_url,
    door: DoorKind = DoorKind.SIMULATED,
) -> Outcome:  # fmt: skip
    """Kill the loop at one point, start it again, and say what differs from the calm day."""
    with _venue(name, folder, door) as addresses:
        url = _prepared(name, folder, make_url)
        again = Run(day=name, ledger_url=url, addresses=addresses, result=folder / "result.json", door=door)
        run = replace(again, die_at=number)
        faults = [] if _live(run) == -signal.SIGKILL else ["the process was not killed at its point"]
        ended = _live(again)
        if not run.result.exists():  # its last act; the fork server now and then loses how a process ended
            return Outcome(name, number, calm.points[number - 1], (*faults, f"the restarted process ended: {ended}"))
        told = json.loads(run.result.read_text())
        end, fills = _look(url, addresses.control)
    faults += violations(end, calm.end, fills, same_log=DAYS[name].is_told_alike) + [
        f"naked after the restart: {one}" for one in told["naked"]
    ]
    if told["covered_after_s"] > SECONDS_TO_COVER:
        faults.append(f"uncovered for {told['covered_after_s']:.1f} s after the restart")
    return Outcome(name, number, calm.points[number - 1], tuple(faults))


def one_of_each(points: Sequence[str]) -> list[int]:
    """The number of the first and of the last point of every kind."""
    first = {point: number for number, point in reversed(list(enumerate(points, start=1)))}
    last = {point: number for number, point in enumerate(points, start=1)}
    return sorted({*first.values(), *last.values()})


def _prepared(name: str, folder: Path, make_url: MakeUrl) -> str:
    url = make_url(folder)
    with OPENING:  # migrations run one at a time in a process
        ledger = SqlLedger.open(url)
    prepare(DAYS[name], ledger)
    ledger.close()
    return url


def _live(run: Run) -> int | None:
    process: BaseProcess = processes().Process(target=trade, args=(run,))
    process.start()
    process.join(PATIENCE_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


def _look(url: str, venue_url: str) -> tuple[EndState, Counter[tuple[str, ...]]]:
    ledger, broker = SqlLedger(url), RemoteBroker(venue_url, ReplayClock(datetime.now(UTC)))
    end = read_end_state(ledger, broker, "A", TIMES.session)
    fills = venue_executions(broker, ledger, "A", TIMES.session)
    ledger.close()
    return end, fills


@contextmanager
def _venue(name: str, folder: Path, door: DoorKind) -> Iterator[Addresses]:
    """A venue process of its own over a state file of its own; ends with the block."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    here, there = processes().Pipe()
    day, path = DAYS[name], folder / "venue.sqlite3"
    process: BaseProcess = processes().Process(target=serve_door, args=(door, path, day.venue, day.faults, there))
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()
