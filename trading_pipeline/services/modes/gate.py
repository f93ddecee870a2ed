"""The evidence for a higher mode, measured from the record, and the report of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pandas as pd

from trading_pipeline.analytics import performance
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.gate_rules import Evidence, Wanted, judge
from trading_pipeline.domain.mode_gate import GateReport, report_id
from trading_pipeline.domain.modes import limits_hash
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.performance import EquityPoint
from trading_pipeline.domain.positions import Trade
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.trades import whole_trades
from trading_pipeline.domain.trading_session import RiskEvent, SessionPhase, SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.breaker import ControlView
from trading_pipeline.services.modes.transitions import present_mode
from trading_pipeline.services.readiness import SELF_TEST, TURN

SIMULATED = "simulated"
"""What fills of our own simulator are signed with."""
BREACHES = frozenset({
    Trigger.DAILY_LOSS, Trigger.DRAWDOWN, Trigger.ERROR_STREAK, Trigger.RECONCILIATION, Trigger.ORDERS_WITHOUT_INTENT,
    Trigger.TOO_MANY_INTENTS,
})  # fmt: skip
"""Trips that say a limit was broken; a person's pause or kill, and conditions that lift, are none."""


class Asked(NamedTuple):
    """For whom a report is made: the account, and the one whose record is the evidence. equity_usd: as stated.

    digest: of the settings sessions are run under now; empty: they are not asked for.
    """

    account: str
    evidence_account: str
    limits: RiskLimits
    control: ControlView
    equity_usd: Decimal | None = None
    digest: str = ""


def gate_report(tx: LedgerTransaction, asked: Asked, wanted: Wanted) -> GateReport:
    """Everything that was measured for what is wanted, under the hash of its content. Writes nothing."""
    since = _since(tx, asked)
    found = evidence(tx, asked, since)
    made = GateReport(
        report_id="", account=asked.account, evidence_account=asked.evidence_account, kind=wanted.kind,
        mode=wanted.rung.mode, step=wanted.rung.step, symbols=wanted.rung.symbols, since=since, made_at=wanted.at,
        made_by=wanted.said_by, config_hash=wanted.config_hash,
        limits_hash=limits_hash(asked.limits, wanted.rung), items=judge(wanted, found),
    )  # fmt: skip
    return replace(made, report_id=report_id(asdict(made)))


def _since(tx: LedgerTransaction, asked: Asked) -> datetime | None:
    """Since when evidence counts: since its account entered its mode; of another account's, only what came after the
    asking account last fell from a live mode, or was stopped in one."""
    entered = present_mode(tx, asked.evidence_account).entered_at
    if asked.evidence_account == asked.account:
        return entered
    falls = [one.at for one in tx.mode_changes(asked.account) if one.before.is_live and not one.kind.needs_approval]
    return max((at for at in (entered, *falls[-1:]) if at is not None), default=None)


def evidence(tx: LedgerTransaction, asked: Asked, since: datetime | None) -> Evidence:
    """What the record shows of sessions begun, and trades entered, since then (None: ever)."""
    account, first = asked.evidence_account, _day_before(since)
    closed = [one for one in tx.session_records(account) if _counts(one, since)]
    elsewhere = _elsewhere(tx, closed, asked)
    records = [one for one in closed if one.session not in elsewhere]
    sessions = {one.session for one in records}
    trades = [
        one for one in whole_trades(tx.trades(account, first))
        if (since is None or one.entry_at >= since) and one.session not in elsewhere
    ]  # fmt: skip
    points = [one for one in tx.equity_points(account, first) if one.session in sessions]
    flows = [one for one in tx.cash_activities(account) if one.kind.is_flow]
    returns = session_returns(records, points, flows)
    return Evidence(
        sessions=len(records), trades=len(trades), net_usd=sum((one.net_usd for one in trades), ZERO),
        wins=_with(trades, 1), losses=_with(trades, -1), daily_returns=returns,
        sharpe=performance.sharpe(pd.Series(returns, dtype="float64")),
        drawdown_fraction=-performance.max_drawdown(_curve(records, points, flows)),
        breaches=_breaches(tx, account, since), equity_usd=_equity(tx, asked),
        not_reconciled=_not_reconciled(tx, account), self_test_failed=_self_test_failed(tx, account),
        held_back="; ".join(cause.words for cause in asked.control.causes), cooldown_until=asked.control.cooldown_until,
        simulated=sum(one.broker == SIMULATED for each in sessions for one in tx.fills(account, session=each)),
        elsewhere=len(elsewhere),
    )  # fmt: skip


