"""Applying what the venue reports: orders move, fills are appended, positions fold, trades close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from trading_pipeline.domain.errors import IllegalTransition, MissingResultError, Overfill
from trading_pipeline.domain.exits import exit_reason_for
from trading_pipeline.domain.fold import apply_fill
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.order_states import advance
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Fill, Leg, Order, Side
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.domain.trades import close_trade
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest

CORRECTIONS = frozenset({ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT})
"""What a venue says when a fill it reported was not so."""
EVENTS = {
    "unknown_order": "the venue reports an order we did not send",
    "sale_without_shares": "the venue reports a sale of more than is held; it is tried again with the next reports",
    "trade_corrected": "the venue takes a fill back or corrects it: nothing is booked. Correct the record by hand, "
    "and compare trading-pipeline positions with the venue before trading on",
    "trade_reopened": "a fill after the round trip had ended: its shares are booked, and the trade on record stays",
}


@dataclass(frozen=True, slots=True)
class Synced:
    """What a round of reports changed."""

    reports: int = 0
    fills: int = 0
    closed: int = 0
    last_at: datetime | None = None
    put_off: frozenset[str] = frozenset()


def sync_orders(desk: Desk, session: date, since: datetime, applied: set[str] | None = None) -> Synced:
    """Fetch reports since an instant and apply those not yet applied, oldest first, in one transaction.

    session: the running session, to which new fills belong. applied: ids of reports known to be applied, which are
    passed over without asking the ledger; the new ones are added once they are committed.
    """
    known = set() if applied is None else applied
    reports = [report for report in desk.broker.execution_reports(since) if report.exec_id not in known]
    if not reports:
        return Synced()
    with desk.ledger.transaction() as tx:
        done = _apply_all(desk, tx, session, reports)
    known.update(report.exec_id for report in reports if report.exec_id not in done.put_off)
    return done


def _apply_all(desk: Desk, tx: LedgerTransaction, session: date, reports: Sequence[ExecutionReport]) -> Synced:
    """Apply in order of occurrence, buys before sells; a sale that comes before its purchase waits for it."""
    done = Synced(last_at=max(report.occurred_at for report in reports))
    waiting = sorted(reports, key=lambda report: (report.occurred_at, _is_sale(tx, report)))
    while waiting:
        early = []
        for report in waiting:
            if _is_early(desk, tx, report):
                early.append(report)
            else:
                done = _apply_new(desk, tx, session, report, done)
        if len(early) == len(waiting):
            return _put_off(desk, tx, session, early, done)
        waiting = early
    return done


def _is_sale(tx: LedgerTransaction, report: ExecutionReport) -> bool:
    order = tx.order(report.client_order_id)
    return order is not None and order.side is Side.SELL


def _is_early(desk: Desk, tx: LedgerTransaction, report: ExecutionReport) -> bool:
    """True for a new sale of more shares than are held so far."""
    order = tx.order(report.client_order_id)
    if report.exec_type is not ExecType.TRADE or order is None or order.side is not Side.SELL:
        return False
    held = _held(desk, tx, order.symbol)
    is_short = report.last_qty > (held.quantity if held else ZERO)
    return is_short and all(known.exec_id != report.exec_id for known in tx.reports(report.client_order_id))


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
    if not tx.add_report(desk.broker.name, report):
        return done
    filled, closed = apply_report(desk, tx, session, order, report)
    return replace(done, reports=done.reports + 1, fills=done.fills + filled, closed=done.closed + closed)


def apply_report(
    desk: Desk, tx: LedgerTransaction, session: date, order: Order, report: ExecutionReport
) -> tuple[int, int]:
    """Move one order by one new report; returns (fills added, trades closed).

    A report the order's life does not allow, or one that takes a fill back, is recorded as a CRITICAL risk event and
    moves nothing.
    """
    if report.exec_type in CORRECTIONS:
        tx.add_risk_event(_event(desk, session, report, "trade_corrected"))
        return 0, 0
    try:
        tx.save_order(advance(order, report))
    except (IllegalTransition, Overfill) as error:
        tx.add_risk_event(_event(desk, session, report, "impossible_report", str(error)))
        return 0, 0
    if report.exec_type is ExecType.REPLACED:
        _follow_replaced_leg(desk, tx, order, report)
    if report.exec_type is not ExecType.TRADE:
        return 0, 0
    fill = _fill(desk, session, order, report)
    tx.add_fill(fill)
    return 1, _book_fill(desk, tx, order, fill, report)


def _fill(desk: Desk, session: date, order: Order, report: ExecutionReport) -> Fill:
    return Fill(
        broker=desk.broker.name, exec_id=report.exec_id, client_order_id=order.client_order_id, account=desk.account,
        session=session, symbol=order.symbol, side=order.side, quantity=report.last_qty,
        price=report.last_px, commission=report.commission, executed_at=report.occurred_at,
    )  # fmt: skip


def _held(desk: Desk, tx: LedgerTransaction, symbol: str) -> Position | None:
    return next((position for position in tx.positions(desk.account) if position.symbol == symbol), None)


def _book_fill(desk: Desk, tx: LedgerTransaction, order: Order, fill: Fill, report: ExecutionReport) -> int:
    held = _held(desk, tx, order.symbol)
    position = apply_fill(held, fill)
    if held is None:
        position = _with_levels(tx, position, order)
    tx.save_position(position)
    if position.is_open:
        return 0
    if tx.trade(position.trade_id) is not None:
        tx.add_risk_event(_event(desk, fill.session, report, "trade_reopened"))
        return 0
    _close(desk, tx, position, order)
    return 1


def _with_levels(tx: LedgerTransaction, position: Position, entry: Order) -> Position:
    """Name the round trip after its entry and give it the initial levels of the legs."""
    legs = {leg.leg: leg for leg in tx.children(entry.client_order_id)}
    stop, target = legs.get(Leg.STOP), legs.get(Leg.TARGET)
    return replace(
        position,
        trade_id=entry.client_order_id,
        initial_stop=stop.stop_price if stop else None,
        stop=stop.stop_price if stop else None,
        target=target.limit_price if target else None,
    )


def _follow_replaced_leg(desk: Desk, tx: LedgerTransaction, order: Order, report: ExecutionReport) -> None:
    if order.leg is not Leg.STOP or report.stop_price is None:
        return
    for position in tx.positions(desk.account):
        if position.symbol == order.symbol:
            tx.save_position(replace(position, stop=report.stop_price))


def _close(desk: Desk, tx: LedgerTransaction, position: Position, order: Order) -> None:
    entry = tx.order(position.trade_id)
    intent = tx.intent(entry.intent_id) if entry else None
    plan = tx.plan(intent.plan_id) if intent else None
    setup = tx.setup(plan.setup_id) if plan else None
    if plan is None or setup is None:
        raise MissingResultError(f"trade {position.trade_id} of {position.symbol} has no plan on record: {order}")
    fills = [f for f in tx.fills(desk.account, symbol=position.symbol) if f.executed_at >= position.opened_at]
    reason = _reason(tx, position, order)
    expected = _expected_prices(tx, position, fills)
    tx.add_trade(close_trade(position, fills, plan=plan, setup=setup, exit_reason=reason, expected_px=expected))


def _expected_prices(tx: LedgerTransaction, position: Position, fills: Sequence[Fill]) -> dict[str, Decimal]:
    """What each sale was expected to bring (USD per share), by exec_id."""
    levels = {fill.exec_id: _expected_price(tx, position, fill) for fill in fills if fill.side is Side.SELL}
    return {exec_id: level for exec_id, level in levels.items() if level is not None}


def _expected_price(tx: LedgerTransaction, position: Position, fill: Fill) -> Decimal | None:
    """A stop's price; the target's until an exit was started; from then on the price the exit was started at."""
    order, started = tx.order(fill.client_order_id), tx.risk_event(exit_event_id(position.trade_id))
    if order is not None and order.leg is Leg.STOP:
        return order.stop_price
    if order is not None and order.leg is Leg.TARGET and (started is None or fill.executed_at <= started.occurred_at):
        return position.target
    price = started.data.get("price") if started else None
    return Decimal(price) if price else None


def _reason(tx: LedgerTransaction, position: Position, order: Order) -> ExitReason:
    started = tx.risk_event(exit_event_id(position.trade_id))
    if started is not None and order.leg is not Leg.STOP:
        return ExitReason(started.data["reason"])
    return exit_reason_for(order.leg, order.stop_price, position.initial_stop)


def exit_event_id(trade_id: str) -> str:
    """Identity of the one exit in flight of a trade."""
    return digest("exit", trade_id)


def _event(desk: Desk, session: date, report: ExecutionReport, kind: str, message: str = "") -> RiskEvent:
    return RiskEvent(
        event_id=digest(kind, desk.account, report.exec_id), account=desk.account,
        session=session, occurred_at=report.occurred_at, kind=kind, severity="CRITICAL",
        message=message or EVENTS[kind],
        data={
            "client_order_id": report.client_order_id, "venue_order_id": report.venue_order_id,
            "exec_id": report.exec_id, "exec_type": report.exec_type.value, "last_qty": plain(report.last_qty),
            "last_px": plain(report.last_px), "text": report.text,
        },
    )  # fmt: skip
