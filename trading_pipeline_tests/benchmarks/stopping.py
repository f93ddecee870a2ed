"""Benchmarks of stopping: a halt by the loop, a kill past it, and how long after the word the last entry leaves."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.adapters.clock import ReplayClock, SystemClock
from trading_pipeline.adapters.latch_file import FileLatch
from trading_pipeline.domain.control import Alert, AlertLevel, TradingState
from trading_pipeline.domain.orders import AnyRequest
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.ports import Ledger
from trading_pipeline.services.border import border
from trading_pipeline.services.cycle import Cycle
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.kill import Hand, KillReport, Means, a_kill, kill
from trading_pipeline.services.latch import Latch
from trading_pipeline.services.reconcile import Reconciler
from trading_pipeline.services.trading_state import set_trading_state
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.venue_worlds import a_door
from trading_pipeline_tests.benchmarks import rooms
from trading_pipeline_tests.benchmarks.harness import Timings
from trading_pipeline_tests.benchmarks.sizes import Sizes
from trading_pipeline_tests.benchmarks.trading import FASTEST, SETUPS, fresh, require, watchlist
from trading_pipeline_tests.services.scripted import TIMES, minute
from trading_pipeline_tests.venue.builders import a_bracket

WORKING = 100
"""Entries that work at the venue when everything is killed; a tenth of it when only the first reaction is timed."""
WATCHLISTS = 3
"""Of ten entries each, all to be sent; the word comes while those of the first leave."""
ANSWER_S = 0.0005
"""How long the venue takes to acknowledge each: far less than a real one, so that many more could leave."""


def halt(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """A halt from the word, in file and record, to the last cancel of ten working entries; an alert put on record; an
    order acknowledged."""
    shutil.rmtree(folder / "halt", ignore_errors=True)
    ledger = rooms.empty_ledger(folder, "halt")
    snapshot = watchlist(ledger, SETUPS, at=15)
    for number in range(sizes.stops):
        _halt_once(ledger, folder / "halt", f"H{number}", snapshot, timings)
    ledger.close()


def _halt_once(ledger: Ledger, folder: Path, account: str, snapshot: ScanSnapshot, timings: Timings) -> None:
    room, clock = rooms.venue_room(ledger, account)
    latch = Latch(FileLatch(folder, account), clock)
    room = replace(room, desk=replace(room.desk, latch=latch))
    with timings.measure("acknowledged"):
        decide_on_snapshot(room.desk, snapshot, TIMES, fresh(clock, SETUPS))
        sent = dispatch_due(room.desk).sent
    dealings = Cycle(room.desk, TIMES, Reconciler(room.desk, TIMES.session))
    dealings.look(room.record)
    room.calls.clear()
    with timings.measure("halt"):
        latch.overwrite(a_kill(account, TIMES.session, operator="me", reason="test", flatten=False, clock=clock))
        set_trading_state(ledger, account, TradingState.HALTED, reason="test", operator="me", at=clock.now())
        dealings.watch(room.record, {})
    require(room.calls["cancel"], sent, "cancels sent")
    alert = Alert(
        alert_id=account, account=account, session=TIMES.session, occurred_at=clock.now(), level=AlertLevel.CRITICAL,
        kind="halted", message="trading is halted", data={},
    )  # fmt: skip
    with timings.measure("alert"), ledger.transaction() as tx:
        tx.add_alert(alert)
    require(sent, SETUPS, "entries working")


def killed(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """From the word to the last entry that still left, twice as often as the rest; from a kill to the latch and the
    last cancel sent; and, with a hundred entries working, until the venue shows none of them."""
    shutil.rmtree(folder / "killed", ignore_errors=True)
    ledger = rooms.empty_ledger(folder, "killed")
    listed = [watchlist(ledger, SETUPS, at=15 + number, first=number * SETUPS) for number in range(WATCHLISTS)]
    left = [_block_once(ledger, folder / "killed", number, listed, timings) for number in range(2 * sizes.stops)]
    timings.counts |= {"entries": WATCHLISTS * SETUPS, "left_after": max(left)}
    for number in range(sizes.stops):
        done = _kill_once(folder / "killed", f"S{number}", WORKING // 10, timings, "stopped")
        require(float(done.sent_ms is not None), 1, "kills that sent")
        timings.wall_s["stopped"][-1] = (done.sent_ms or 0.0) / 1000  # the rest is waiting for the venue's word
    for number in range(max(sizes.stops // 5, 1)):
        _kill_once(folder / "killed", f"K{number}", WORKING, timings, "killed")
    ledger.close()


class SlowBroker(rooms.InstantBroker):
    """Takes every order after a while; the word comes when so many have left. Notes when each one left."""

    def __init__(self, word: threading.Event, before_word: int) -> None:
        super().__init__()
        self.left, self._word, self._before_word = list[float](), word, before_word

    def submit(self, request: AnyRequest) -> str:
        self.left.append(time.perf_counter())
        if len(self.left) == self._before_word:
            self._word.set()
        time.sleep(ANSWER_S)
        return super().submit(request)


def _block_once(ledger: Ledger, folder: Path, number: int, listed: Sequence[ScanSnapshot], timings: Timings) -> int:
    """Entries leave one after the other; somebody else latches meanwhile. Returns how many left after the word."""
    account, before_word, word, at = f"B{number}", 1 + number % SETUPS, threading.Event(), list[float]()
    latch, theirs = (Latch(FileLatch(folder, account), SystemClock()) for _ in range(2))  # theirs: another process'
    clock = ReplayClock(minute(15))
    broker = SlowBroker(word, before_word)
    room = rooms.a_room(ledger, broker, account, clock, submission=FASTEST)
    edge = border(room.desk.broker, clock, room.desk.rules.submission)
    limits = room.desk.rules.risk.model_copy(update={"max_orders_per_execution": WATCHLISTS * SETUPS})
    rules = room.desk.rules.model_copy(update={"risk": limits})
    desk = replace(room.desk, broker=edge, border=edge, latch=latch, rules=rules)
    for which, snapshot in enumerate(listed):
        clock.sleep_until(snapshot.as_of)
        decide_on_snapshot(desk, snapshot, TIMES, fresh(clock, SETUPS, which * SETUPS))
    trip = a_kill(account, TIMES.session, operator="me", reason="test", flatten=False, clock=SystemClock())

    def say() -> None:
        word.wait(60)
        at.append(time.perf_counter())
        theirs.overwrite(trip)

    person = threading.Thread(target=say)
    person.start()
    with timings.measure("blocked"):
        dispatch_due(desk)
    person.join()
    after = [one for one in broker.left if one > at[0]]
    timings.wall_s["blocked"][-1] = max((one - at[0] for one in after), default=0.0)
    require(float(before_word <= len(broker.left) < WATCHLISTS * SETUPS), 1, "dispatches cut short")
    return len(after)


def _kill_once(folder: Path, account: str, working: int, timings: Timings, name: str) -> KillReport:
    """Past ledger and loop: the latch file, cancels at a venue behind its door, and its word that none works."""
    with a_door(SimulatedVenue(None, VenueRules(account=account, initial_cash_usd=Decimal(10_000_000)))) as url:
        clock = ReplayClock(minute(15))
        for number in range(working):
            RemoteBroker(url, clock).submit(a_bracket(f"b{number}", entry=10, stop=5, target=20, symbol=f"S{number}"))
        means = Means(
            account=account, session=TIMES.session, latch=Latch(FileLatch(folder, account), SystemClock()),
            clock=SystemClock(), elapsed=time.monotonic, sleep=time.sleep,
            venue=lambda: nullcontext(Hand(RemoteBroker(url, clock))), record=lambda _: None,
        )  # fmt: skip
        word = a_kill(account, TIMES.session, operator="me", reason="test", flatten=False, clock=clock)
        with timings.measure(name):
            done = kill(means, word)
    require(len(done.canceled), working, "cancels sent")
    require(float(done.is_verified), 1, "verified")
    return done
