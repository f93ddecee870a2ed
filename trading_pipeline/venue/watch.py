"""The venue's own eye on protection: what was held there under no stop, from when to when, by the venue's time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trading_pipeline.venue.book import Book
from trading_pipeline.venue.engine import SimulatedVenue


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Shares of a symbol that no active stop covered (the most at a time); until None: still so."""

    symbol: str
    shares: Decimal
    since: datetime
    until: datetime | None = None

    def seconds(self, now: datetime) -> float:
        """How long it lasted, or has lasted."""
        return ((self.until or now) - self.since).total_seconds()


class CoverWatch:
    """Looks whenever the venue has reported something: only then can cover have changed."""

    def __init__(self) -> None:
        self._open: dict[str, Gap] = {}
        self.closed: list[Gap] = []

    def look(self, venue: SimulatedVenue, now: datetime, symbols: Collection[str] | None = None) -> None:
        """Note which gaps began and which ended at `now`, of some symbols or all; one that began and ended at the same
        instant is none."""
        bare = bare_shares(venue, symbols)
        looked_at = self._open if symbols is None else [symbol for symbol in self._open if symbol in symbols]
        for symbol in [symbol for symbol in looked_at if symbol not in bare]:
            gap = replace(self._open.pop(symbol), until=now)
            if gap.seconds(now) > 0:
                self.closed.append(gap)
        for symbol, shares in bare.items():
            known = self._open.get(symbol)
            self._open[symbol] = (
                Gap(symbol=symbol, shares=shares, since=now)
                if known is None
                else replace(known, shares=max(shares, known.shares))
            )

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Every gap so far, those still open last."""
        return (*self.closed, *self._open.values())


def bare_shares(venue: SimulatedVenue, symbols: Collection[str] | None = None) -> dict[str, Decimal]:
    """Shares held and not covered by an active sell stop, by symbol; of some symbols or all.

    A market order to sell covers too: it takes the next price, whatever that is, and no stop could sell sooner.
    """
    book: Book = venue.book()
    held = {p.symbol: p.quantity for p in venue.positions() if symbols is None or p.symbol in symbols}
    for ticket in book.working() if held else ():
        if ticket.symbol in held and (ticket.is_stop or ticket.takes_next_price) and not ticket.is_buy:
            held[ticket.symbol] -= book.active_qty(ticket)
    return {symbol: shares for symbol, shares in held.items() if shares > 0}
