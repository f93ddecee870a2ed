"""Applying what the venue reports: an order is rebuilt from all its reports, and what was traded is booked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from trading_pipeline.domain.alert_causes import of_rejection
from trading_pipeline.domain.errors import ContradictingReport, LedgerConflict, OutcomeUnknown, PositionWouldCrossZero
from trading_pipeline.domain.executions import CORRECTIONS, is_recordable
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.order_states import Replay, illegal_message, overfill_message, replay
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Fill, Leg, Order, OrdStatus, Side
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.booking import book, booking, due_fills, exit_event_id
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest
from trading_pipeline.services.local_reports import end_never_live

__all__ = ["Synced", "apply_report", "exit_event_id", "sync_orders"]

ENDS = frozenset({ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED})
TRADES = CORRECTIONS | {ExecType.TRADE}
EVENTS = {
    "unknown_order": "the venue reports an order we did not send",
    "sale_without_shares": "the venue reports a sale of more than is held, or takes back a purchase that was sold; it "
    "is tried again with the next reports",
    "trade_corrected": "the venue took a fill back or corrected it; it is booked. Compare trading-pipeline positions "
    "with the venue",
    "unusable_report": "the venue reports numbers or an instant nobody can use; it is passed over. If shares were "
    "traded they show as a missing fill: trading-pipeline reconcile",
    "correction_waits": "the venue takes back or corrects a trade that it has not reported; it is kept until it does",
}


@dataclass(frozen=True, slots=True)
class Synced:
    """What a round of reports changed."""

    reports: int = 0
    fills: int = 0
    closed: int = 0
    last_at: datetime | None = None
    put_off: frozenset[str] = frozenset()
    heard: bool = True
    """False when the venue gave no answer: what is on record may be out of date."""


def sync_orders(desk: Desk, session: date, since: datetime, applied: set[str] | None = None) -> Synced:
    """Fetch reports since an instant and apply those not yet applied, oldest first, in one transaction.

    session: the running session, to which new fills belong. applied: ids of reports known to be applied, which are
    passed over without asking the ledger; the new ones are added once they are committed. A venue that does not answer
    is a WARNING risk event, at most one a minute: nothing is synced this time, and the same is asked for again.
    """
    known = set() if applied is None else applied
    try:
        reports = [report for report in desk.broker.execution_reports(since) if report.exec_id not in known]
    except OutcomeUnknown as error:
        _note_silence(desk, session, str(error))
        return Synced(heard=False)
    if not reports:
        return Synced()
    with desk.ledger.transaction() as tx:
        done = _apply_all(desk, tx, session, reports)
    known.update(report.exec_id for report in reports if report.exec_id not in done.put_off)
    return done


def _note_silence(desk: Desk, session: date, message: str) -> None:
    now = desk.clock.now()
    minute = now.replace(second=0, microsecond=0)
    event = RiskEvent(
        event_id=digest("reports_unknown", desk.account, minute.isoformat()), account=desk.account, session=session,
        occurred_at=now, kind="reports_unknown", severity="WARNING",
        message=f"the venue did not tell what became of orders; asked again with the next step. {message}",
    )  # fmt: skip
    with desk.ledger.transaction() as tx:
        _alarm_once(tx, event)


def _apply_all(desk: Desk, tx: LedgerTransaction, session: date, reports: Sequence[ExecutionReport]) -> Synced:
    """Apply in order of occurrence, buys before sells; a sale that comes before its purchase waits for it."""
    usable = [report for report in reports if is_recordable(report)]
    for report in reports:
        if not is_recordable(report):
            _alarm_once(tx, _event(desk, session, replace(report, occurred_at=desk.clock.now()), "unusable_report"))
    now = desk.clock.now()  # a report dated later must not hide those that come before its time
    done = Synced(last_at=max((min(report.occurred_at, now) for report in usable), default=None))
    ended = [report for report in usable if report.exec_type in ENDS]
    waiting = sorted(usable, key=lambda report: (report.occurred_at, _is_sale(tx, report)))
    while waiting:
        early = []
        for report in waiting:
            try:
                done = _apply_new(desk, tx, session, report, done)
            except PositionWouldCrossZero:
                early.append(report)
        if len(early) == len(waiting):
            return _put_off(desk, tx, session, early, done)
        waiting = early
    for report in ended:  # after all the venue says of legs has been applied
        _end_legs(tx, report, now)
    return done


def _end_legs(tx: LedgerTransaction, report: ExecutionReport, now: datetime) -> None:
    """Legs that the venue never had (their request was lost) end with their entry."""
    entry = tx.order(report.client_order_id)
    if entry is not None and entry.leg is Leg.ENTRY and not entry.is_open:
        end_never_live(tx, entry, report.exec_type, now)


def _is_sale(tx: LedgerTransaction, report: ExecutionReport) -> bool:
    order = tx.order(report.client_order_id)
    return order is not None and order.side is Side.SELL


def _put_off(
    desk: Desk, tx: LedgerTransaction, session: date, early: Sequence[ExecutionReport], done: Synced
) -> Synced:
    """Alarm, and ask for these reports again: they are not recorded as applied."""
    for report in early:
        _alarm_once(tx, _event(desk, session, report, "sale_without_shares"))
    put_off = frozenset(report.exec_id for report in early)
    return replace(done, last_at=min(report.occurred_at for report in early), put_off=put_off)


def _alarm_once(tx: LedgerTransaction, event: RiskEvent) -> None:
    if tx.risk_event(event.event_id) is None:
        tx.add_risk_event(event)


def _apply_new(desk: Desk, tx: LedgerTransaction, session: date, report: ExecutionReport, done: Synced) -> Synced:
    order = tx.order(report.client_order_id)
    if order is None:  # the event is its record: reports hang on orders
        _alarm_once(tx, _event(desk, session, report, "unknown_order"))
        return done
    try:
        moved = apply_report(desk, tx, session, order, report)
    except ContradictingReport as contradiction:
        _alarm_once(tx, _event(desk, session, report, "contradicting_report", str(contradiction)))
        return done
    if moved is None:
        return done
    return replace(done, reports=done.reports + 1, fills=done.fills + moved[0], closed=done.closed + moved[1])


def apply_report(
    desk: Desk, tx: LedgerTransaction, session: date, order: Order, report: ExecutionReport, *, broker: str = ""
) -> tuple[int, int] | None:
    """Record one report, rebuild its order from all of them, book what was traded; (fills booked, trades closed).

    None when it was applied before. A report the order's life does not allow is a CRITICAL risk event and moves
    nothing, but shares the venue says were traded are booked all the same: the position is what the venue has. An
    overfill leaves the order full, books every share, and is a CRITICAL risk event. broker: who says so, when it is not
    the desk's venue.
    Having written nothing, raises PositionWouldCrossZero when it sells what is not held (yet), ContradictingReport when
    its exec_id is on record with other content.
    """
    said_by, known = broker or desk.broker.name, tx.reports(order.client_order_id)
    if any(one.exec_id == report.exec_id for one in known):
        _put_on_record(tx, said_by, report)
        return None
    said = [*known, report]
    new = _due(tx, said_by, session, order, said) if report.exec_type in TRADES else []
    booked = booking(desk, tx, order.symbol, new) if new else None
    _put_on_record(tx, said_by, report)
    before, found = replay(order, known), replay(order, said)
    tx.save_order(found.order)
    for event in _events(desk, session, report, before, found, new):
        tx.add_risk_event(event)
    if report.exec_type is ExecType.REJECTED and found.order.status is OrdStatus.REJECTED:
        tx.raise_alert(of_rejection(found.order))
    if report.exec_type is ExecType.REPLACED:
        _follow_stop(desk, tx, found.order)
    return len(new), book(desk, tx, session, booked) if booked else 0


def _put_on_record(tx: LedgerTransaction, broker: str, report: ExecutionReport) -> None:
    try:
        tx.add_report(broker, report)
    except LedgerConflict as conflict:
        raise ContradictingReport(f"{conflict} What was said first holds. Compare with the venue.") from conflict


def _due(
    tx: LedgerTransaction, broker: str, session: date, order: Order, said: Sequence[ExecutionReport]
) -> list[Fill]:
    fills = tx.fills(order.account, symbol=order.symbol)
    mine = [fill for fill in fills if fill.client_order_id == order.client_order_id]
    return due_fills(broker, session, order, said, mine)


def _follow_stop(desk: Desk, tx: LedgerTransaction, order: Order) -> None:
    """A position's stop is what its working stop order says."""
    if order.leg is not Leg.STOP or order.stop_price is None or not order.is_open:
        return
    for position in tx.positions(desk.account):
        if position.symbol == order.symbol:
            tx.save_position(replace(position, stop=order.stop_price))


