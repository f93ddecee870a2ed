"""One leader at a time, whatever happens to the processes: waiting, taking over, and a stale one that wakes up."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.adapters.clock import FixedClock, ReplayClock, SystemClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.cadence import LeaseRules
from trading_pipeline.domain.errors import LeaseHeld, LeaseLost, LedgerUnavailable
from trading_pipeline.services.lease import acquire, fenced, leading
from trading_pipeline.venue.door import Door, listen, server_of, url_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.hub import Hub
from trading_pipeline_tests.builders import SESSION
from trading_pipeline_tests.services.leaders import QUICK, an_entry
from trading_pipeline_tests.services.scripted import FREE, minute

FORK = multiprocessing.get_context("fork")
NOW = datetime(2026, 1, 5, 15, tzinfo=UTC)
RULES = LeaseRules(lease_seconds=8, renew_seconds=2, margin_seconds=1)


def test_a_second_leader_is_refused_and_told_who_leads_and_until_when(ledger: SqlLedger) -> None:
    acquire(ledger, FixedClock(NOW), RULES, "A", "first")

    with pytest.raises(LeaseHeld, match=r"led by first \(until 15:00:08 UTC, token 1\)"):
        acquire(ledger, FixedClock(NOW), RULES, "A", "second", patience_seconds=3)


def test_a_dead_leader_is_followed_when_its_lease_has_expired(ledger: SqlLedger) -> None:
    acquire(ledger, FixedClock(NOW), RULES, "A", "dead")
    clock = FixedClock(NOW)

    follower = acquire(ledger, clock, RULES, "A", "next")

    assert follower.token == 2
    assert NOW + timedelta(seconds=8) <= clock.now() <= NOW + timedelta(seconds=9)


def test_a_released_lease_is_free_at_once(ledger: SqlLedger) -> None:
    with leading(ledger, FixedClock(NOW), RULES, "A", "first"):
        pass
    clock = FixedClock(NOW)

    assert acquire(ledger, clock, RULES, "A", "second").token == 2
    assert clock.now() == NOW


def test_a_lease_is_trusted_until_shortly_before_its_end_and_never_after(ledger: SqlLedger) -> None:
    clock = FixedClock(NOW)
    held = acquire(ledger, clock, RULES, "A", "me")

    clock.sleep_until(NOW + timedelta(seconds=6.9))
    held.require()
    clock.sleep_until(NOW + timedelta(seconds=7))

    with pytest.raises(LeaseLost, match=r"me no longer leads .*nothing more is sent or recorded"):
        held.require()


def test_a_lease_that_was_taken_over_cannot_be_renewed_released_or_written_under(ledger: SqlLedger) -> None:
    old = acquire(ledger, FixedClock(NOW), RULES, "A", "old")
    later = FixedClock(NOW + timedelta(seconds=20))
    new = acquire(ledger, later, RULES, "A", "new")
    old.clock = later

    with pytest.raises(LeaseLost):
        old.renew()
    old.release()
    with pytest.raises(LeaseLost), fenced(ledger, old).transaction() as tx:
        tx.add_order(an_entry(1, "old"))

    new.require()
    new.renew()


def test_the_margin_leaves_time_to_renew() -> None:
    with pytest.raises(ValueError, match="a healthy leader would lose its lease"):
        LeaseRules(lease_seconds=3, renew_seconds=2, margin_seconds=1)


# a leader that hangs

HUNG = LeaseRules(lease_seconds=1, renew_seconds=0.1, margin_seconds=0.2, hang_seconds=0.5)


def test_a_leader_that_gives_signs_keeps_its_lease_and_a_silent_one_loses_it(ledger: SqlLedger) -> None:
    ended = threading.Event()

    with leading(ledger, SystemClock(), HUNG, "A", "first", on_hang=ended.set) as held:
        for _ in range(20):
            time.sleep(0.1)
            held.give_sign()
            held.require()
        second = acquire(ledger, SystemClock(), HUNG, "A", "second", patience_seconds=5)

        assert ended.wait(5)
        held.give_sign()  # it wakes
        with pytest.raises(LeaseLost):
            held.require()
        with pytest.raises(LeaseLost), fenced(ledger, held).transaction():
            pass
    assert second.token == held.token + 1
    second.require()


def test_a_leader_that_wakes_in_time_goes_on(ledger: SqlLedger) -> None:
    with leading(ledger, SystemClock(), HUNG, "A", "first") as held:
        time.sleep(0.9)  # no renewal since 0.5 s, and the lease not yet over
        for _ in range(10):
            held.give_sign()
            time.sleep(0.1)
        held.require()


# two real processes


def serve(path: Path, told: Connection) -> None:
    listening = listen()
    told.send(url_of(listening))
    server_of(Door(Hub(SimulatedVenue(path, FREE)), None)).run([listening])


@contextmanager
def a_venue(folder: Path) -> Iterator[str]:
    here, there = FORK.Pipe()
    process = FORK.Process(target=serve, args=(folder / "venue.sqlite3", there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


class Leader:
    """A leader's process, as the test sees it."""

    def __init__(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "trading_pipeline_tests.services.leaders", *arguments[:2], name, arguments[2]]
        self.name, self._process = name, subprocess.Popen(command)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def stop_between_writes(leader: Leader, url: str) -> None:
    """Stop it where it holds no lock on the ledger: inside a write nobody else could write either, nor lead."""
    while True:
        leader.stop()
        probe = SqlLedger(url, lock_wait_seconds=0.05)
        try:
            with probe.transaction():
                return
        except LedgerUnavailable:
            leader.go_on()
            time.sleep(0.005)
        finally:
            probe.close()


ROUNDS = [2, *(pytest.param(10, marks=pytest.mark.soak, id=f"soak {time}") for time in range(20))]
"""How often the leader is stopped, each time at a new venue; the soak makes it two hundred."""


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_leader_that_was_stopped_past_its_lease_places_and_writes_nothing_when_it_wakes(
    tmp_path: Path, rounds: int
) -> None:
    url, end = default_url(tmp_path), tmp_path / "end"
    ledger = SqlLedger.open(url)
    with ExitStack() as stack:
        venue_url = stack.enter_context(a_venue(tmp_path))
        venue = RemoteBroker(venue_url, ReplayClock(minute(15)))
        leaders = {name: Leader(name, url, venue_url, str(end)) for name in ("one", "two")}
        for leader in leaders.values():
            stack.callback(leader.kill)

        def leads() -> str:
            with ledger.read() as tx:
                lease = tx.lease("session-loop-A")
            return lease.holder if lease and lease.is_live(datetime.now(UTC)) else ""

        def placed_by(name: str) -> tuple[set[str], set[str]]:
            with ledger.read() as tx:
                written = {order.client_order_id for order in tx.orders("A", SESSION)}
            at_venue = {order.client_order_id for order in venue.open_orders()}
            return {one for one in written if one.startswith(name)}, {one for one in at_venue if one.startswith(name)}

        for number in range(rounds):
            until(lambda: leads() in leaders)
            stale = leaders[leads()]
            (other,) = [leader for leader in leaders.values() if leader is not stale]
            time.sleep(0.03 * (number % 7))  # anywhere in its work
            stop_between_writes(stale, url)
            seen = len(placed_by(other.name)[1])
            until(lambda seen=seen, other=other: leads() == other.name and len(placed_by(other.name)[1]) > seen)  # type: ignore[misc]
            before = placed_by(stale.name)
            stale.go_on()
            time.sleep(0.25)
            assert leads() == other.name
            assert placed_by(stale.name) == before
        assert all(leader.is_alive for leader in leaders.values())
        assert QUICK.lease_seconds == 1
