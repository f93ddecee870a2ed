"""The loop on a running clock: rounds between bars, a halt carried out, a silent venue, a ledger gone, a stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from trading_pipeline.adapters.clock import FixedClock, SteppedClock
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.errors import LedgerUnavailable, NaiveDatetimeError, OutcomeUnknown
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.domain.submission import SubmissionRules
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.border import Pacer
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline.services.trading_state import set_trading_state
from trading_pipeline_tests.fakes import Wrapped, losing_broker
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, a_bar, flat_bars, minute


@dataclass
class ActingClock(FixedClock):
    """At an instant something happens, once."""

    at: datetime = OPENS
    act: Callable[[], None] = lambda: None
    done: bool = False

    def sleep_until(self, instant: datetime) -> None:
        super().sleep_until(instant)
        if self.instant >= self.at and not self.done:
            self.done = True
            self.act()


def live(scene: Scene, real: FixedClock) -> SessionLoop:
    """The scene's loop on a real clock."""
    loop = scene.loop(desk=scene.desk(clock=SteppedClock(OPENS, real)))
    loop.real_clock = real
    return loop


def far(stage: Stage) -> Scene:
    """An entry that never fills."""
    scene = stage.scene(bars=flat_bars("50.00"))
    scene.watchlist("XYZ", at=15)
    return scene


def halt(scene: Scene, state: TradingState = TradingState.HALTED) -> None:
    set_trading_state(scene.ledger, "A", state, reason="a drill", operator="tester", at=minute(17))


def test_a_halt_between_two_bars_withdraws_working_entries_within_seconds(stage: Stage) -> None:
    scene = far(stage)
    clock = ActingClock(OPENS, at=minute(17), act=lambda: halt(scene))

    live(scene, clock).run()

    entry = scene.order()
    assert entry.status is OrdStatus.CANCELED
    assert minute(17) <= entry.updated_at <= minute(17) + timedelta(seconds=10)


def test_after_a_halt_no_watchlist_leads_to_an_order(stage: Stage) -> None:
    scene = far(stage)
    scene.watchlist("ABC", at=30)
    clock = ActingClock(OPENS, at=minute(17), act=lambda: halt(scene))

    live(scene, clock).run()

    assert [o.symbol for o in scene.orders(Leg.ENTRY) if o.submitted_at] == ["XYZ"]


def test_e25_a_loop_asked_to_stop_ends_within_a_round_and_leaves_stops_at_the_venue(stage: Stage) -> None:
    scene = stage.scene(bars=[*flat_bars("49.90")])
    scene.watchlist("XYZ", at=15)
    clock = FixedClock(OPENS)
    loop = live(scene, clock)
    loop.stop_requested = lambda: clock.now() >= minute(27)

    record = loop.run()

    assert record.phase is SessionPhase.RUNNING
    assert clock.now() <= minute(27) + timedelta(seconds=10)
    with scene.ledger.read() as tx:
        held = tx.positions("A")
    stops = [order for order in scene.venue.open_orders() if order.stop_price]
    assert sum(order.quantity for order in stops) == sum(position.quantity for position in held)
    assert scene.loop().run().phase is SessionPhase.CLOSED


def test_a_silent_venue_is_waited_for_and_holds_entries_from_five_silences_to_a_minute_after(stage: Stage) -> None:
    scene = far(stage)
    clock = FixedClock(OPENS)

    class Silent(Wrapped):
        def execution_reports(self, since: datetime):  # type: ignore[no-untyped-def]
            if minute(16) < clock.now() < minute(19):
                raise OutcomeUnknown("no answer within 5 s")
            return self.broker.execution_reports(since)

    desk = scene.desk(clock=SteppedClock(OPENS, clock))
    loop = scene.loop(desk=replace(desk, broker=Silent(desk.broker, answered)))
    loop.real_clock, loop.market = clock, None  # a venue with a market of its own is asked every few seconds

    assert loop.run().phase is SessionPhase.CLOSED
    with scene.ledger.read() as tx:
        events = [one for one in tx.risk_events("A", TIMES.session) if one.kind.startswith("condition")]
        told = [(one.kind, one.level.value) for one in tx.alerts("A") if one.kind.startswith("connection")]
        assert (tx.blocks("A"), tx.trading_state("A")) == ([], None)
    assert [(one.kind, one.data["trigger"]) for one in events] == [
        ("condition_began", "venue_silent"), ("condition_ended", "venue_silent"),
    ]  # fmt: skip
    assert told == [("connection_lost", "ERROR"), ("connection_restored", "INFO")]
    assert minute(16) < events[0].occurred_at < minute(17)
    assert minute(20) <= events[1].occurred_at <= minute(20) + timedelta(seconds=10)


