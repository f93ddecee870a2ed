"""Rows of a record made by hand: a setup per symbol, followed as far as a test needs, with everything it hangs on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.orders import Fill, Order, OrdStatus, Side
from trading_pipeline.domain.performance import EquityPoint
from trading_pipeline.domain.positions import Trade
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import ScanSnapshot, Setup
from trading_pipeline.domain.trading_session import Intent, SessionPhase, SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline_tests.builders import (
    AT,
    SESSION,
    a_fill,
    a_plan,
    a_setup,
    a_trade,
    an_equity_point,
    an_order,
)

ACCOUNT = "A"


def opens_at(session: date) -> datetime:
    """13:30 UTC of a summer session."""
    return datetime.combine(session, time(13, 30), tzinfo=UTC)


def record_session(tx: LedgerTransaction, session: date = SESSION, equity_usd: object = 100_000) -> SessionRecord:
    """A closed session that opened flat with that equity."""
    record = SessionRecord(
        account=ACCOUNT,
        session=session,
        phase=SessionPhase.CLOSED,
        opening_cash_usd=Decimal(str(equity_usd)),
        opening_equity_usd=Decimal(str(equity_usd)),
        was_flat=True,
        cursor_at=None,
        decision_hash="d1ce",
        code_version="1",
        config_hash="c0",
        started_at=opens_at(session),
    )
    tx.save_session_record(record)
    return record


def record_equity(tx: LedgerTransaction, session: date, *values: object) -> list[EquityPoint]:
    """Equity points every hour from the open on."""
    points = [
        an_equity_point(value, session=session, at=opens_at(session) + timedelta(hours=hours))
        for hours, value in enumerate(values)
    ]
    for point in points:
        tx.add_equity_point(point)
    return points


def record_setup(tx: LedgerTransaction, symbol: str, session: date = SESSION, **changes: Any) -> Setup:
    """A selected setup in a snapshot of its own."""
    as_of = opens_at(session) + timedelta(hours=1)
    snapshot = ScanSnapshot(
        snapshot_id=f"scan-{session}-{symbol}",
        session=session,
        as_of=as_of + timedelta(seconds=sum(map(ord, symbol))),
        code_version="1",
        config_hash="c0",
        input_hash="i",
        scored=1,
        selected=1,
        created_at=AT,
    )
    setup = a_setup(
        setup_id=f"{snapshot.snapshot_id}-setup", snapshot_id=snapshot.snapshot_id, symbol=symbol, session=session,
        as_of=snapshot.as_of,
    )  # fmt: skip
    setup = replace(setup, **changes)
    tx.add_snapshot(snapshot, [setup])
    return setup


def record_plan(tx: LedgerTransaction, setup: Setup, **changes: Any) -> RiskDecision:
    """The setup's plan, and an approval of it unless changed."""
    plan = a_plan(
        plan_id=f"plan-{setup.setup_id}", setup_id=setup.setup_id, snapshot_id=setup.snapshot_id,
        symbol=setup.symbol, session=setup.session, as_of=setup.as_of,
        entry_reason=f"{setup.grade} setup: score {setup.score:.2f}",
    )  # fmt: skip
    tx.add_plan(plan)
    decision = RiskDecision(
        decision_id=f"decision-{plan.plan_id}",
        plan_id=plan.plan_id,
        approved=True,
        requested_quantity=plan.quantity,
        quantity=plan.quantity,
        reserved_risk_usd=Decimal(200),
        findings=(),
        bound_by="",
        decided_at=AT,
    )
    decision = replace(decision, **changes)
    tx.add_decision(decision)
    return decision


def record_entry(tx: LedgerTransaction, setup: Setup, **changes: Any) -> Order:
    """An approved plan with its intent and its entry, working unless changed."""
    decision = record_plan(tx, setup)
    intent = Intent(
        intent_id=f"intent-{setup.setup_id}",
        account=ACCOUNT,
        strategy="sabr20",
        session=setup.session,
        symbol=setup.symbol,
        snapshot_id=setup.snapshot_id,
        setup_id=setup.setup_id,
        plan_id=decision.plan_id,
        decision_id=decision.decision_id,
        quantity=decision.quantity,
        reserved_risk_usd=Decimal(200),
        created_at=AT,
        expires_at=AT + timedelta(minutes=15),
        code_version="1",
        config_hash="c0",
    )
    tx.add_intent(intent)
    order = an_order(
        client_order_id=f"entry-{setup.setup_id}", intent_id=intent.intent_id, symbol=setup.symbol,
        session=setup.session, venue_order_id="V-1",
    )  # fmt: skip
    order = replace(order, **changes)
    tx.add_order(order)
    return order


def record_fill(tx: LedgerTransaction, order: Order, **changes: Any) -> Fill:
    """The entry filled whole at 50.00."""
    values = {"symbol": order.symbol, "session": order.session, "client_order_id": order.client_order_id}
    fill = a_fill(Side.BUY, order.quantity, "50.00", **{**values, **changes})
    tx.add_fill(fill)
    return fill


def record_trade(
    tx: LedgerTransaction, symbol: str, session: date = SESSION, net_usd: object = 100, **changes: Any
) -> Trade:
    """A whole round trip of one symbol that closed in the session."""
    setup = record_setup(tx, symbol, session)
    order = record_entry(tx, setup, cum_qty=Decimal(100), status=OrdStatus.FILLED)
    record_fill(tx, order, executed_at=opens_at(session) + timedelta(hours=2))
    trade = a_trade(
        net_usd, trade_id=order.client_order_id, symbol=symbol, session=session, setup_id=setup.setup_id,
        snapshot_id=setup.snapshot_id, entry_at=opens_at(session) + timedelta(hours=2),
        exit_at=opens_at(session) + timedelta(hours=3), entry_reason=f"{setup.grade} setup: score {setup.score:.2f}",
    )  # fmt: skip
    trade = replace(trade, **changes)
    tx.add_trade(trade)
    return trade