def session_returns(
    records: Sequence[SessionRecord], points: Sequence[EquityPoint], flows: Sequence[CashActivity]
) -> tuple[float, ...]:
    """Fractional change of equity per session, money put in or taken out left aside; nights between count.

    Sessions without trades count (E-32). The first is measured from its opening equity. A base of zero or less ends
    it: from there on nothing can be said, and the sample is too small.
    """
    last = {point.session: point.equity_usd for point in points}
    found, base, before = list[float](), records[0].opening_equity_usd if records else ZERO, None
    for record in records:
        closing = last.get(record.session, record.opening_equity_usd)
        moved = sum((f.amount_usd for f in flows if _within(f, before, record)), ZERO)
        if base <= 0:
            return tuple(found)
        found.append(float((closing - moved) / base - 1))
        base, before = closing, record
    return tuple(found)


def _within(flow: CashActivity, before: SessionRecord | None, record: SessionRecord) -> bool:
    """In this session, or since the one before; before the first session's opening it is in its opening equity."""
    if before is None:
        return flow.session == record.session and flow.occurred_at > record.started_at
    return before.session < flow.session <= record.session


def _curve(
    records: Sequence[SessionRecord], points: Sequence[EquityPoint], flows: Sequence[CashActivity]
) -> pd.Series[float]:
    """Equity at every point, without what was put in or taken out since the first opening."""
    if not records:
        return pd.Series(dtype="float64")
    first = records[0]
    later = [flow for flow in flows if flow.occurred_at > first.started_at and flow.session >= first.session]
    curve = [float(first.opening_equity_usd)]
    for point in points:
        moved = sum((flow.amount_usd for flow in later if flow.occurred_at <= point.at), ZERO)
        curve.append(float(point.equity_usd - moved))
    return pd.Series(curve, dtype="float64")


def _day_before(since: datetime | None) -> date | None:
    """No session of an earlier date can hold anything from then on, wherever its exchange is."""
    return None if since is None else since.date() - timedelta(days=1)


def _counts(record: SessionRecord, since: datetime | None) -> bool:
    return record.phase is SessionPhase.CLOSED and (since is None or record.started_at >= since)


def _elsewhere(tx: LedgerTransaction, closed: Sequence[SessionRecord], asked: Asked) -> frozenset[date]:
    """Sessions of a live rung under other settings than those of now: live, only approved ones start, so that they were
    traded in paper or simulation."""
    if not asked.digest or not present_mode(tx, asked.evidence_account).rung.is_live:
        return frozenset()
    return frozenset(one.session for one in closed if one.config_hash != asked.digest)


def _with(trades: Sequence[Trade], sign: int) -> int:
    return sum(1 for trade in trades if trade.net_usd * sign > 0)


def _breaches(tx: LedgerTransaction, account: str, since: datetime | None) -> tuple[str, ...]:
    first = _day_before(since)
    sessions = [one.session for one in tx.session_records(account) if first is None or one.session >= first]
    events = [event for session in sessions for event in tx.risk_events(account, session)]
    broken = [one for one in events if one.kind in BREACHES and (since is None or one.occurred_at >= since)]
    return tuple(f"{one.kind} on {one.session}" for one in sorted(broken, key=lambda one: one.occurred_at))


def _equity(tx: LedgerTransaction, asked: Asked) -> Decimal | None:
    """The newest on record of the account itself; else what was stated."""
    records = tx.session_records(asked.account)
    if not records:
        return asked.equity_usd
    points = tx.equity_points(asked.account, records[-1].session, records[-1].session)
    return points[-1].equity_usd if points else records[-1].opening_equity_usd


def _not_reconciled(tx: LedgerTransaction, account: str) -> str:
    passed, records = tx.last_reconciliation(account), tx.session_records(account)
    if passed is None:
        return f"account {account} was never compared with a venue"
    if records and passed.session < records[-1].session:
        return f"last compared in session {passed.session}, and {records[-1].session} was begun since"
    return "" if passed.is_clean else "; ".join(one.words for one in (*passed.breaks, *passed.suspected) if one.blocks)


def _self_test_failed(tx: LedgerTransaction, account: str) -> str:
    records = tx.session_records(account)
    events = tx.risk_events(account, records[-1].session) if records else ()
    tests = [event for event in events if event.kind == SELF_TEST]
    if not tests:
        untried = f"session {records[-1].session} has not tried its controls" if records else "no session was run yet"
        return f"{untried}: one in real time does (up, or session run without --accelerated)"
    newest = max(tests, key=_turn)
    return "" if newest.severity == "INFO" else newest.message


def _turn(event: RiskEvent) -> tuple[datetime, str]:
    return event.occurred_at, event.data.get(TURN, "")
