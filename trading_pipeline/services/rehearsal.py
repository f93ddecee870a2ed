"""The verdict over a rehearsal: what the record says, held against what the venue itself saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import ExecType, Fill, Order, OrdStatus
from trading_pipeline.domain.rehearsal import Check, Disturbances, RehearsedSession, VenueEye, Verdict
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.ports import Broker, Ledger, LedgerTransaction

NAKED_SECONDS = 10.0
"""Longest that shares may be held at the venue under no active stop."""
Execution = tuple[str, str, str, str]
"""Symbol, side, shares, price: what both sides must have in common of a fill, whatever they call it."""


def judge(
    ledger: Ledger, venue: Broker, eye: VenueEye, account: str, done: Mapping[date, Disturbances], broker: str
) -> Verdict:
    """Hold the record of the sessions against the venue's own. venue: the venue by its own door, not by the broker's.

    Raises MissingResultError when no session is on record.
    """
    days = sorted(done)
    with ledger.read() as tx:
        records = {record.session: record for record in tx.session_records(account)}
        if not any(day in records for day in days):
            raise MissingResultError(f"none of the {len(days)} rehearsed sessions is on record for account {account}")
        first = min(record.started_at for record in records.values())
        sessions = tuple(_figures(tx, account, day, done[day]) for day in days)
        checks = (
            _closed(sessions),
            *_executions(tx, venue, account, first),
            _cash(tx, venue, account, max(records)),
            _positions(tx, venue, account),
            _reconciled(tx, account),
            _covered(eye),
        )
        alarms = Counter(a.kind for day in days for a in tx.alerts(account, day) if a.level is not AlertLevel.INFO)
    return Verdict(
        broker=broker, account=account, sessions=sessions, checks=checks, faults=eye.faults,
        alarms=dict(sorted(alarms.items())),
    )  # fmt: skip


def _figures(tx: LedgerTransaction, account: str, day: date, done: Disturbances) -> RehearsedSession:
    record, trades = tx.session_record(account, day), tx.trades(account, day, day)
    alarms = [alert for alert in tx.alerts(account, day) if alert.level is not AlertLevel.INFO]
    phase = record.phase.value if record else "never started"
    return RehearsedSession(
        session=day, phase=phase, orders=len(_sent(tx.orders(account, day))),
        fills=len(tx.fills(account, session=day)), trades=len(trades), net_usd=sum((t.net_usd for t in trades), ZERO),
        alarms=len(alarms), kills=done.kills, restarts=done.restarts,
    )  # fmt: skip


def _sent(orders: Sequence[Order]) -> list[Order]:
    """Orders the venue took: it gave them a number, or reported on them."""
    return [order for order in orders if order.venue_order_id and order.status is not OrdStatus.DENIED]


def _closed(sessions: Sequence[RehearsedSession]) -> Check:
    open_ones = [one for one in sessions if one.phase != SessionPhase.CLOSED.value]
    told = ", ".join(f"{one.session} is {one.phase}" for one in open_ones)
    return Check(
        name="every session ran to its close", holds=not open_ones,
        measured=told or f"{len(sessions)} of {len(sessions)} closed",
    )  # fmt: skip


def _executions(tx: LedgerTransaction, venue: Broker, account: str, first: datetime) -> tuple[Check, Check]:
    """Every execution of the venue is on record once, and nothing else is; no entry was sent twice."""
    ours = Counter(_execution(fill) for fill in tx.fills(account) if not fill.is_reversal)
    trades = [report for report in venue.execution_reports(first) if report.exec_type is ExecType.TRADE]
    theirs: Counter[Execution] = Counter()
    for report in trades:
        order = venue.order(report.client_order_id)
        assert order is not None, f"the venue reported a fill of {report.client_order_id} and does not know it"
        theirs[(order.symbol, order.side.value, plain(report.last_qty), plain(report.last_px))] += 1
    lost, invented = theirs - ours, ours - theirs
    return (
        Check(
            name="no fill lost", holds=not lost,
            measured=_told(lost) or f"{theirs.total()} at the venue, {ours.total()} on record",
        ),
        Check(name="no fill doubled or invented", holds=not invented, measured=_told(invented) or "none"),
    )  # fmt: skip


def _execution(fill: Fill) -> Execution:
    return (fill.symbol, fill.side.value, plain(fill.quantity), plain(fill.price))


def _told(executions: Counter[Execution]) -> str:
    return "; ".join(f"{count} × {' '.join(which)}" for which, count in sorted(executions.items()))


def _cash(tx: LedgerTransaction, venue: Broker, account: str, last: date) -> Check:
    points = tx.equity_points(account, last, last)
    ours, theirs = points[-1].cash_usd if points else None, venue.account().cash_usd
    told = "nothing on record" if ours is None else f"{plain(ours)} on record, {plain(theirs)} at the venue"
    return Check(name="cash agrees to the cent", holds=ours == theirs, measured=f"USD: {told}")


def _positions(tx: LedgerTransaction, venue: Broker, account: str) -> Check:
    ours = {position.symbol: position.quantity for position in tx.positions(account)}
    theirs = {position.symbol: position.quantity for position in venue.positions()}
    differing = sorted(symbol for symbol in {*ours, *theirs} if ours.get(symbol) != theirs.get(symbol))
    told = ", ".join(f"{s}: {ours.get(s, 0)} here, {theirs.get(s, 0)} there" for s in differing)
    return Check(name="positions agree", holds=not differing, measured=told or f"{len(ours)} on both sides")


def _reconciled(tx: LedgerTransaction, account: str) -> Check:
    last = tx.last_reconciliation(account)
    if last is None:
        return Check(name="reconciled at the end", holds=False, measured="never reconciled")
    breaks = [one for one in (*last.breaks, *last.suspected) if one.blocks]
    told = "; ".join(f"{one.kind.value} {one.subject}: {one.ours} here, {one.theirs} there" for one in breaks)
    return Check(name="reconciled at the end", holds=not breaks, measured=told or f"clean at {last.at:%Y-%m-%d %H:%M}")


def _covered(eye: VenueEye) -> Check:
    too_long = eye.longest_gap_seconds > NAKED_SECONDS
    told = f"longest {eye.longest_gap_seconds:g} s of {len(eye.gaps)} gaps" if eye.gaps else "never uncovered"
    return Check(
        name=f"nothing uncovered for more than {NAKED_SECONDS:g} s", holds=not too_long,
        measured=f"{told}: {'; '.join(eye.gaps)}" if too_long else told,
    )  # fmt: skip
