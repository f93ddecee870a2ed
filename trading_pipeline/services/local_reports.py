"""What we say about an order ourselves: it was acknowledged, refused, never sent, or nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from trading_pipeline.domain.alert_causes import of_rejection
from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.errors import IllegalTransition
from trading_pipeline.domain.order_states import advance
from trading_pipeline.domain.orders import ExecType, ExecutionReport, Order, OrdStatus
from trading_pipeline.domain.submission import in_doubt_block_id
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.desk import Desk

LOCAL = "local"
"""Broker name of reports we make ourselves."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An order the venue took, the venue's id for it, and when it said so."""

    order: Order
    venue_order_id: str
    at: datetime


def report_locally(
    tx: LedgerTransaction, order: Order, exec_type: ExecType, text: str, now: datetime, *, venue_order_id: str = ""
) -> Order:
    """Move an order by a report of our own, once; returns it as it stands then.

    A report that has come too late, after the venue's own word, is not recorded and moves nothing.
    """
    return _report(tx, tx.order(order.client_order_id) or order, exec_type, text, now, venue_order_id)


def _report(
    tx: LedgerTransaction, current: Order, exec_type: ExecType, text: str, now: datetime, venue_order_id: str = ""
) -> Order:
    """As report_locally, of an order that was just read."""
    moved = _moved(tx, current, exec_type, text, now, venue_order_id)
    _record(tx, [moved] if moved else [])
    return moved[1] if moved else current


def _moved(
    tx: LedgerTransaction, current: Order, exec_type: ExecType, text: str, now: datetime, venue_order_id: str = ""
) -> tuple[ExecutionReport, Order] | None:
    """The report, and the order after it; None when it came too late or was made before."""
    report = ExecutionReport(
        exec_id=f"{current.client_order_id}-{exec_type.value}", client_order_id=current.client_order_id,
        venue_order_id=venue_order_id, exec_type=exec_type, occurred_at=now, text=text,
    )  # fmt: skip
    try:
        moved = advance(current, report)
    except IllegalTransition:
        return None
    return None if _is_known(tx, current, report.exec_id) else (report, moved)


def _record(tx: LedgerTransaction, moved: Sequence[tuple[ExecutionReport, Order]]) -> None:
    tx.add_reports(LOCAL, [report for report, _ in moved])
    tx.save_orders([order for _, order in moved])
    for _, order in moved:
        if order.status is OrdStatus.REJECTED and order.parent_id is None:
            tx.raise_alert(of_rejection(order))


def _is_known(tx: LedgerTransaction, current: Order, exec_id: str) -> bool:
    """True when we have said it before; each thing we say moves an order out of PendingNew, so that one is new."""
    if current.status is OrdStatus.PENDING_NEW:
        return False
    return any(known.exec_id == exec_id for known in tx.reports(current.client_order_id))


def acknowledge(desk: Desk, taken: Sequence[Taken]) -> None:
    """The venue took them, in person: New under the venue's ids, unless its reports have said more already."""
    with desk.ledger.transaction() as tx:
        recorded = tx.orders_named([one.order.client_order_id for one in taken])
        moved = [_taken(tx, recorded.get(one.order.client_order_id, one.order), one) for one in taken]
        _record(tx, [one for one in moved if one is not None])
        settle_blocks(desk, tx, taken[-1].at)


def _taken(tx: LedgerTransaction, current: Order, taken: Taken) -> tuple[ExecutionReport, Order] | None:
    if current.status not in {OrdStatus.PENDING_NEW, OrdStatus.IN_DOUBT}:
        return None
    return _moved(tx, current, ExecType.NEW, "", taken.at, taken.venue_order_id)


def end_locally(desk: Desk, order: Order, exec_type: ExecType, text: str, now: datetime) -> None:
    """End an order that is not at the venue, and the legs that depend on it."""
    end_all_locally(desk, [order], exec_type, text, now)


