"""What limits entries across watchlists: latches, cuts, counters, reservations, and what is never limited."""

# ruff: noqa: ARG002 - a fake takes what its port gives

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from trading_pipeline.domain.control import Block, BlockKind, TradingState, TradingStateRecord
from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.errors import InputError, LedgerConflict
from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.order_states import advance
from trading_pipeline.domain.orders import ExecType, Leg, OrdStatus
from trading_pipeline.domain.risk import Code, RiskBook, Verdict, open_risk_of
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.services.book import read_book
from trading_pipeline.services.entries import Decided, decide_on_snapshot, rearm
from trading_pipeline_tests.builders import a_report, dec, facts
from trading_pipeline_tests.services.scripted import TIMES, Scene, Stage, minute, quote


def started(stage: Stage, **settings: Any) -> Scene:
    scene = stage.scene(**settings)
    scene.start(scene.desk())
    return scene


def quotes_of(*symbols: str, at: int = 15, **sides: Any) -> dict[str, Quote]:
    return {name: replace(quote("50.00", at, name)[name], **sides) for name in symbols}


def decide(scene: Scene, *symbols: str, at: int = 15, quotes: dict[str, Quote] | None = None, **desk: Any) -> Decided:
    snapshot = scene.watchlist(*symbols, at=at)
    return decide_on_snapshot(
        scene.desk(at=at, **desk), snapshot, TIMES, quotes_of(*symbols, at=at) if quotes is None else quotes
    )


def codes_of(scene: Scene, at: int) -> set[Code]:
    """Codes of the denials on the watchlist of that minute."""
    with scene.ledger.read() as tx:
        plans = {plan.plan_id for plan in tx.plans("A", TIMES.session) if plan.as_of == minute(at)}
        decisions = [one for one in tx.decisions("A", TIMES.session) if one.plan_id in plans]
    return {f.code for one in decisions for f in one.findings if f.verdict is Verdict.DENIAL}


def book_of(scene: Scene, at: int = 60) -> RiskBook:
    desk = scene.desk(at=at)
    snapshot = ScanSnapshot(
        snapshot_id="none", session=TIMES.session, as_of=minute(at), code_version="1", config_hash="c", input_hash="i",
        scored=0, selected=0, created_at=minute(at),
    )  # fmt: skip
    with scene.ledger.read() as tx:
        return read_book(desk, tx, snapshot, TIMES, minute(at))


def end(scene: Scene, exec_type: ExecType, at: int, filled: int = 0) -> None:
    """The newest entry and its legs end; so many shares of it fill before."""
    entry = max(scene.orders(Leg.ENTRY), key=lambda order: order.created_at)
    with scene.ledger.transaction() as tx:
        for order in (entry, *tx.children(entry.client_order_id)):
            reports = [a_report(ExecType.NEW), a_report(exec_type, occurred_at=minute(at))]
            if filled and order is entry:
                reports.insert(1, a_report(ExecType.TRADE, last_qty=filled))
            for report in reports:
                told = replace(report, client_order_id=order.client_order_id)
                tx.add_report("simulated", told)
                order = advance(order, told)  # noqa: PLW2901
            tx.save_order(order)


# --- repeated execution: latched until a person re-arms


def entered_three_times(scene: Scene) -> None:
    for at in (15, 20, 25):
        assert decide(scene, "XYZ", at=at).approved == 1
        end(scene, ExecType.CANCELED, at)


def test_one_entry_too_many_in_a_symbol_is_latched_until_a_person_re_arms_it(stage: Stage) -> None:
    scene = started(stage)
    entered_three_times(scene)

    assert decide(scene, "XYZ", at=30).approved == 0
    assert Code.REPEATED_EXECUTION in codes_of(scene, 30)
    with scene.ledger.read() as tx:
        (block,) = tx.blocks("A")
    assert (block.symbol, block.kind) == ("XYZ", BlockKind.REPEATED_EXECUTION)
    assert scene.events("repeated_execution") == [("repeated_execution", "ERROR")]
    assert decide(scene, "XYZ", at=35).approved == 0
    assert {Code.BLOCKED, Code.REPEATED_EXECUTION} <= codes_of(scene, 35)
    assert len(scene.events("repeated_execution")) == 1

    assert rearm(scene.desk(at=40), "XYZ", TIMES.session, reason="looked at it", operator="ann") == 1

    assert decide(scene, "XYZ", at=40).approved == 1
    with scene.ledger.read() as tx:
        assert tx.blocks("A") == []
        assert any(entry.actor == "ann" or "ann" in str(entry.data) for _, entry in tx.audit_entries())


