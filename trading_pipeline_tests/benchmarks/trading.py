"""Benchmarks of trading: intents, decisions, order writes, and the loop's round over many positions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from itertools import count
from pathlib import Path

from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.ports import Ledger
from trading_pipeline.services import care
from trading_pipeline.services.border import border
from trading_pipeline.services.cycle import Cycle
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.reconcile import Reconciler
from trading_pipeline_tests.benchmarks import ledger_load as load
from trading_pipeline_tests.benchmarks import rooms
from trading_pipeline_tests.benchmarks.harness import Timings
from trading_pipeline_tests.benchmarks.sizes import Sizes
from trading_pipeline_tests.postgres import OwnServer
from trading_pipeline_tests.services.scripted import TIMES, minute, write_watchlist

SETUPS = 10
"""Of one watchlist: as many as one execution may enter."""
FASTEST = {"orders_per_second": 50, "venue_requests_per_minute": 6000}
"""The highest rates there are: a day of the benchmark keeps within them without waiting."""


@cache
def durable_server() -> OwnServer:
    """PostgreSQL with fsync, started once per process."""
    return OwnServer(durable=True)


@contextmanager
def databases(folder: Path, *sets: str) -> Iterator[tuple[dict[str, SqlLedger], ...]]:
    """For each set of that name an empty ledger on SQLite and one on a durable PostgreSQL server."""
    shutil.rmtree(folder, ignore_errors=True)
    server = durable_server()
    made = tuple(
        {"sqlite": SqlLedger.open(default_url(folder / name)), "postgresql": SqlLedger.open(server.database())}
        for name in sets
    )
    try:
        yield made
    finally:
        for ledger in (ledger for one in made for ledger in one.values()):
            ledger.close()


def intents(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """The protocol's writes for one execution of ten intents after the other, beside a driver's three commits."""
    with databases(folder / "intents", "ours") as (ledgers,):
        for name, ledger in ledgers.items():
            load.prepare(ledger)
            numbers = count()
            load.write(ledger, load.execution(next(numbers)))  # statements are compiled once
            recorded = load.execution(next(numbers))
            commits = load.recorded_statements(ledger._engine, partial(load.write, ledger, recorded))
            with load.bare_commits(ledger, load.bytes_of(commits)) as bare:
                while sum(timings.wall_s.get(name, ())) < sizes.sustained_s:
                    made = [load.execution(next(numbers)) for _ in range(sizes.executions)]
                    with timings.measure(name):
                        for one in made:
                            load.write(ledger, one)
                    with timings.measure(f"{name} bound"):
                        for _ in made:
                            bare()
            timings.counts[f"{name} commits"] = len(load.durable(commits)) * sizes.executions
        timings.counts |= {"intents": sizes.executions * load.INTENTS}


def submissions(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Watchlists of ten decided and dispatched through the services, one account's day after the other.

    Beside a driver that makes as many commits of as many bytes as such a day did.
    """
    with databases(folder / "submissions", "ours") as (ledgers,):
        for name, ledger in ledgers.items():
            rooms.with_regimes(ledger)
            listed = [watchlist(ledger, SETUPS, at=15 + n, first=n * SETUPS) for n in range(sizes.watchlists)]
            submit_a_day(ledger, f"{name}-first", listed)()  # statements are compiled once
            commits = load.recorded_statements(ledger._engine, submit_a_day(ledger, f"{name}-recorded", listed))
            with load.bare_commits(ledger, load.bytes_of(commits)) as bare:
                for number in count():
                    if sum(timings.wall_s.get(name, ())) >= sizes.sustained_s:
                        break
                    day = submit_a_day(ledger, f"{name}{number}", listed)
                    with timings.measure(name):
                        day()
                    with timings.measure(f"{name} bound"):
                        bare()
            timings.counts[f"{name} commits"] = len(load.durable(commits))
        timings.counts |= {"intents": SETUPS * sizes.watchlists}