def end_all_locally(desk: Desk, orders: list[Order], exec_type: ExecType, text: str, now: datetime) -> None:
    """End orders that are not at the venue, and the legs that depend on them, in one transaction."""
    names = [order.client_order_id for order in orders]
    with desk.ledger.transaction() as tx:
        recorded, legs = tx.orders_named(names), tx.children_of(names)
        heads = [recorded.get(order.client_order_id, order) for order in orders]
        members = [one for head in heads for one in (head, *legs[head.client_order_id])]
        moved = [_moved(tx, member, exec_type, text, now) for member in members]
        _record(tx, [one for one in moved if one is not None])
        settle_blocks(desk, tx, now)


def end_never_live(tx: LedgerTransaction, entry: Order, exec_type: ExecType, now: datetime) -> None:
    """End these legs as their entry has ended."""
    for leg in never_live(entry, tx.children(entry.client_order_id)):
        report_locally(tx, leg, exec_type, "its entry ended without a fill", now)


def never_live(entry: Order, legs: Iterable[Order]) -> list[Order]:
    """Legs that end with an entry of which nothing was filled, and which no report will ever name."""
    return [leg for leg in legs if leg.status is OrdStatus.PENDING_NEW and not entry.cum_qty]


def put_in_doubt(desk: Desk, order: Order, text: str, now: datetime) -> None:
    """Nobody knows whether the venue has it: InDoubt, the symbol is blocked, and a person hears of it."""
    with desk.ledger.transaction() as tx:
        doubted = report_locally(tx, order, ExecType.IN_DOUBT, text, now)
        if doubted.status is OrdStatus.IN_DOUBT:
            _block(desk, tx, doubted, text, now)
            _say_once(tx, _event(desk, doubted, "order_in_doubt", "WARNING", text, now))


def give_up_looking(desk: Desk, order: Order, now: datetime) -> None:
    """It was not found, and this venue cannot rule out that it has it: only a person can end the doubt."""
    text = (
        f"{order.client_order_id} ({order.side.value} {order.quantity} {order.symbol}) left at {order.submitted_at} "
        f"and the venue cannot say whether it arrived. Look at the venue's own screen, then: trading-pipeline "
        f"reconcile"
    )
    with desk.ledger.transaction() as tx:
        doubted = report_locally(tx, order, ExecType.IN_DOUBT, text, now)
        _block(desk, tx, doubted, text, now)
        _say_once(tx, _event(desk, doubted, "order_lost", "CRITICAL", text, now))


def is_given_up(desk: Desk, order: Order) -> bool:
    """True when a person was called to end its doubt."""
    with desk.ledger.read() as tx:
        return tx.risk_event(f"order_lost-{order.client_order_id}") is not None


def settle_blocks(desk: Desk, tx: LedgerTransaction, now: datetime) -> None:
    """Lift the blocks of orders that are in doubt no more, whoever ended the doubt."""
    for block in tx.blocks(desk.account):
        if block.kind is not BlockKind.IN_DOUBT:
            continue
        order = tx.order(block.block_id.removeprefix(in_doubt_block_id("")))
        if order is None or order.status is not OrdStatus.IN_DOUBT:
            tx.clear_block(block.block_id, now, LOCAL)


def _block(desk: Desk, tx: LedgerTransaction, order: Order, reason: str, now: datetime) -> None:
    block_id = in_doubt_block_id(order.client_order_id)
    if all(block.block_id != block_id for block in tx.blocks(desk.account, symbol=order.symbol)):
        tx.add_block(
            Block(
                block_id=block_id,
                account=desk.account,
                symbol=order.symbol,
                kind=BlockKind.IN_DOUBT,
                reason=f"order {order.client_order_id} is in doubt: {reason}",
                since=now,
            )
        )


def _event(desk: Desk, order: Order, kind: str, severity: str, message: str, now: datetime) -> RiskEvent:
    return RiskEvent(
        event_id=f"{kind}-{order.client_order_id}", account=desk.account, session=order.session, occurred_at=now,
        kind=kind, severity=severity, message=message,
        data={"client_order_id": order.client_order_id, "symbol": order.symbol},
    )  # fmt: skip


def _say_once(tx: LedgerTransaction, event: RiskEvent) -> None:
    if tx.risk_event(event.event_id) is None:
        tx.add_risk_event(event)
