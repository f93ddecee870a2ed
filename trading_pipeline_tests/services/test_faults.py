"""Faults of venue, data and database that no other test of the services plays whole: see docs/faults.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import permutations

import pytest
from sqlalchemy import event

from trading_pipeline.adapters.clock import FixedClock, SteppedClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.control import BlockKind
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.orders import Leg, Side
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.ports import Broker, Ledger
from trading_pipeline.services import care
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.guarded import holding
from trading_pipeline_tests.services.reconciling import Passes, kinds
from trading_pipeline_tests.services.scripted import (
    NEXT,
    OPENS,
    TIMES,
    Scene,
    Stage,
    a_bar,
    flat_bars,
    minute,
    quote,
)
from trading_pipeline_tests.services.test_live_loop import ActingClock, halt
from trading_pipeline_tests.services.told import hear, positions, sold, sync, trades

FALLS = a_bar(20, "49.90", low="49.80")
DIP = [FALLS if bar.end_at == FALLS.end_at else bar for bar in flat_bars()]


def on_clock(
    scene: Scene,
    real: FixedClock,
    times: SessionTimes = TIMES,
    until: int = 120,
    through: Callable[[Broker], Broker] = lambda broker: broker,
) -> SessionLoop:
    """The scene's loop on a running clock up to a minute of the session, its venue seen `through` something."""
    desk = scene.desk(times=times, clock=SteppedClock(real.now(), real))
    loop = scene.loop(times, replace(desk, broker=through(desk.broker)))
    loop.real_clock = real
    loop.stop_requested = lambda: real.now() >= minute(until, times)
    return loop


# both sides of an OCO fill


@pytest.mark.parametrize("legs", list(permutations((Leg.STOP, Leg.TARGET))))
@pytest.mark.parametrize("at_once", [True, False])
def test_where_both_sides_of_an_oco_fill_the_record_is_never_short_and_a_person_is_called(
    stage: Stage, legs: Sequence[Leg], at_once: bool
) -> None:
    scene = holding(stage.scene())
    told = [sold(scene, 200, at=30 + number, leg=leg) for number, leg in enumerate(legs)]

    for batch in [told] if at_once else [[one] for one in told]:
        hear(scene, *batch)
        assert all(held.quantity >= 0 for held in positions(scene))

    assert [side for side, _, _ in scene.shares()] == ["BUY", "SELL"]
    assert [(one.quantity, one.exit_reason.value) for one in trades(scene)] == [(dec(200), legs[0].value)]
    assert scene.events("sale_without_shares") == [("sale_without_shares", "CRITICAL")]


def test_a_short_position_that_both_sides_of_an_oco_left_locks_its_symbol(stage: Stage) -> None:
    scene = holding(stage.scene())
    hear(scene, sold(scene, 200, leg=Leg.STOP))
    scene.venue.cancel(scene.order(Leg.TARGET).client_order_id, minute(20))
    short = scene.venue._state.holdings["XYZ"]
    scene.venue._state.holdings["XYZ"] = replace(short, quantity=dec(-200))
    passes = Passes(scene)

    found = [kinds(passes()) for _ in range(2)]

    assert "unknown_position" in found[1]
    assert ("XYZ", BlockKind.RECONCILE_BREAK) in passes.blocks()
    assert ("reconcile_break", "CRITICAL") in scene.events()
    decided = decide_on_snapshot(passes.desk(), scene.watchlist("XYZ", at=30), TIMES, quote("50.00", 30))
    assert decided.approved == 0


# the venue is down at the open


@pytest.mark.parametrize("down_for", [6, 22])
def test_with_the_venue_down_at_the_open_what_sleeps_under_its_stop_is_safe_and_entries_wait_for_a_clean_look(
    stage: Stage, down_for: int
) -> None:
    fallen = [a_bar(ends, "47.00", opened="50.00" if ends == 5 else None, times=NEXT) for ends in range(5, 125, 5)]
    other = [a_bar(ends, "49.90", low="49.80", symbol="ABC", times=NEXT) for ends in range(5, 125, 5)]
    scene = stage.scene(bars=[*DIP, *fallen, *other], exits={"hold": "swing"})
    scene.watchlist("XYZ")
    scene.loop().run()
    assert [held.quantity for held in positions(scene)] == [200]
    for at in range(0, 120, 15):
        scene.regime(at=24 * 60 + at, score=80.0, session=NEXT.session)
    for at in (15, 30, 45):
        scene.watchlist("ABC", at=at, times=NEXT)

    real = FixedClock(NEXT.opens_at)
    back_at = minute(down_for, NEXT)

    looked: list[Reconciliation | None] = []

    def unreachable(name: str, call: Callable[[], object]) -> object:
        if real.now() < back_at:
            raise OutcomeUnknown(f"{name}: nobody listens at the venue")
        if name == "submit":
            with scene.ledger.read() as tx:
                looked.append(tx.last_reconciliation("A"))
        return call()

    on_clock(scene, real, NEXT, 50, lambda broker: Down(broker, unreachable)).run()

    stopped_out = next(fill for fill in scene.fills() if fill.side is Side.SELL)
    assert (stopped_out.price <= dec(48), stopped_out.executed_at) == (True, minute(5, NEXT))
    assert [fill.symbol for fill in scene.fills() if fill.executed_at > back_at][:1] == ["ABC"]
    assert looked
    assert all(one is not None and one.at >= back_at and not one.breaks for one in looked)


class Down(Wrapped):
    """A venue of which no question is answered either."""

    def __getattribute__(self, name: str) -> object:
        found = object.__getattribute__(self, name)
        if name not in QUESTIONS:
            return found
        return lambda *asked: object.__getattribute__(self, "around")(name, lambda: found(*asked))