def _events(
    desk: Desk, session: date, report: ExecutionReport, before: Replay, found: Replay, new: Sequence[Fill]
) -> list[RiskEvent]:
    """What a person should know about one report."""
    events = []
    if report in found.refused:
        words = illegal_message(before.order, report)
        events.append(_event(desk, session, report, "impossible_report", words))
    if found.surplus > before.surplus:
        words = overfill_message(found.order, found.surplus, report)
        events.append(_event(desk, session, report, "overfill", words))
    if report in found.waiting:
        events.append(_event(desk, session, report, "correction_waits", severity="WARNING"))
    if any(fill.is_reversal for fill in new):
        events.append(_event(desk, session, report, "trade_corrected", severity="WARNING"))
    return events


def _event(
    desk: Desk, session: date, report: ExecutionReport, kind: str, message: str = "", severity: str = "CRITICAL"
) -> RiskEvent:
    return RiskEvent(
        event_id=digest(kind, desk.account, report.exec_id), account=desk.account,
        session=session, occurred_at=report.occurred_at, kind=kind, severity=severity,
        message=message or EVENTS[kind],
        data={
            "client_order_id": report.client_order_id, "venue_order_id": report.venue_order_id,
            "exec_id": report.exec_id, "exec_type": report.exec_type.value, "last_qty": plain(report.last_qty),
            "last_px": plain(report.last_px), "text": report.text,
        },
    )  # fmt: skip
