"""What stops a strategy, or somebody who sends past the dispatcher, or a venue that refuses everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.errors import InputError, OrderRefused
from trading_pipeline.domain.orders import Leg, OrdStatus
from trading_pipeline.services.border import border
from trading_pipeline.services.dispatch import dispatch_due, to_request
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.trading_state import set_trading_state
from trading_pipeline_tests.fakes import Wrapped, losing_broker
from trading_pipeline_tests.services.scripted import TIMES, Scene, Stage, minute, quote
from trading_pipeline_tests.services.test_submission import accepting, set_state, state_of, undispatched


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """One approved bracket, not yet sent."""
    return undispatched(stage)


def test_an_order_that_left_without_a_claim_halts_trading(scene: Scene) -> None:
    desk = scene.desk(at=15)
    edge = border(desk.broker, desk.clock, desk.rules.submission)
    rogue = replace(scene.order(), client_order_id="rogue")
    edge.submit(to_request(rogue))
    dispatch_due(replace(desk, broker=edge, border=edge))

    assert state_of(scene) is TradingState.HALTED
    assert scene.events("orders_without_intent") == [("orders_without_intent", "CRITICAL")]


def test_claimed_orders_halt_nothing(scene: Scene) -> None:
    desk = scene.desk(at=15)
    edge = border(desk.broker, desk.clock, desk.rules.submission)

    dispatch_due(replace(desk, broker=edge, border=edge))

    assert state_of(scene) is TradingState.ACTIVE


def add_entries(scene: Scene, count: int, start: int = 0) -> None:
    """Entries written past the decisions, one symbol each."""
    model = replace(scene.order(), status=OrdStatus.PENDING_NEW, submitted_at=None, venue_order_id=None)
    with scene.ledger.transaction() as tx:
        for number in range(start, start + count):
            tx.add_order(replace(model, client_order_id=f"rogue-{number}", symbol=f"R{number}", parent_id=None))


def refusing(name: str, call: Callable[[], object]) -> object:
    raise OrderRefused("no")


def test_five_refusals_in_a_row_leave_only_exits(scene: Scene) -> None:
    add_entries(scene, 4)
    broker = Wrapped(scene.desk(at=15).broker, refusing)

    assert dispatch_due(scene.desk(at=15, broker=broker)).refused == 5

    assert state_of(scene) is TradingState.REDUCING
    assert scene.events("error_streak") == [("error_streak", "CRITICAL")]


def test_a_success_between_refusals_ends_the_row(scene: Scene) -> None:
    add_entries(scene, 5)
    answers = iter([False, False, True, False, False, False])

    def some(name: str, call: Callable[[], object]) -> object:
        if next(answers):
            return "V-9"
        raise OrderRefused("no")

    dispatch_due(scene.desk(at=15, broker=Wrapped(scene.desk(at=15).broker, some)))

    assert state_of(scene) is TradingState.ACTIVE


ROGUES = [pytest.param(300, id="300"), pytest.param(100_000, id="100,000", marks=pytest.mark.soak)]


@pytest.mark.parametrize("count", ROGUES)
def test_rogue_intents_written_straight_into_the_ledger_never_leave(scene: Scene, count: int) -> None:
    add_entries(scene, count)
    broker = losing_broker(scene.desk(at=15).broker)

    for _ in range(3):
        dispatch_due(scene.desk(at=15, broker=broker))

    assert len(broker.sent) <= 10
    assert state_of(scene) is TradingState.HALTED
    assert scene.events("too_many_intents") == [("too_many_intents", "CRITICAL")]


def test_rogue_intents_that_drip_in_one_by_one_stop_at_the_days_limit(scene: Scene) -> None:
    broker = Wrapped(scene.desk(at=15).broker, accepting)
    for number in range(0, 130, 5):
        add_entries(scene, 5, number)
        dispatch_due(scene.desk(at=15, broker=broker))

    assert len(broker.sent) <= 100
    assert state_of(scene) is TradingState.HALTED


def test_a_rule_never_loosens_what_a_person_has_set(scene: Scene) -> None:
    set_state(scene, TradingState.HALTED)
    add_entries(scene, 50)
    dispatch_due(scene.desk(at=15))

    with scene.ledger.read() as tx:
        record = tx.trading_state("A")
    assert record is not None
    assert (record.state, record.set_by) == (TradingState.HALTED, "tester")


@pytest.mark.parametrize(("reason", "operator"), [("", "me"), ("why", " ")])
def test_a_state_needs_a_reason_and_a_name(scene: Scene, reason: str, operator: str) -> None:
    with pytest.raises(InputError, match=r"--reason TEXT --operator NAME"):
        set_trading_state(scene.ledger, "A", TradingState.HALTED, reason=reason, operator=operator, at=minute(15))


SYMBOLS = tuple(f"LOOP{number}" for number in range(12))


@pytest.mark.parametrize("times", [pytest.param(8, id="8"), pytest.param(8_000, id="8,000", marks=pytest.mark.soak)])
def test_e14_e15_a_strategy_that_loops_over_fresh_watchlists_fills_the_book_once(stage: Stage, times: int) -> None:
    # given a strategy that makes twelve new setups again and again, faster than anything can fill
    scene = stage.scene()
    broker = losing_broker(scene.desk(at=15).broker)
    scene.start(scene.desk(at=15))
    quotes = {symbol: one for symbol in SYMBOLS for one in quote("50.00", 15, symbol).values()}

    for number in range(times):
        desk = scene.desk(at=15, broker=broker)
        name = f"again-{number}"
        snapshot = scene.watchlist(*SYMBOLS, at=15, made_under=name)
        later = replace(snapshot, as_of=minute(15) + timedelta(microseconds=number))
        decide_on_snapshot(desk, later, TIMES, quotes)
        dispatch_due(desk)

    # then each symbol was entered at most once, and no more than the limits hold
    symbols = [order.symbol for order in scene.orders(Leg.ENTRY) if order.submitted_at]
    assert 0 < len(symbols) <= 10
    assert len(symbols) == len(set(symbols)) == len(broker.sent)
    assert state_of(scene) is TradingState.ACTIVE