def test_e23_a_partly_filled_entry_is_looked_at_twice_as_often_and_loses_its_remainder_in_time(stage: Stage) -> None:
    thin = a_bar(20, "49.90", low="49.80", volume=800)
    scene = stage.scene(bars=[thin if bar.end_at == minute(20) else bar for bar in flat_bars("50.00")])
    scene.watchlist("XYZ", at=15)
    clock = FixedClock(OPENS)
    loop, rounds = live(scene, clock), list[datetime]()
    loop.stop_requested = lambda: rounds.append(clock.now()) or clock.now() >= minute(21)  # type: ignore[func-returns-value]

    loop.run()

    entry, second = scene.order(), timedelta(seconds=1)
    assert entry.status is OrdStatus.CANCELED
    assert entry.updated_at <= minute(20) + 5 * second
    assert minute(20) + 2.5 * second in rounds
    assert minute(19) + 2.5 * second not in rounds
    assert minute(20) + 50 * second in rounds


def answered(name: str, call: Callable[[], object]) -> object:
    return call()


class GoneLedger:
    """A ledger that cannot be written after some transactions. Implements Ledger."""

    def __init__(self, ledger: Ledger, writes: int) -> None:
        self._ledger, self.left = ledger, writes

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        self.left -= 1
        if self.left < 0:
            raise LedgerUnavailable("the ledger is gone: nothing was written")
        return self._ledger.transaction()

    def read(self) -> AbstractContextManager[LedgerTransaction]:
        return self._ledger.read()

    def fenced(self, lease: object) -> Ledger:  # noqa: ARG002
        raise AssertionError


@pytest.mark.parametrize("writes", range(2, 12))
def test_when_the_ledger_is_gone_the_loop_stops_and_nothing_was_sent_that_is_not_on_record(
    stage: Stage, writes: int
) -> None:
    scene = far(stage)
    broker = losing_broker(scene.desk().broker)
    desk = scene.desk(ledger=GoneLedger(scene.ledger, writes), broker=broker)
    with pytest.raises(LedgerUnavailable, match="nothing was written"):
        scene.loop(desk=desk).run()

    claimed = {order.client_order_id for order in scene.orders() if order.submitted_at}
    assert set(broker.sent) <= claimed

    assert scene.loop().run().phase is SessionPhase.CLOSED
    assert len(scene.orders(Leg.ENTRY)) == 1


def test_instants_without_a_time_zone_are_refused_at_the_door(stage: Stage) -> None:
    scene = far(stage)
    naive = SessionTimes(TIMES.session, TIMES.opens_at.replace(tzinfo=None), TIMES.closes_at)
    loop = scene.loop()
    loop.times = naive

    with pytest.raises(NaiveDatetimeError):
        loop.run()


class BackwardsClock(FixedClock):
    """A machine's clock that is set back two minutes at every look."""

    def now(self) -> datetime:
        return self.instant - timedelta(minutes=2)


def test_a_clock_that_runs_backwards_changes_nothing(stage: Stage) -> None:
    replayed, set_back = far(stage), far(stage)
    expected = replayed.loop().run()

    record = live(set_back, BackwardsClock(OPENS)).run()

    assert record.decision_hash == expected.decision_hash


# the border's rates


def test_entries_keep_within_five_a_second_and_none_is_dropped() -> None:
    clock = FixedClock(OPENS)
    pacer = Pacer(clock, SubmissionRules())
    left = []
    for _ in range(12):
        pacer.entry()
        left.append(clock.now())

    assert len(left) == 12
    for start in left:
        assert sum(start <= at < start + timedelta(seconds=1) for at in left) <= 5
    assert clock.now() < OPENS + timedelta(seconds=3)


def test_protection_has_requests_of_its_own_when_entries_have_used_theirs() -> None:
    clock = FixedClock(OPENS)
    pacer = Pacer(clock, SubmissionRules(orders_per_second=50, venue_requests_per_minute=100))
    for _ in range(70):
        pacer.entry()
    used_up_at = clock.now()

    for _ in range(30):
        pacer.protection()
    assert clock.now() == used_up_at

    pacer.entry()
    assert clock.now() > OPENS + timedelta(minutes=1)


def test_a_restart_is_no_way_around_a_rate() -> None:
    clock = FixedClock(OPENS)
    pacer = Pacer(clock, SubmissionRules())
    pacer.seed([OPENS] * 5)

    pacer.entry()

    assert clock.now() > OPENS + timedelta(seconds=1)