def test_after_a_re_arm_the_count_starts_anew_and_latches_anew(stage: Stage) -> None:
    scene = started(stage, risk={"max_entries_per_symbol_per_session": 1})
    for at, again in ((15, 20), (25, 30), (35, 40)):
        assert decide(scene, "XYZ", at=at).approved == 1
        end(scene, ExecType.CANCELED, at)
        assert decide(scene, "XYZ", at=again).approved == 0
        rearm(scene.desk(at=again), "XYZ", TIMES.session, reason="again", operator="ann")

    assert len(scene.events("repeated_execution")) == 3


@pytest.mark.parametrize(("reason", "operator"), [("", "ann"), ("why", " ")])
def test_a_re_arm_needs_a_name_a_reason_and_a_latched_symbol(stage: Stage, reason: str, operator: str) -> None:
    scene = started(stage)

    with pytest.raises(InputError, match="needs a name and a reason"):
        rearm(scene.desk(), "XYZ", TIMES.session, reason=reason, operator=operator)
    with pytest.raises(InputError, match="XYZ is not blocked for repeated execution"):
        rearm(scene.desk(), "XYZ", TIMES.session, reason="why", operator="ann")


# --- long, repeated and rogue watchlists


def test_of_ten_thousand_rows_the_best_hundred_are_decided_and_the_rest_is_told(stage: Stage) -> None:
    scene = started(stage)

    decided = decide(scene, *(f"S{n}" for n in range(10_000)), quotes={})

    assert decided.planned == 100
    with scene.ledger.read() as tx:
        (event,) = tx.risk_events("A", TIMES.session)
    assert (event.kind, event.data["rows"], event.data["decided"]) == ("watchlist_cut", "10000", "100")
    assert "of 10000 rows the best 100 were decided" in event.message


def test_a_watchlist_that_lists_a_symbol_twice_is_refused_whole(stage: Stage) -> None:
    scene = started(stage)

    with pytest.raises(LedgerConflict, match="refused a second row with the same identity"):
        scene.watchlist("XYZ", "ABC", "XYZ")
    with scene.ledger.read() as tx:
        assert tx.snapshots(TIMES.session) == []


def intents(scene: Scene) -> list[Any]:
    with scene.ledger.read() as tx:
        return list(tx.intents("A", TIMES.session))


def test_rows_of_one_watchlist_decided_in_parts_share_the_limit_of_one_execution(stage: Stage) -> None:
    scene = started(stage, risk={"max_orders_per_execution": 2, "max_sector_exposure_fraction": None})
    decide(scene, "AAA", "BBB", "CCC")
    with scene.ledger.read() as tx:
        (snapshot,) = tx.snapshots(TIMES.session)
        book = read_book(scene.desk(at=15), tx, snapshot, TIMES, minute(15))

    assert len(intents(scene)) == book.orders_this_execution == 2


# --- what a working entry reserves ends with it


@pytest.mark.parametrize("ended", [ExecType.CANCELED, ExecType.REJECTED, ExecType.EXPIRED])
def test_a_reservation_ends_with_its_entry(stage: Stage, ended: ExecType) -> None:
    scene = started(stage)
    decide(scene, "XYZ")
    reserved = book_of(scene)
    assert sum(open_risk_of(held) for held in reserved.exposures) == 400
    assert reserved.buying_power_usd == reserved.settled_cash_usd == 90_000

    end(scene, ended, 20)

    freed = book_of(scene)
    assert freed.exposures == ()
    assert freed.buying_power_usd == freed.settled_cash_usd == 100_000
    assert freed.entries_today_by_symbol == {"XYZ": 1}  # it was sent: also a refusal counts


def test_an_entry_partly_filled_reserves_the_rest_and_then_nothing(stage: Stage) -> None:
    scene = started(stage)
    decide(scene, "XYZ")
    entry = scene.order()
    told = replace(a_report(ExecType.TRADE, last_qty=50), client_order_id=entry.client_order_id)
    new = replace(a_report(ExecType.NEW), client_order_id=entry.client_order_id)
    with scene.ledger.transaction() as tx:
        tx.add_report("simulated", new)
        tx.add_report("simulated", told)
        tx.save_order(advance(advance(entry, new), told))
    (part,) = book_of(scene).exposures
    assert (part.quantity, part.reserved_risk_usd) == (dec(150), dec(300))

    with scene.ledger.transaction() as tx:
        working = tx.order(entry.client_order_id)
        assert working is not None
        over = replace(a_report(ExecType.CANCELED), client_order_id=entry.client_order_id)
        tx.add_report("simulated", over)
        tx.save_order(advance(working, over))

    assert book_of(scene).exposures == ()


