"""Kill, restart, compare: one crash at a time, at every point of a day."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.venue.faults import FaultScript
from trading_pipeline_tests.crash.days import DAYS, Day
from trading_pipeline_tests.crash.doors import Addresses, DoorKind, scripted, serve_door
from trading_pipeline_tests.crash.state import EndState, read_end_state, venue_executions, violations
from trading_pipeline_tests.crash.trader import Run, prepare, trade
from trading_pipeline_tests.forked import processes
from trading_pipeline_tests.services.scripted import TIMES

SECONDS_TO_COVER = 10.0
PATIENCE_SECONDS = 120
OPENING = Lock()
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


def calm_day(name: str, folder: Path, make_url: MakeUrl = default_url, door: DoorKind = DoorKind.SIMULATED) -> Calm:
    """Run a day undisturbed; its points are what a crash can hit."""
    with venue_of(name, folder, door) as venue:
        url = prepared(name, folder, make_url)
        run = run_of(name, url, venue, door)
        faults = [] if live(run) == 0 else ["the undisturbed run failed"]
        told = json.loads(run.result.read_text())
        end, fills = look(url, venue.addresses.control)
    faults += violations(end, end, fills) + [f"naked: {one}" for one in told["naked"]]
    if not DAYS[name].shows(end, door):
        faults.append(f"the day did not show what it is for: {end}")
    return Calm(end, tuple(told["points"]), tuple(faults))


def crash_day(
    name: str, number: int, calm: Calm, folder: Path, make_url: MakeUrl = default_url,
    door: DoorKind = DoorKind.SIMULATED,
) -> Outcome:  # fmt: skip
    """Kill the loop at one point, start it again, and say what differs from the calm day."""
    with venue_of(name, folder, door) as venue:
        url = prepared(name, folder, make_url)
        again = run_of(name, url, venue, door)
        run = replace(again, die_at=number)
        faults = [] if live(run) == -signal.SIGKILL else ["the process was not killed at its point"]
        ended = live(again)
        if not run.result.exists():  # its last act; the fork server now and then loses how a process ended
            return Outcome(name, number, calm.points[number - 1], (*faults, f"the restarted process ended: {ended}"))
        told = json.loads(run.result.read_text())
        end, fills = look(url, venue.addresses.control)
    same_log = DAYS[name].is_told_alike(at_broker=door is not DoorKind.SIMULATED)
    faults += violations(end, calm.end, fills, same_log=same_log) + [
        f"naked after the restart: {one}" for one in told["naked"]
    ]
    if told["covered_after_s"] > SECONDS_TO_COVER:
        faults.append(f"uncovered for {told['covered_after_s']:.1f} s after the restart")
    return Outcome(name, number, calm.points[number - 1], tuple(faults))


def run_of(name: str, url: str, venue: VenueProcess, door: DoorKind) -> Run:
    """What a loop process is to do on a day."""
    return Run(
        day=name, ledger_url=url, addresses=venue.addresses, result=venue.folder / "result.json", door=door,
        as_wired=DAYS[name].as_wired,
    )  # fmt: skip


def one_of_each(points: Sequence[str]) -> list[int]:
    """The number of the first and of the last point of every kind."""
    first = {point: number for number, point in reversed(list(enumerate(points, start=1)))}
    last = {point: number for number, point in enumerate(points, start=1)}
    return sorted({*first.values(), *last.values()})


def prepared(name: str, folder: Path, make_url: MakeUrl) -> str:
    """A ledger with what research would have recorded for the day."""
    url = make_url(folder)
    with OPENING:  # migrations run one at a time in a process
        ledger = SqlLedger.open(url)
    prepare(DAYS[name], ledger)
    ledger.close()
    return url


def live(run: Run, target: Callable[[Run], None] = trade) -> int | None:
    """Run one loop process to its end, or to the end of our patience; returns how it ended."""
    process: BaseProcess = processes().Process(target=target, args=(run,))
    process.start()
    process.join(PATIENCE_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


def look(url: str, venue_url: str) -> tuple[EndState, Counter[tuple[str, ...]]]:
    """The end state, and the executions of the venue by its own door."""
    ledger, broker = SqlLedger(url), RemoteBroker(venue_url, ReplayClock(datetime.now(UTC)))
    end = read_end_state(ledger, broker, "A", TIMES.session)
    fills = venue_executions(broker, ledger, "A", TIMES.session)
    ledger.close()
    return end, fills


@dataclass(slots=True)
class VenueProcess:
    """A venue in a process of its own over a state file of its own. script: what goes wrong there."""

    day: Day
    folder: Path
    door: DoorKind
    script: FaultScript
    addresses: Addresses = field(init=False)
    process: BaseProcess = field(init=False)

    def __post_init__(self) -> None:
        self._start(None)

    def _start(self, known: Addresses | None) -> None:
        here, there = processes().Pipe()
        parts = (self.door, self.folder / "venue.sqlite3", self.day.venue, self.script, there, known)
        self.process = processes().Process(target=serve_door, args=parts)
        self.process.start()
        self.addresses = here.recv()

    def revive(self) -> bool:
        """Start it again over the same file and at the same addresses, if it is dead; True when it was."""
        if self.process.is_alive():
            return False
        self._start(self.addresses)
        return True

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()


@contextmanager
def venue_of(name: str, folder: Path, door: DoorKind, script: FaultScript | None = None) -> Iterator[VenueProcess]:
    """A fresh venue for a day; ends with the block. script: instead of the day's."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    day = DAYS[name]
    venue = VenueProcess(day, folder, door, scripted(door, day.faults) if script is None else script)
    try:
        yield venue
    finally:
        venue.kill()
