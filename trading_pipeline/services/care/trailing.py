"""Stops that follow the price up, a step at a time, on two quotes that agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

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

    The venue replaces each atomically: there is no moment without a stop.
    """
    levels = {position.symbol: _level(desk, position, before, now) for position in positions}
    rising = {symbol: level for symbol, level in levels.items() if level is not None}
    orders = open_orders_by_symbol(desk) if rising else {}
    return sum(_raise_stops(desk, orders.get(symbol, []), level) for symbol, level in rising.items())


def _level(desk: Desk, position: Position, before: Quotes, now: Quotes) -> Decimal | None:
    pair = pair_of(position, before, now)
    return trailing_stop(position, pair, desk.rules.exits, entry_costs_per_share(position)) if pair else None


def pair_of(position: Position, before: Quotes, now: Quotes) -> tuple[Quote, Quote] | None:
    """The position's two last quotes; None without both, or when the first is older than the position."""
    first, second = before.get(position.symbol), now.get(position.symbol)
    if first is None or second is None or first.quoted_at < position.opened_at:
        return None
    return first, second


def _raise_stops(desk: Desk, orders: Sequence[Order], level: Decimal) -> int:
    stops = [order for order in orders if order.leg is Leg.STOP and order.status in SETTLED]
    lower = [stop for stop in stops if stop.stop_price is None or stop.stop_price < level]
    return sum(ask_replace(desk, stop, stop_price=level) for stop in lower)


def entry_costs_per_share(position: Position) -> Decimal:
    """Commissions of the round trip per share (USD): what a share traded so far has paid, in and out."""
    traded = position.bought_qty + position.sold_qty
    return 2 * position.commission_usd / traded if traded else ZERO
