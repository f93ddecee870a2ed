"""When the venue trades: the session's own hours, and halts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import OrderRequest, TimeInForce
from trading_pipeline.venue.state import Changes

SESSION, HALTS = "session", "halts"


@dataclass(frozen=True, slots=True)
class Halt:
    """No trading in `symbol` from an instant until another."""

    symbol: str
    from_at: datetime
    until_at: datetime


def remember_session(book: Changes, times: SessionTimes) -> None:
    """The hours auctions go by, until the next session's."""
    hours = {"opens_at": times.opens_at.isoformat(), "closes_at": times.closes_at.isoformat()}
    if book.facts.get(SESSION) != hours:
        book.facts[SESSION] = hours


def session_hours(book: Changes) -> tuple[datetime, datetime] | None:
    """Open and close of the last session begun; None before the first."""
    hours = book.facts.get(SESSION)
    return hours and (datetime.fromisoformat(hours["opens_at"]), datetime.fromisoformat(hours["closes_at"]))


def remember_halt(book: Changes, halt: Halt) -> None:
    """Once is enough."""
    row = [halt.symbol, halt.from_at.isoformat(), halt.until_at.isoformat()]
    known = book.facts.get(HALTS, [])
    if row not in known:
        book.facts[HALTS] = [*known, row]


def halts(book: Changes) -> list[Halt]:
    """Every halt ever scripted."""
    return [
        Halt(symbol, datetime.fromisoformat(begin), datetime.fromisoformat(end))
        for symbol, begin, end in book.facts.get(HALTS, [])
    ]


def is_halted(book: Changes, symbol: str, now: datetime) -> bool:
    """True while the symbol does not trade."""
    return any(halt.symbol == symbol and halt.from_at <= now < halt.until_at for halt in halts(book))


def is_halted_bar(book: Changes, bar: MarketBar) -> bool:
    """True when any part of the bar lies in a halt: where in it the trades were is not known."""
    return any(
        halt.symbol == bar.symbol and bar.start_at < halt.until_at and halt.from_at < bar.end_at for halt in halts(book)
    )


def auction_faults(book: Changes, order: OrderRequest, now: datetime) -> list[str]:
    """Why an order cannot take part in the auction it names."""
    if order.time_in_force not in {TimeInForce.OPG, TimeInForce.CLS}:
        return []
    hours = session_hours(book)
    if hours is None:
        return [f"the venue does not know the session's hours yet; {order.time_in_force} orders need them"]
    opens_at, closes_at = hours
    if order.time_in_force is TimeInForce.OPG and opens_at <= now < closes_at:
        return [f"the opening auction of {opens_at.isoformat()} is over"]
    return []
