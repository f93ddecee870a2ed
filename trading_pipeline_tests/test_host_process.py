"""A host as a real process: it ends in time at a signal, wherever it is, and a hung one makes room for the next."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from trading_pipeline.domain.orders import Leg
from trading_pipeline.wiring.hosting import HUNG
from trading_pipeline_tests.hosts import PATIENT, HostProcess, until
from trading_pipeline_tests.traded_home import TradedHome, traded_home

__all__ = ["traded_home"]
LIMIT = 10.0


@pytest.fixture
def made(traded_home: TradedHome, tmp_path: Path) -> TradedHome:
    return traded_home.copied_to(tmp_path)


def opening(made: TradedHome, seconds: float) -> datetime:
    """Seconds after the open of the running session."""
    return made.open().calendar.times(made.running).opens_at + timedelta(seconds=seconds)


def leads(host: HostProcess) -> Callable[[], bool]:
    return lambda: host.monitor().is_alive


def is_begun(made: TradedHome) -> bool:
    with made.open().ledger.read() as tx:
        return tx.last_reconciliation("SIM") is not None and tx.session_record("SIM", made.running) is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak), signal.SIGHUP])
def test_e25_a_host_that_waits_ends_at_a_signal_at_once_and_leaves_the_lead(
    made: TradedHome, number: signal.Signals
) -> None:
    seconds = {signal.SIGTERM: -600, signal.SIGINT: -600, signal.SIGHUP: 60}[number]
    with HostProcess(made, opening(made, seconds)) as host:
        until(leads(host))
        until(lambda: is_begun(made))

        host.send(number)

        assert host.ended(LIMIT) == 0
        assert not host.monitor().is_alive


def hanging(made: TradedHome) -> Callable[[str, Callable[[], object]], object]:
    """A venue that never answers; that it was asked is on file."""

    def never_answer(name: str, call: Callable[[], object]) -> object:
        (made.home / "hangs").touch()
        time.sleep(3600)
        return None

    return never_answer


def test_a_host_whose_venue_hangs_ends_at_a_signal_in_time_and_leaves_the_lead(made: TradedHome) -> None:
    with HostProcess(made, opening(made, 60), hanging(made), PATIENT) as host:
        until((made.home / "hangs").exists)
        asked = time.monotonic()

        host.send(signal.SIGTERM)

        assert host.ended(LIMIT) == 0
        assert time.monotonic() - asked < LIMIT
        assert not host.monitor().is_alive


def test_a_host_whose_ledger_is_locked_ends_at_a_signal_in_time(made: TradedHome) -> None:
    with HostProcess(made, opening(made, 60)) as host:
        until(lambda: is_begun(made))
        with closing(sqlite3.connect(made.home / "ledger.sqlite3", isolation_level=None)) as locking:
            locking.execute("BEGIN IMMEDIATE")

            host.send(signal.SIGTERM)

            assert host.ended(LIMIT) == 0


def test_mid_dispatch_the_order_in_hand_is_finished_and_no_other_entry_leaves(made: TradedHome) -> None:
    with made.open().ledger.read() as tx:
        picked = next(one for one in tx.snapshots(made.running) if one.selected)
    sent = made.home / "sent"

    def slow(name: str, call: Callable[[], object]) -> object:
        if name == "submit":
            with sent.open("a", encoding="utf-8") as file:
                file.write("submit\n")
            time.sleep(1.0)
        return call()

    with HostProcess(made, picked.as_of - timedelta(seconds=2), slow) as host:
        until(sent.exists)
        host.send(signal.SIGTERM)

        assert host.ended(LIMIT) == 0

    with made.open().ledger.read() as tx:
        entries = [one for one in tx.orders("SIM", made.running) if one.leg is Leg.ENTRY]
    left = [one for one in entries if one.venue_order_id]
    assert sent.read_text(encoding="utf-8").splitlines() == ["submit"]
    assert len(left) == 1


def test_a_hung_loop_loses_its_lead_ends_and_the_next_host_goes_on(made: TradedHome) -> None:
    with HostProcess(made, opening(made, 60), hanging(made)) as hung:
        until((made.home / "hangs").exists)
        token = hung.monitor().token

        assert hung.ended(2 * LIMIT) == HUNG
        assert not hung.monitor().is_alive

    with HostProcess(made, opening(made, 120), rules=PATIENT) as second:  # a busy machine is no hung loop
        until(lambda: second.monitor().is_alive and second.monitor().token > token)
        until(lambda: second.monitor().last_step_at is not None or is_begun(made))
        second.send(signal.SIGTERM)
        assert second.ended(LIMIT) == 0

    with made.open().ledger.read() as tx:
        told = tx.alerts("SIM", made.running)
    (failed,) = [one for one in told if one.kind == "loop_failed"]
    (stopped,) = [one for one in told if one.kind == "session_stopped"]
    assert "it hung" in failed.message
    assert "was stopped before the close" in stopped.message


@pytest.mark.soak
def test_a_stopped_host_is_followed_after_its_lease_and_ends_when_it_wakes(made: TradedHome) -> None:
    with HostProcess(made, opening(made, 60)) as first:
        until(lambda: is_begun(made))
        first.send(signal.SIGSTOP)
        until(lambda: not first.monitor().is_alive)

        first.send(signal.SIGCONT)

        assert first.ended(LIMIT) != 0
        assert not first.monitor().is_alive
