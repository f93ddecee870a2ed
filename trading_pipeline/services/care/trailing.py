"""Stops that follow the price up, a step at a time, on two quotes that agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.exits import trailing_stop
from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import Leg, Order
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.protection import SETTLED
from trading_pipeline.services.care.asking import Quotes, ask_replace, open_orders_by_symbol
from trading_pipeline.services.desk import Desk


def trail_stops(desk: Desk, positions: Iterable[Position], before: Quotes, now: Quotes) -> int:
    """Raise stops by the ladder where two distinct consecutive quotes allow it; returns how many moved.

    The venue replaces each atomically: there is no moment without a stop. Its own word on the stops counts, in one
    request for all: an earlier raise whose report is late would else be taken back. Without an answer none moves.
    """
    levels = {position.symbol: _level(desk, position, before, now) for position in positions}
    rising = {symbol: level for symbol, level in levels.items() if level is not None}
    orders = open_orders_by_symbol(desk) if rising else {}
    lower = [(stop, level) for symbol, level in rising.items() for stop in _below(orders.get(symbol, []), level)]
    at_venue = _stops_at_venue(desk) if lower else {}
    still_lower = [(stop, level) for stop, level in lower if at_venue.get(stop.client_order_id, level) < level]
    return sum(ask_replace(desk, stop, stop_price=level) for stop, level in still_lower)


def _stops_at_venue(desk: Desk) -> dict[str, Decimal]:
    """Stop prices (USD per share) of the orders the venue works, by id; nothing when it does not answer."""
    try:
        working = desk.broker.open_orders()
    except OutcomeUnknown:
        return {}
    return {order.client_order_id: order.stop_price for order in working if order.stop_price is not None}


def _level(desk: Desk, position: Position, before: Quotes, now: Quotes) -> Decimal | None:
    pair = pair_of(position, before, now)
    return trailing_stop(position, pair, desk.rules.exits, entry_costs_per_share(position)) if pair else None


def pair_of(position: Position, before: Quotes, now: Quotes) -> tuple[Quote, Quote] | None:
    """The position's two last quotes; None without both, or when the first is older than the position."""
    first, second = before.get(position.symbol), now.get(position.symbol)
    if first is None or second is None or first.quoted_at < position.opened_at:
        return None
    return first, second


def _below(orders: Sequence[Order], level: Decimal) -> list[Order]:
    """Stops that by our record lie below a level."""
    stops = [order for order in orders if order.leg is Leg.STOP and order.status in SETTLED]
    return [stop for stop in stops if stop.stop_price is None or stop.stop_price < level]


def entry_costs_per_share(position: Position) -> Decimal:
    """Commissions of the round trip per share (USD): what a share traded so far has paid, in and out."""
    traded = position.bought_qty + position.sold_qty
    return 2 * position.commission_usd / traded if traded else ZERO
