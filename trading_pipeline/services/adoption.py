"""Taking orders that somebody else made at the venue onto our record, with the fills the venue reports for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.orders import EXTERNAL, ExecType, Leg, Order, OrderType, OrdStatus, Side
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import LedgerTransaction, VenueOrder
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest
from trading_pipeline.services.local_reports import report_locally
from trading_pipeline.services.order_sync import sync_orders

SELL_LEGS = {OrderType.MARKET: Leg.EXIT, OrderType.LIMIT: Leg.TARGET}


def adopt_orders(desk: Desk, record: SessionRecord, found: Sequence[VenueOrder]) -> int:
    """Record orders as EXTERNAL, block their symbols, book what the venue reports for them; returns how many are new.

    Nothing is sent: an adopted order is recorded as the working order it is.
    """
    now = desk.clock.now()
    with desk.ledger.transaction() as tx:
        new = [view for view in found if tx.order(view.client_order_id) is None]
        for view in new:
            record_adopted(tx, adopted(desk, tx, record, view, now))
            block_external(desk, tx, view.symbol, f"order {view.client_order_id} was made by others", now)
    if new:
        sync_orders(desk, record.session, record.started_at)
    return len(new)


def record_adopted(tx: LedgerTransaction, order: Order) -> None:
    """Recorded as New from the first moment: what is PendingNew the dispatcher would send."""
    tx.add_order(order)
    report_locally(tx, order, ExecType.NEW, order.text, order.created_at, venue_order_id=order.venue_order_id or "")


def adopted(desk: Desk, tx: LedgerTransaction, record: SessionRecord, view: VenueOrder, now: datetime) -> Order:
    """The order as we record it: working, nothing filled; the venue's reports then tell the rest."""
    parent = tx.order(view.parent_id) if view.parent_id else None
    return Order(
        client_order_id=view.client_order_id, intent_id=None, account=desk.account, strategy=EXTERNAL,
        session=record.session, symbol=view.symbol, side=view.side, order_type=view.order_type,
        quantity=view.quantity, leg=_leg(view), time_in_force=view.time_in_force, created_at=now, updated_at=now,
        status=OrdStatus.NEW, limit_price=view.limit_price, stop_price=view.stop_price,
        parent_id=parent.client_order_id if parent else None, venue_order_id=view.venue_order_id, submitted_at=now,
        text="made by others at the venue, adopted",
    )  # fmt: skip


def _leg(view: VenueOrder) -> Leg:
    return Leg.ENTRY if view.side is Side.BUY else SELL_LEGS.get(view.order_type, Leg.STOP)


def block_external(desk: Desk, tx: LedgerTransaction, symbol: str, reason: str, now: datetime) -> None:
    """No entries of ours where others trade; one block per symbol at a time."""
    standing = tx.blocks(desk.account, symbol=symbol)
    if any(one.kind is BlockKind.EXTERNAL and one.symbol == symbol for one in standing):
        return
    tx.add_block(
        Block(
            block_id=digest(BlockKind.EXTERNAL.value, desk.account, symbol, now.isoformat()), account=desk.account,
            symbol=symbol, kind=BlockKind.EXTERNAL, reason=reason, since=now,
        )
    )  # fmt: skip
