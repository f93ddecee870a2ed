"""Stops that follow the price up, a step at a time, on two quotes that agree."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from trading_pipeline.domain.exits import trailing_stop
from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.protection import SETTLED
from trading_pipeline.services.care.asking import Quotes, ask_replace, orders_of
from trading_pipeline.services.desk import Desk


def trail_stops(desk: Desk, positions: Iterable[Position], before: Quotes, now: Quotes) -> int:
    """Raise stops by the ladder where two distinct consecutive quotes allow it; returns how many moved.

    The venue replaces each atomically: there is no moment without a stop.
    """
    moved = 0
    for position in positions:
        pair = pair_of(position, before, now)
        if pair is None:
            continue
        level = trailing_stop(position, pair, desk.rules.exits, entry_costs_per_share(position))
        moved += 0 if level is None else _raise_stops(desk, position, level)
    return moved


def pair_of(position: Position, before: Quotes, now: Quotes) -> tuple[Quote, Quote] | None:
    """The position's two last quotes; None without both, or when the first is older than the position."""
    first, second = before.get(position.symbol), now.get(position.symbol)
    if first is None or second is None or first.quoted_at < position.opened_at:
        return None
    return first, second


def _raise_stops(desk: Desk, position: Position, level: Decimal) -> int:
    stops = [o for o in orders_of(desk, position.symbol) if o.leg is Leg.STOP and o.status in SETTLED]
    lower = [stop for stop in stops if stop.stop_price is None or stop.stop_price < level]
    return sum(ask_replace(desk, stop, stop_price=level) for stop in lower)


def entry_costs_per_share(position: Position) -> Decimal:
    """Commissions of the round trip per share (USD): what a share traded so far has paid, in and out."""
    traded = position.bought_qty + position.sold_qty
    return 2 * position.commission_usd / traded if traded else ZERO
