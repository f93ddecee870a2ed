"""Bars, trades, quotes and corporate actions in the letters of Alpaca's market data.

A tape has only bars. Trades and quotes are made of them by simple rules: a bar traded four times (open, both extremes,
close) and closed under a quote around its close; exchange, conditions and tape are the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.money import tick_size
from trading_pipeline.venue.alpaca.data_past import Told
from trading_pipeline.venue.tape import CorporateAction

Wire = dict[str, Any]
PRICE_DECIMALS, VWAP_DECIMALS = 4, 6
QUARTERS = 4
A_MOMENT = timedelta(milliseconds=1)
"""A bar's last trade is so long before its end, for one at the end would belong to the next."""
QUOTED_SHARES = 100
EXCHANGES = {"iex": "V"}
CONSOLIDATED = "P"


@dataclass(frozen=True, slots=True)
class Tick:
    """A trade or a quote at an instant."""

    at: datetime
    wire: Wire


def stamp(instant: datetime) -> str:
    """RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def bar_wire(bar: Told) -> Wire:
    """A bar under its start."""
    return {
        "t": stamp(bar.start_at), "o": _price(bar.open), "h": _price(bar.high), "l": _price(bar.low),
        "c": _price(bar.close), "v": int(bar.volume), "n": bar.trades, "vw": float(round(bar.vwap, VWAP_DECIMALS)),
    }  # fmt: skip


def trades_in(bar: MarketBar, feed: str) -> list[Tick]:
    """The four trades of a bar, in an order its direction suggests."""
    extremes = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    quarter = (bar.end_at - bar.start_at) / QUARTERS
    times = (bar.start_at, bar.start_at + quarter, bar.start_at + 2 * quarter, bar.end_at - A_MOMENT)
    shares = max(int(bar.volume) // QUARTERS, 1)
    return [_trade(at, price, shares, feed) for at, price in zip(times, (bar.open, *extremes, bar.close), strict=True)]


def _trade(at: datetime, price: Decimal, shares: int, feed: str) -> Tick:
    wire = {
        "t": stamp(at), "x": EXCHANGES.get(feed, CONSOLIDATED), "p": float(price), "s": shares, "c": ["@"],
        "i": int(at.timestamp() * 1000), "z": "C",
    }  # fmt: skip
    return Tick(at, wire)


def quote_at(bar: MarketBar, feed: str, spread_fraction: Decimal) -> Tick:
    """The quote a bar closed under: half the spread to either side of its close, and never less than a tick wide."""
    half, at, exchange = bar.close * spread_fraction / 2, bar.end_at - A_MOMENT, EXCHANGES.get(feed, CONSOLIDATED)
    tick = tick_size(bar.close)
    bid = max(((bar.close - half) / tick).to_integral_value(ROUND_FLOOR) * tick, tick)
    ask = max(((bar.close + half) / tick).to_integral_value(ROUND_CEILING) * tick, bid + tick)
    wire = {
        "t": stamp(at), "bx": exchange, "bp": float(bid), "bs": QUOTED_SHARES, "ax": exchange, "ap": float(ask),
        "as": QUOTED_SHARES, "c": ["R"], "z": "C",
    }  # fmt: skip
    return Tick(at, wire)


def actions_wire(actions: Iterable[CorporateAction]) -> Iterator[tuple[str, Wire]]:
    """(type, action) of each; ids and cusips are made of what they name, the same every time."""
    for action in actions:
        common = {
            "id": action_id(action), "symbol": action.symbol, "process_date": f"{action.ex_date}",
            "ex_date": f"{action.ex_date}",
        }  # fmt: skip
        if action.kind == "dividend":
            rate = {"cusip": _cusip(action.symbol), "rate": float(action.value), "special": False, "foreign": False}
            yield "cash_dividend", common | rate
            continue
        ratio = Fraction(action.value).limit_denominator(1000)
        rates = {"new_rate": ratio.numerator, "old_rate": ratio.denominator}
        if ratio > 1:
            yield "forward_split", common | rates | {"cusip": _cusip(action.symbol)}
        else:
            cusips = {"old_cusip": _cusip(action.symbol), "new_cusip": _cusip(action.symbol)}
            yield "reverse_split", common | rates | cusips


def action_id(action: CorporateAction) -> str:
    """The same action has the same id."""
    return str(uuid5(NAMESPACE_URL, f"{action.symbol}/{action.ex_date}/{action.kind}"))


def _cusip(symbol: str) -> str:
    return sha256(symbol.encode()).hexdigest()[:9].upper()


def _price(price: Decimal) -> float:
    return float(round(price, PRICE_DECIMALS))