def submit_a_day(ledger: Ledger, account: str, listed: Sequence[ScanSnapshot]) -> Callable[[], None]:
    """What decides on an account's watchlists of one day and sends what was decided."""
    broker, clock = rooms.InstantBroker(), ReplayClock(minute(15))
    room = rooms.a_room(ledger, broker, account, clock, submission=FASTEST)
    edge = border(room.desk.broker, clock, room.desk.rules.submission)
    desk = replace(room.desk, broker=edge, border=edge)

    def day() -> None:
        for number, snapshot in enumerate(listed):
            clock.sleep_until(snapshot.as_of)
            decide_on_snapshot(desk, snapshot, TIMES, fresh(clock, SETUPS, number * SETUPS))
            dispatch_due(desk)
        require(broker.taken, SETUPS * len(listed), "orders sent")

    return day


def watchlist(ledger: Ledger, setups: int, *, at: int, first: int = 0) -> ScanSnapshot:
    """A watchlist of so many setups."""
    return write_watchlist(ledger, [rooms.symbol_of(number) for number in range(first, first + setups)], at=at)


def fresh(clock: ReplayClock, symbols: int, first: int = 0) -> dict[str, Quote]:
    """A quote of this instant for every symbol, at its setup's entry."""
    names = [rooms.symbol_of(number) for number in range(first, first + symbols)]
    return {name: Quote(name, rooms.ENTRY, clock.now()) for name in names}


def decision(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Deciding on a watchlist of 20 setups with 10 positions held and 99 orders on record: read, checked, committed."""
    with databases(folder / "decision", "ours") as (ledgers,):
        for name, ledger in ledgers.items():
            rooms.with_regimes(ledger)
            snapshot = watchlist(ledger, 20, at=15)
            for number in range(sizes.decisions):
                clock = ReplayClock(minute(15))
                room = rooms.a_room(ledger, rooms.InstantBroker(), f"{name}{number}", clock)
                with ledger.transaction() as tx:
                    rooms.fill_the_book(tx, room, positions=10, orders=99)
                with timings.measure(name):
                    decided = decide_on_snapshot(room.desk, snapshot, TIMES, fresh(clock, 20))
                require(decided.planned, 20, "setups decided")
                timings.counts["approved"] = decided.approved


def writes(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """The protocol's writes, and the driver alone sending the same statements; records and texts are made before.

    Of single intents, each in three commits of its own, and of executions of ten that share them.
    """
    with databases(folder / "writes", "ours", "bare") as (ledgers, others):
        for name, ledger in ledgers.items():
            load.prepare(ledger)
            load.prepare(others[name])
            numbers, recorded = count(), count(10**6)
            for size in (1, load.INTENTS):
                load.write(ledger, load.execution(next(numbers), size))
                for _ in range(sizes.rounds * 4):
                    many = sizes.executions * load.INTENTS // size
                    work = [partial(load.write, ledger, load.execution(next(recorded), size)) for _ in range(many)]
                    sent = [one for each in work for one in load.recorded_statements(ledger._engine, each)]
                    made = [load.execution(next(numbers), size) for _ in range(many)]
                    with timings.measure(f"{name} {size}"):
                        for one in made:
                            load.write(ledger, one)
                    with load.bare_driver(others[name]._engine) as send, timings.measure(f"{name} {size} driver"):
                        send(sent)
        timings.counts |= {"intents": sizes.executions * load.INTENTS}


def cycle(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """The loop's round over many positions: reports, comparison, marks, trailing, exits, protection, dispatch."""
    shutil.rmtree(folder / "cycle", ignore_errors=True)
    ledger = rooms.empty_ledger(folder, "cycle")
    room = rooms.holding(ledger, "A", sizes.positions)
    dealings = Cycle(room.desk, TIMES, Reconciler(room.desk, TIMES.session))
    dealings.look(room.record)
    before, most, moved = rooms.quotes(room, sizes.positions), 0, 0
    for number in range(sizes.cycles):
        room.wait(5)
        now = rooms.quotes(room, sizes.positions, range(number), number)
        room.calls.clear()
        with timings.measure("cycle"):
            dealings.look(room.record)
            held = care.mark_positions(room.desk, now)
            care.cancel_stale_entries(room.desk, TIMES)
            moved += care.trail_stops(room.desk, held, before, now)
            dealings.attend(room.record, now)
        before, most = now, max(most, room.calls.total())
    require(len(held), sizes.positions, "positions held")
    timings.counts |= {"positions": len(held), "calls": most, "raised": moved}
    ledger.close()


def require(found: float, expected: float, what: str) -> None:
    """Raise AssertionError unless a benchmark did its work."""
    if found != expected:
        raise AssertionError(f"{found} {what}, {expected} expected")
