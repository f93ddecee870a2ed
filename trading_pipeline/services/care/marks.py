"""Prices of open positions: one bulk look, and the last good one kept where there is no better."""

from __future__ import annotations

from trading_pipeline.domain.fold import mark
from trading_pipeline.domain.market import Quote
from trading_pipeline.domain.positions import Position
from trading_pipeline.services.care.asking import Quotes
from trading_pipeline.services.desk import Desk


def mark_positions(desk: Desk, quotes: Quotes) -> tuple[Position, ...]:
    """Give every open position its newest good price; returns the positions as stored.

    A missing, older or impossible quote leaves the last good one, whose age `marked_at` shows.
    """
    with desk.ledger.read() as tx:
        held = tx.positions(desk.account)
    marked = tuple(_marked(position, quotes.get(position.symbol)) for position in held)
    changed = [new for old, new in zip(held, marked, strict=True) if new != old]
    if changed:
        with desk.ledger.transaction() as tx:
            for position in changed:
                tx.save_position(position)
    return marked


def _marked(position: Position, quote: Quote | None) -> Position:
    return mark(position, quote.price, quote.quoted_at) if quote else position
