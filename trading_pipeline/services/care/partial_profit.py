"""Selling part of a position at a profit: the stop shrinks first, then the part is sold, and the rest stays covered."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from trading_pipeline.domain.exits import is_flatten_time, partial_quantity
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.trading_session import RiskEvent
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.care.asking import Quotes, a_sell, flatten_lead, held_positions, read_cover, say_once
from trading_pipeline.services.care.exits import is_leaving
from trading_pipeline.services.care.trailing import pair_of
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest

KIND = "partial_profit"


def take_partial_profits(
    desk: Desk, times: SessionTimes, positions: Iterable[Position], before: Quotes, now: Quotes
) -> int:
    """Decide, once per trade, to sell a part; and write the sale of parts that stops have made room for.

    Returns how many sales were written; they are sent by the next dispatch.
    """
    if not desk.rules.exits.partial_profit:
        return 0
    for position in positions:
        pair = pair_of(position, before, now)
        shares = partial_quantity(position, pair, desk.rules.exits) if pair else ZERO
        if shares > 0 and not _is_flatten(desk, times):
            _decide(desk, times, position, shares)
    return write_partial_sales(desk, times)


def write_partial_sales(desk: Desk, times: SessionTimes) -> int:
    """Write the sale of parts that stops have made room for; returns how many."""
    if not desk.rules.exits.partial_profit:
        return 0
    return sum(_write_sale(desk, times, position) for position in held_positions(desk))


def still_to_sell(desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position) -> Decimal:
    """Shares that stops must leave free for a sale that is decided and not written yet."""
    event = tx.risk_event(digest(KIND, position.trade_id))
    is_over = event is None or event.session != times.session or _is_flatten(desk, times)
    if event is None or is_over or is_leaving(tx, position) or _sale_exists(desk, tx, times, position, event):
        return ZERO
    return min(Decimal(event.data["quantity"]), position.quantity)


def _is_flatten(desk: Desk, times: SessionTimes) -> bool:
    return is_flatten_time(desk.clock.now(), times.closes_at, flatten_lead(desk))


def _decide(desk: Desk, times: SessionTimes, position: Position, shares: Decimal) -> None:
    event = RiskEvent(
        event_id=digest(KIND, position.trade_id), account=desk.account, session=times.session,
        occurred_at=desk.clock.now(), kind=KIND, severity="INFO",
        message=f"{position.symbol}: {plain(shares)} of {plain(position.quantity)} shares are sold at a profit",
        data={"symbol": position.symbol, "trade_id": position.trade_id, "quantity": plain(shares)},
    )  # fmt: skip
    with desk.ledger.transaction() as tx:
        if not is_leaving(tx, position):
            say_once(tx, event)


def _sale_exists(desk: Desk, tx: LedgerTransaction, times: SessionTimes, position: Position, event: RiskEvent) -> bool:
    orders = tx.orders(desk.account, times.session)
    return any(
        order.leg is Leg.EXIT and order.symbol == position.symbol and order.created_at >= event.occurred_at
        for order in orders
    )


def _write_sale(desk: Desk, times: SessionTimes, position: Position) -> bool:
    with desk.ledger.transaction() as tx:
        shares = still_to_sell(desk, tx, times, position)
        if not shares or read_cover(desk, tx, position).free < shares:
            return False
        return tx.add_order(a_sell(desk, tx, times, position, Leg.EXIT, shares))
