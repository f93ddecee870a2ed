"""What a question about market data may say, and Alpaca's words for what it may not."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from trading_pipeline.venue.alpaca.context import AlpacaError, Asked
from trading_pipeline.venue.alpaca.data_frames import day_of, midnight
from trading_pipeline.venue.alpaca.data_past import INSTANT
from trading_pipeline.venue.alpaca.data_wire import Wire, stamp

DELAY = timedelta(minutes=15)
DEFAULT_LIMIT, MAX_LIMIT = 1000, 10_000
FEEDS = frozenset({"iex", "sip"})
"""Those a door tells; the overnight and over-the-counter ones no plan of it includes."""
OTHER_FEEDS = frozenset({"otc", "boats", "overnight"})
_SYMBOL = re.compile(r"[A-Z][A-Z0-9./-]{0,15}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A feed, and until when the caller's plan may see it."""

    feed: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is asked of history: items of symbols in [first, last], `limit` of all together, after the one last told."""

    symbols: tuple[str, ...]
    first: datetime
    last: datetime
    limit: int
    descending: bool
    after: tuple[str, datetime] | None
    sight: Sight

    def span(self, symbol: str) -> tuple[datetime, datetime]:
        """What is left to tell of a symbol."""
        if self.after is None or self.after[0] != symbol:
            return self.first, self.last
        told = self.after[1]
        return (self.first, told - INSTANT) if self.descending else (told + INSTANT, self.last)


def symbols_of(asked: Asked) -> tuple[str, ...]:
    """Named in the path or in the query: distinct, ascending. Raises AlpacaError when there is none, or one is none."""
    text = asked.path.get("symbol") or asked.query.get("symbols", "")
    symbols = sorted({part.strip() for part in text.split(",")} - {""})
    wrong = [symbol for symbol in symbols if not _SYMBOL.fullmatch(symbol)]
    if wrong or not symbols:
        raise AlpacaError(400, None, f"invalid symbol: {wrong[0]}" if wrong else "invalid symbols: none given")
    return tuple(symbols)


def sight_of(asked: Asked, now: datetime, *, recent_sip: bool, default: str) -> Sight:
    """Until now where the plan includes the feed's last 15 minutes, else until then; 403 for feeds of other plans."""
    feed = asked.query.get("feed", default)
    if feed == "delayed_sip":
        return Sight(feed="sip", until=now - DELAY)
    if feed in OTHER_FEEDS:
        raise AlpacaError(403, None, f"subscription does not permit querying {feed} data")
    if feed not in FEEDS:
        raise AlpacaError(400, None, f"invalid feed: {feed}")
    return Sight(feed=feed, until=now if feed == "iex" or recent_sip else now - DELAY)


def window_of(asked: Asked, now: datetime, *, recent_sip: bool) -> Window:
    """History as asked for. Raises AlpacaError: 400 for what cannot be read, 403 for SIP the plan does not include."""
    sight = sight_of(asked, now, recent_sip=recent_sip, default="sip")
    _check_the_rest(asked.query)
    first = instant_of("start", asked.query.get("start"), min(midnight(day_of(now)), sight.until))
    last = instant_of("end", asked.query.get("end"), sight.until)
    if last < first:
        raise AlpacaError(400, None, "end should not be before start")
    if last > sight.until and sight.until < now:
        raise AlpacaError(403, None, "subscription does not permit querying recent SIP data")
    return Window(
        symbols=symbols_of(asked), first=first, last=last, limit=whole_number(asked, "limit", DEFAULT_LIMIT, MAX_LIMIT),
        descending=sort_of(asked) == "desc", after=read_token(asked.query.get("page_token")), sight=sight,
    )  # fmt: skip


def page_of(
    window: Window, items: Callable[[str, datetime, datetime], Iterable[tuple[datetime, Wire]]]
) -> tuple[dict[str, list[Wire]], str | None]:
    """By symbol, then time, as many as fit, and the token of the rest (None: that was all). The limit is for all."""
    found: dict[str, list[Wire]] = {}
    told, count = ("", window.first), 0
    for symbol in window.symbols:
        if window.after is not None and symbol < window.after[0]:
            continue
        for at, wire in items(symbol, *window.span(symbol)):
            if count == window.limit:
                return found, write_token(*told)
            found.setdefault(symbol, []).append(wire)
            told, count = (symbol, at), count + 1
    return found, None


def instant_of(name: str, text: str | None, default: datetime) -> datetime:
    """RFC 3339, or a date: its beginning in New York. Raises AlpacaError for anything else, also without a zone."""
    if not text:
        return default
    try:
        found = midnight(date.fromisoformat(text)) if _DATE.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        why = f"error parsing '{text}' as RFC3339 or 2006-01-02 time"
        raise AlpacaError(400, None, f"invalid format for parameter {name}: {why}")
    return found


def day_asked(asked: Asked, name: str, default: date) -> date:
    """YYYY-MM-DD; raises AlpacaError for anything else."""
    text = asked.query.get(name)
    if not text:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise AlpacaError(400, None, f"invalid format for parameter {name}: '{text}' is no YYYY-MM-DD") from error


def whole_number(asked: Asked, name: str, default: int, most: int) -> int:
    """From 1 to `most`; raises AlpacaError for anything else."""
    text = asked.query.get(name)
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise AlpacaError(400, None, f"invalid {name}: must be between 1 and {most}")
    return int(text)


def sort_of(asked: Asked) -> Literal["asc", "desc"]:
    """Ascending unless asked otherwise."""
    text = asked.query.get("sort", "asc")
    if text not in {"asc", "desc"}:
        raise AlpacaError(400, None, f"invalid sort: {text}")
    return "desc" if text == "desc" else "asc"


def write_token(symbol: str, at: datetime) -> str:
    """Opaque to clients: the last item told."""
    return urlsafe_b64encode(f"{symbol}|{stamp(at)}".encode()).decode()


def read_token(token: str | None) -> tuple[str, datetime] | None:
    """What `write_token` wrote; raises AlpacaError for anything else."""
    if not token:
        return None
    try:
        symbol, _, at = urlsafe_b64decode(token).decode().partition("|")
        return symbol, datetime.fromisoformat(at)
    except ValueError as error:
        raise AlpacaError(400, None, "invalid page_token") from error


def _check_the_rest(query: Mapping[str, Any]) -> None:
    """A tape knows no other currency, and no symbol that changed its name: `asof` is read and changes nothing."""
    if query.get("currency", "USD") != "USD":
        raise AlpacaError(400, None, f"invalid currency: {query['currency']}")
    asof = query.get("asof", "-")
    if asof != "-":
        instant_of("asof", asof, midnight(date.min))