QUESTIONS = frozenset({"open_orders", "positions", "account", "execution_reports", "order", "cash_activities"})


# no price is no quote


NOTHING = [Decimal("NaN"), Decimal("Infinity"), Decimal(0), Decimal(-50)]


@pytest.mark.parametrize("price", NOTHING)
def test_what_is_no_price_moves_no_stop_marks_nothing_and_leaves_nothing(stage: Stage, price: Decimal) -> None:
    scene = holding(stage.scene())
    before, resting = positions(scene), [(o.client_order_id, o.stop_price) for o in scene.venue.open_orders()]
    none = {"XYZ": Quote("XYZ", price, minute(30))}
    high = {"XYZ": Quote("XYZ", dec("54.50"), minute(30))}

    for earlier, now in ((none, none), (high, none), (none, high)):
        assert care.trail_stops(scene.desk(at=35), before, earlier, later(now, 35)) == 0
    care.mark_positions(scene.desk(at=30), none)
    care.exit_due(scene.desk(at=30), TIMES, none)
    care.guard_protection(scene.desk(at=30), TIMES)
    dispatch_due(scene.desk(at=30))

    assert [(held.quantity, held.stop, held.mark) for held in positions(scene)] == [
        (held.quantity, held.stop, held.mark) for held in before
    ]
    assert [(o.client_order_id, o.stop_price) for o in scene.venue.open_orders()] == resting


@pytest.mark.parametrize("price", NOTHING)
def test_what_is_no_price_sizes_no_entry(stage: Stage, price: Decimal) -> None:
    scene = stage.scene()
    desk = scene.desk(at=15)
    scene.start(desk)

    decided = decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, {"XYZ": Quote("XYZ", price, minute(15))})

    assert (decided.approved, scene.orders()) == (0, [])


@pytest.mark.parametrize("times", [Decimal(10), Decimal("0.1")])
def test_a_quote_ten_times_too_high_or_low_sizes_no_entry(stage: Stage, times: Decimal) -> None:
    scene = stage.scene()
    desk = scene.desk(at=15)
    scene.start(desk)

    decided = decide_on_snapshot(desk, scene.watchlist("XYZ"), TIMES, quote(dec(50) * times, 15))

    assert (decided.approved, scene.orders()) == (0, [])


def later(quotes: dict[str, Quote], at: int) -> dict[str, Quote]:
    return {symbol: replace(one, quoted_at=minute(at)) for symbol, one in quotes.items()}


# an old watchlist


def test_a_watchlist_that_comes_when_it_is_old_is_never_traded(stage: Stage) -> None:
    scene = stage.scene(bars=DIP)
    real = ActingClock(OPENS, at=minute(52), act=lambda: _written(scene))
    loop = on_clock(scene, real, until=70)
    loop.live = True

    loop.run()

    assert real.done
    assert scene.orders() == []


def _written(scene: Scene) -> None:
    scene.watchlist("XYZ", at=15)


# a slow database


def test_on_a_database_that_takes_200_ms_a_statement_the_session_trades_and_a_halt_is_obeyed_within_seconds(
    stage: Stage,
) -> None:
    quick, slow = (stage.scene(bars=[*DIP, *flat_bars("50.40", "ABC")]) for _ in range(2))
    canceled_at = []
    for scene, milliseconds in ((quick, 0), (slow, 200)):
        scene.watchlist("XYZ", "ABC", at=15)
        real = ActingClock(OPENS, at=minute(22), act=partial(halt, scene))
        slowed(scene.ledger, real, milliseconds)

        def watched(name: str, call: Callable[[], object], real: FixedClock = real) -> object:
            canceled_at.extend([real.now()] if name == "cancel" else [])
            return call()

        on_clock(scene, real, TIMES, 32, partial(Wrapped, around=watched)).run()

    assert slow.shares() == quick.shares()
    assert slow.statuses() == quick.statuses()
    assert minute(22) <= canceled_at[-1] <= minute(22) + timedelta(seconds=30)
    assert slow.events() == quick.events()


def slowed(ledger: Ledger, real: FixedClock, milliseconds: int) -> None:
    """From now on each statement takes so long."""
    assert isinstance(ledger, SqlLedger)
    event.listen(
        ledger._engine, "before_cursor_execute",
        lambda *_: real.sleep_until(real.now() + timedelta(milliseconds=milliseconds)),
    )  # fmt: skip


# symbols that mean harm


HOSTILE = (
    "'; DROP TABLE fills; --",
    "../../../etc/passwd",
    "[bold red]X[/]",
    "=cmd|' /C calc'!A0",
    "A\nB\x1b[2J",
    "{0}%s",
)


def test_hostile_symbols_are_names_and_nothing_else_from_the_watchlist_to_the_fill(stage: Stage) -> None:
    scene = stage.scene(risk={"max_open_positions": 20, "max_total_exposure_fraction": "0.8"})
    desk = scene.desk(at=15)
    scene.start(desk)
    quotes = {symbol: Quote(symbol, dec(50), minute(15)) for symbol in HOSTILE}

    decide_on_snapshot(desk, scene.watchlist(*HOSTILE), TIMES, quotes)
    dispatch_due(desk)
    scene.venue.on_bars([a_bar(20, "49.90", symbol=symbol) for symbol in HOSTILE], minute(20))
    sync(scene)

    entered = {order.symbol for order in scene.orders(Leg.ENTRY)}
    assert entered
    assert entered <= set(HOSTILE)
    assert {held.symbol for held in positions(scene)} == entered
    with scene.ledger.read() as tx:
        assert len(tx.decisions("A", TIMES.session)) == len(HOSTILE)
        assert tx.row_counts()["fills"] == len(entered)