def test_an_entry_that_was_denied_before_it_left_counts_nowhere(stage: Stage) -> None:
    scene = started(stage)
    decide(scene, "XYZ")
    with scene.ledger.transaction() as tx:
        for order in scene.orders():
            tx.save_order(replace(order, status=OrdStatus.DENIED))

    book = book_of(scene)
    assert (book.exposures, book.orders_today, book.entries_today_by_symbol) == ((), 0, {})


# --- what the book is fed with


def test_a_deposit_is_no_profit_and_a_withdrawal_no_loss(stage: Stage) -> None:
    scene = started(stage)
    moved = CashActivity(
        broker="simulated", activity_id="1", account="A", session=TIMES.session, kind=CashKind.WITHDRAWAL,
        amount_usd=dec(-50_000), occurred_at=minute(5),
    )  # fmt: skip
    with scene.ledger.transaction() as tx:
        tx.add_cash_activity(moved)
        tx.add_cash_activity(replace(moved, activity_id="2", kind=CashKind.DIVIDEND, amount_usd=dec(10)))

    book = book_of(scene)

    assert (book.cash_flows_today_usd, book.equity_usd) == (dec(-50_000), dec(50_010))
    assert decide(scene, "XYZ").approved == 1


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
def test_nothing_is_entered_unless_the_state_is_active(stage: Stage, state: TradingState) -> None:
    scene = started(stage)
    with scene.ledger.transaction() as tx:
        tx.set_trading_state(
            TradingStateRecord(account="A", state=state, reason="test", set_by="ann", changed_at=minute(1))
        )

    assert decide(scene, "XYZ").approved == 0
    assert Code.TRADING_STATE in codes_of(scene, 15)


@pytest.mark.parametrize(("symbol", "approved"), [("XYZ", 1), ("", 0), ("OTHER", 2)])
def test_a_block_stops_its_symbol_or_the_whole_account(stage: Stage, symbol: str, approved: int) -> None:
    scene = started(stage)
    block = Block(block_id="b", account="A", symbol=symbol, kind=BlockKind.EXTERNAL, reason="adopted", since=minute(1))
    with scene.ledger.transaction() as tx:
        tx.add_block(block)

    assert decide(scene, "XYZ", "ABC").approved == approved


def test_bid_and_ask_of_the_quote_reach_the_checks(stage: Stage) -> None:
    scene = started(stage)

    wide = quotes_of("XYZ", bid=dec("49.80"), ask=dec("50.20"))

    assert decide(scene, "XYZ", quotes=wide).approved == 0
    assert codes_of(scene, 15) == {Code.SPREAD}


class OneSector:
    """Facts that put every symbol into one sector, each moving like the other when asked to."""

    def __init__(self, rho: float = 0.0) -> None:
        self.rho = rho

    def prepare(self, session: object) -> None: ...

    def facts(self, symbols: Any, held: Any, session: object, now: object) -> dict[str, Any]:
        others = dict.fromkeys(held, self.rho)
        return {s: facts(s, "Energy", correlations={k: v for k, v in others.items() if k != s}) for s in symbols}

    def value_at_risk_usd(self, values_usd: dict[str, Decimal], session: object) -> Decimal | None:
        return sum(values_usd.values(), Decimal(0)) / 20


def test_entries_of_one_watchlist_fill_their_sector_together(stage: Stage) -> None:
    scene = started(stage)

    assert decide(scene, "AAA", "BBB", "CCC", "DDD", facts=OneSector()).approved == 3
    assert Code.SECTOR_EXPOSURE in codes_of(scene, 15)


def test_entries_of_one_watchlist_that_move_alike_are_one_entry(stage: Stage) -> None:
    scene = started(stage)

    assert decide(scene, "AAA", "BBB", "CCC", facts=OneSector(rho=0.9)).approved == 1
    assert Code.CORRELATION in codes_of(scene, 15)


def test_a_value_at_risk_limit_counts_the_entries_before(stage: Stage) -> None:
    scene = started(stage, risk={"max_value_at_risk_fraction": "0.01"})  # 1,000 USD: 20,000 USD of stock here

    assert decide(scene, "AAA", "BBB", "CCC", facts=OneSector()).approved == 2
    assert codes_of(scene, 15) == {Code.VALUE_AT_RISK}


# --- what is never limited


def test_stops_targets_and_exits_leave_whatever_the_limits_say(stage: Stage) -> None:
    scene = stage.scene()
    scene.watchlist("XYZ")
    scene.loop().run()
    bought, sold = scene.shares()

    tight = stage.scene(
        risk={
            "max_orders_per_day": 1, "max_orders_per_symbol_per_day": 1, "max_orders_per_execution": 1,
            "max_entries_per_symbol_per_session": 1, "max_quote_age_seconds": 1, "collar_fraction": "0.0001",
        }
    )  # fmt: skip
    tight.watchlist("XYZ")
    tight.loop().run()

    assert tight.shares() == [bought, sold]
