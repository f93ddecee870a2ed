"""Selling part of a position because its target fell: the stops make room first, then the part is sold."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import Leg, Order
from trading_pipeline.domain.positions import ExitReason, Position
from trading_pipeline.domain.protection import Resize, resizes
from trading_pipeline.domain.setups import Setup
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.care.asking import a_sell, ask_cancel, ask_replace, own_sells, read_cover, say_once
from trading_pipeline.services.care.exits import is_leaving, start_exit
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest, leg_id

KIND = "reduction"


def pending_reduction(desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position) -> Decimal:
    """Shares that stops must leave free for a reduction that is decided and not written yet."""
    event = tx.risk_event(_event_id(desk, tx, times, position))
    return min(Decimal(event.data["quantity"]), position.quantity) if event else ZERO


def reduce_position(
    desk: Desk, times: SessionTimes, position: Position, setup: Setup, shares: Decimal, quote: Quote | None
) -> int:
    """Sell `shares` of a position, all of it by an exit that takes over its bracket; repeating it never sells twice.

    Returns how many orders were asked to make room: once their end is reported, a repeat writes the sale, which the
    next dispatch sends.
    """
    if shares >= position.quantity:
        return int(start_exit(desk, times, position, quote, ExitReason.REVERSAL))
    with desk.ledger.transaction() as tx:
        sale_id = leg_id(desk, setup, Leg.EXIT)
        if tx.order(sale_id) is not None:
            return 0
        if tx.risk_event(_event_id(desk, tx, times, position)) is None:
            say_once(tx, _event(desk, tx, times, position, shares, sale_id))
        cover = read_cover(desk, tx, position)
        if cover.free >= shares:
            tx.add_order(_sale(desk, tx, times, position, sale_id, shares))
            return 0
    if not all(one.is_settled for one in cover.exits):
        return 0
    changes, _ = resizes(cover, max(cover.held - cover.leaving - shares, ZERO), may_grow=False)
    return sum(_make_room(desk, change) for change in changes)


def write_reduction(desk: Desk, times: SessionTimes, position: Position) -> int:
    """Write the sale of a decided reduction once stops have made room for it, whatever became of its execution.

    Signals that overtake an execution must not leave the shares it set free without a stop and unsold.
    """
    with desk.ledger.transaction() as tx:
        event, shares = (
            tx.risk_event(_event_id(desk, tx, times, position)),
            pending_reduction(desk, tx, times, position),
        )
        if event is None or is_leaving(tx, position) or read_cover(desk, tx, position).free < shares:
            return 0
        return int(tx.add_order(_sale(desk, tx, times, position, event.data["sale_id"], shares)))


def _make_room(desk: Desk, change: Resize) -> int:
    """Shrink a group of protective orders; where the venue cannot, it ends, and a new stop follows the sale."""
    if change.shares and desk.broker.capabilities.replaces_quantity:
        orders = change.exits.orders
        return sum([ask_replace(desk, order, quantity=order.cum_qty + change.shares) for order in orders])
    return sum([ask_cancel(desk, order) for order in change.exits.orders])


def _sale(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position, sale_id: str, shares: Decimal
) -> Order:
    """A market order whose id is a pure function of the signal: written once, whatever happens."""
    return replace(a_sell(desk, tx, times, position, Leg.EXIT, shares), client_order_id=sale_id)


def _event_id(desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position) -> str:
    """Identity of the next reduction of a trade: it is over when its sale is written."""
    sold = sum(order.leg is Leg.EXIT for order in own_sells(desk, tx, times, position))
    return digest(KIND, position.trade_id, times.session.isoformat(), str(sold + 1))


def _event(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position, shares: Decimal, sale_id: str
) -> RiskEvent:
    return RiskEvent(
        event_id=_event_id(desk, tx, times, position), account=desk.account, session=times.session,
        occurred_at=desk.clock.now(), kind=KIND, severity="INFO",
        message=f"{position.symbol}: {plain(shares)} of {plain(position.quantity)} shares are sold, its target fell",
        data={"symbol": position.symbol, "trade_id": position.trade_id, "quantity": plain(shares),
              "sale_id": sale_id},
    )  # fmt: skip
