"""Reconciliation against a real venue that others trade at too: found, alarmed, locked, released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.domain.control import BlockKind
from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.errors import MissingResultError, OutcomeUnknown
from trading_pipeline.domain.orders import EXTERNAL, OrdStatus, Side
from trading_pipeline.domain.reconciliation import BreakKind
from trading_pipeline.ports import VenuePosition
from trading_pipeline.services.book import recorded_cash
from trading_pipeline.services.reconcile import Reconciler, reconcile, started
from trading_pipeline.services.reconciled import why_not_reconciled
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.reconciling import (
    DAY,
    Passes,
    a_scene,
    amend,
    book_what_never_was,
    cancel_stop,
    fill_unreported,
    forget,
    holding,
    kinds,
    new_stop,
    really_fill,
    refund,
    request,
    resize,
    spend,
    stage_again,
    unfill,
)
from trading_pipeline_tests.services.scripted import Scene, Stage, a_bar, minute


@pytest.fixture
def scene(stage: Stage) -> Scene:
    return a_scene(stage)


def test_a_record_that_agrees_with_its_venue_is_clean_in_four_requests(scene: Scene) -> None:
    passed = Passes(scene)()

    assert (passed.breaks, passed.suspected, passed.is_clean) == ((), (), True)


# every kind, made at the venue or on the record


Act = Callable[[Scene], None]
CASES: dict[BreakKind, tuple[Act, Act, str, set[str]]] = {
    BreakKind.MISSING_ORDER: (forget, stage_again, "ABC", set()),
    BreakKind.MISSING_FILL: (fill_unreported, unfill, "ABC", set()),
    BreakKind.EXTRA_FILL: (book_what_never_was, really_fill, "ABC", set()),
    BreakKind.QUANTITY_DIFFERS: (
        lambda scene: holding(scene, "XYZ", 90, 4500),
        lambda scene: holding(scene, "XYZ", 100, "5002.5"),
        "XYZ",
        {"stop_quantity_wrong"},
    ),
    BreakKind.UNKNOWN_POSITION: (
        lambda scene: holding(scene, "EXT", 5, 150),
        lambda scene: holding(scene, "EXT", 0, 0),
        "EXT",
        set(),
    ),
    BreakKind.POSITION_GONE: (
        lambda scene: holding(scene, "XYZ", 0, 0),
        lambda scene: holding(scene, "XYZ", 100, "5002.5"),
        "XYZ",
        set(),
    ),
    BreakKind.CASH_DIFFERS: (spend, refund, "", set()),
    BreakKind.STOP_MISSING: (cancel_stop, new_stop, "XYZ", set()),
    BreakKind.STOP_QUANTITY_WRONG: (
        lambda scene: resize(scene, 60),
        lambda scene: resize(scene, 100),
        "XYZ",
        set(),
    ),
}


@pytest.mark.parametrize("kind", list(CASES))
def test_a_break_is_classified_locks_its_symbol_and_frees_it_again(scene: Scene, kind: BreakKind) -> None:
    tamper, undo, symbol, consequences = CASES[kind]
    make_pass = Passes(scene)

    tamper(scene)
    suspected, confirmed = make_pass(), make_pass()
    locked = make_pass.blocks()
    undo(scene)
    after = make_pass()

    assert (kinds(suspected), set(kinds(confirmed))) == ([], {kind.value} | consequences)
    assert locked == [(symbol, BlockKind.RECONCILE_BREAK)]
    assert after.is_clean, after
    assert make_pass.blocks() == []


def test_a_break_is_told_once_however_long_it_lasts(scene: Scene) -> None:
    make_pass = Passes(scene)
    spend(scene)
    for _ in range(5):
        make_pass()
    refund(scene)
    make_pass()
    spend(scene)
    for _ in range(3):
        make_pass()

    assert scene.events("reconcile_break") == [("reconcile_break", "CRITICAL")] * 2  # one for each time it came


def test_another_average_price_is_shown_and_blocks_nothing(scene: Scene) -> None:
    make_pass = Passes(scene)
    holding(scene, "XYZ", 100, 5010)

    passed = [make_pass(), make_pass()]

    assert kinds(passed[1]) == ["average_price_differs"]
    assert all(one.is_clean for one in passed)
    assert make_pass.blocks() == []
    assert scene.events() == []


def test_a_difference_of_one_pass_never_locks_anything(scene: Scene) -> None:
    make_pass = Passes(scene)
    for _ in range(4):
        spend(scene)
        assert make_pass().suspected
        refund(scene)
        assert make_pass().is_clean

    assert make_pass.blocks() == []
    assert scene.events() == []


def test_an_end_the_venue_confirms_is_taken_over(scene: Scene) -> None:
    make_pass = Passes(scene)
    amend(scene, "buy-abc", status=OrdStatus.CANCELED)

    make_pass()
    confirmed, after = make_pass(), make_pass()

    assert kinds(confirmed) == ["state_differs"]
    assert after.is_clean
    assert scene.order(symbol="ABC").status is OrdStatus.CANCELED
    assert make_pass.blocks() == []


def test_a_stop_that_stands_elsewhere_than_recorded_is_a_break(scene: Scene) -> None:
    make_pass = Passes(scene)
    ticket = scene.venue._state.tickets["stop-xyz"]
    amend(scene, "stop-xyz", terms=(replace(ticket.terms[0], stop_price=dec(40)),))

    make_pass()

    assert kinds(make_pass()) == ["state_differs"]


# what others do at the venue


def test_an_order_of_others_is_adopted_with_its_fills_and_its_close_is_a_trade_of_theirs(scene: Scene) -> None:
    make_pass = Passes(scene)
    scene.venue.submit(request("theirs", "EXT", Side.BUY, 7), make_pass.now)
    scene.venue.on_bars([a_bar(25, 30, symbol="EXT")], minute(25))
    make_pass.now = minute(25)

    make_pass()
    confirmed = make_pass()
    adopted, blocked = scene.order(symbol="EXT"), make_pass.blocks()
    after = make_pass()
    scene.venue.submit(request("theirs-out", "EXT", Side.SELL, 7), make_pass.now)
    scene.venue.on_bars([a_bar(35, 31, symbol="EXT")], minute(35))
    make_pass.now = minute(35)
    closed = [make_pass() for _ in range(4)][-1]

    assert "unknown_order" in kinds(confirmed)
    assert (adopted.strategy, adopted.intent_id, adopted.status, adopted.cum_qty) == (
        EXTERNAL,
        None,
        OrdStatus.FILLED,
        dec(7),
    )
    assert ("EXT", BlockKind.EXTERNAL) in blocked
    assert after.is_clean
    assert closed.is_clean
    assert make_pass.blocks() == []
    with scene.ledger.read() as tx:
        (trade,) = tx.trades("A")
        assert (trade.strategy, trade.symbol, trade.quantity, trade.setup_id) == (EXTERNAL, "EXT", dec(7), None)
        assert recorded_cash(tx, started(make_pass.desk(), DAY)) == scene.venue.account().cash_usd


def test_a_working_order_of_others_blocks_its_symbol_until_it_ends_and_is_never_sent_by_us(scene: Scene) -> None:
    make_pass = Passes(scene)
    scene.venue.submit(request("theirs", "EXT", Side.BUY, 7, limit=dec(20)), make_pass.now)

    for _ in range(3):
        passed = make_pass()
    with scene.ledger.read() as tx:
        unsent = tx.unsent_orders("A")
    blocked = make_pass.blocks()
    scene.venue.cancel("theirs", make_pass.now)
    ended = make_pass()

    assert passed.is_clean
    assert unsent == []
    assert blocked == [("EXT", BlockKind.EXTERNAL)]
    assert (ended.is_clean, make_pass.blocks()) == (True, [])


def test_a_dividend_is_imported_and_is_no_difference(scene: Scene) -> None:
    make_pass = Passes(scene)
    dividend = CashActivity(
        broker="simulated", activity_id="d-1", account="A", session=DAY, kind=CashKind.DIVIDEND, amount_usd=dec(250),
        occurred_at=make_pass.now, symbol="XYZ",
    )  # fmt: skip
    scene.venue._state.activities.append(dividend)
    scene.venue._state.cash_usd += 250

    passed = [make_pass(), make_pass()]

    assert [one.is_clean and not one.breaks for one in passed] == [True, True]
    with scene.ledger.read() as tx:
        assert [one.amount_usd for one in tx.cash_activities("A", session=DAY)] == [dec(250)]


# when, and what it allows


def test_e26_a_venue_that_gives_no_answer_is_neither_clean_nor_a_break(scene: Scene) -> None:
    make_pass = Passes(scene)
    make_pass()
    spend(scene)
    silent = Wrapped(make_pass.desk().broker, lambda _, call: call())
    silent.positions = lost  # type: ignore[method-assign]

    assert reconcile(replace(make_pass.desk(), broker=silent), DAY) is None
    assert make_pass.blocks() == []
    with scene.ledger.read() as tx:
        passed = tx.last_reconciliation("A")
        assert passed is not None
        assert passed.is_clean


def lost() -> list[VenuePosition]:
    raise OutcomeUnknown("no answer within 10 s")


def test_e25_what_was_filled_while_no_process_ran_is_on_record_after_the_first_pass(scene: Scene) -> None:
    make_pass = Passes(scene)
    scene.venue.on_bars([a_bar(25, 9, symbol="ABC"), a_bar(25, 47)], minute(25))
    make_pass.now = minute(25)

    passed = make_pass()

    assert (passed.breaks, passed.suspected) == ((), ())
    with scene.ledger.read() as tx:
        assert [(held.symbol, held.quantity) for held in tx.positions("A")] == [("ABC", dec(10))]
        assert recorded_cash(tx, started(make_pass.desk(), DAY)) == scene.venue.account().cash_usd


def test_a_fill_between_two_reads_is_no_difference(scene: Scene) -> None:
    make_pass = Passes(scene)
    racing = Wrapped(make_pass.desk().broker, lambda _, call: call())
    bars = [[a_bar(25, 9, symbol="ABC")]]

    def positions() -> list[VenuePosition]:
        if bars:
            scene.venue.on_bars(bars.pop(), minute(25))
        return list(racing.broker.positions())

    racing.positions = positions  # type: ignore[method-assign]
    passed = reconcile(replace(make_pass.desk(), broker=racing), DAY)

    assert passed is not None
    assert (passed.breaks, passed.suspected) == ((), ())
    assert scene.order(symbol="ABC").cum_qty == 10


def test_no_entry_before_a_clean_pass_of_this_session_or_long_after_it(scene: Scene) -> None:
    make_pass = Passes(scene)

    def reason(symbol: str = "", after: int = 0) -> str:
        with scene.ledger.read() as tx:
            return why_not_reconciled(tx, make_pass.desk(), DAY, make_pass.now + timedelta(seconds=after), symbol)

    assert "has not been compared" in reason()
    make_pass()
    assert reason() == ""
    assert reason(after=90 + 5 * 60) == ""
    assert "was last compared" in reason(after=91 + 5 * 60)
    holding(scene, "XYZ", 90, 4500)
    make_pass()
    assert "quantity differs (XYZ): on record 100 at" in reason("XYZ")
    assert reason("ABC") == ""
    spend(scene)
    make_pass()
    assert "cash differs" in reason("ABC")


def test_e43_a_pass_is_due_at_the_start_on_a_reconnect_every_30_s_and_5_s_after_a_suspicion(
    scene: Scene,
) -> None:
    clock = ReplayClock(minute(20))
    reconciler = Reconciler(scene.desk(clock=clock), DAY)
    due = []

    for second in range(100):
        clock.sleep_until(minute(20) + timedelta(seconds=second))
        if second == 40:
            spend(scene)
        if second == 95:
            reconciler.reconnected()
        if reconciler.run_if_due() is not None:
            due.append(second)

    assert due == [0, 30, 60, 65, 95]


def test_a_pass_repeated_after_a_crash_at_the_same_instant_is_the_same_pass(scene: Scene) -> None:
    make_pass = Passes(scene)
    first = make_pass()
    assert make_pass(0) == first
    spend(scene)

    changed = make_pass(0)

    assert changed.at - first.at == timedelta(microseconds=1)
    with scene.ledger.read() as tx:
        assert tx.last_reconciliation("A") == changed


def test_a_session_that_was_never_started_has_nothing_to_compare(stage: Stage) -> None:
    scene = stage.unknown_regime()

    with pytest.raises(MissingResultError, match="has not been started"):
        reconcile(scene.desk(), DAY)
