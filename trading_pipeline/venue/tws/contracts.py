"""Stocks as contracts: ids, details, price increments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.wire import NEW_YORK, ZONE_NAME, Field, Fields, Message

MARKET_RULE = 26
EXCHANGE, VENUE_EXCHANGE, TRADING_CLASS = "SMART", "NASDAQ", "NMS"
ORDER_TYPES = "DAY,GTC,IOC,FOK,LMT,LOC,MKT,MOC,OCA,OPG,STP,STPLMT,TRAIL,WHATIF"
EXCHANGES = ("SMART", "NASDAQ", "NYSE", "ARCA", "ISLAND", "AMEX", "BATS", "IEX")
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,9}(\.[A-Z0-9]{1,3})?")
_SHOWN = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class Asked:
    """A contract as a client describes it; what it left out is empty or zero."""

    con_id: int
    symbol: str
    kind: str
    exchange: str
    currency: str

    @classmethod
    def read(cls, fields: Fields) -> Asked:
        """The twelve fields most requests carry: conId to tradingClass."""
        con_id, symbol, kind = fields.whole(), fields.text(), fields.text()
        fields.skip(4)
        exchange, primary, currency, local = fields.text(), fields.text(), fields.text(), fields.text()
        fields.skip()
        return cls(con_id, symbol or local, kind, exchange or primary, currency)


@dataclass(frozen=True, slots=True)
class Stock:
    """A US stock by the venue's symbol, which has a dot before a share class; IB's has a blank."""

    symbol: str

    @property
    def name(self) -> str:
        """Its symbol on the wire."""
        return self.symbol.replace(".", " ")

    @property
    def con_id(self) -> int:
        """The same in every run: from the symbol alone, within 31 bits."""
        return int.from_bytes(hashlib.sha256(self.symbol.encode()).digest()[:4]) % (2**31 - 1) + 1

    def fields(self, exchange: str, *, strike: Field = 0, right: str = "?") -> Message:
        """As orders, executions and positions carry it: conId to tradingClass."""
        kind = (self.con_id, self.name, "STK", "", strike, right, "")
        return (*kind, exchange, "USD", self.name, TRADING_CLASS)


class Contracts:
    """The stocks of a door."""

    def __init__(self, hub: Hub, symbols: frozenset[str] | None = None) -> None:
        self._hub = hub
        listed = symbols if symbols is not None else (frozenset(hub.tape.symbols()) if hub.tape else None)
        self._listed = listed
        self._by_id: dict[int, str] = {Stock(symbol).con_id: symbol for symbol in sorted(listed or ())}

    def find(self, asked: Asked) -> Stock | None:
        """The stock described; None when there is none, or more than one could be meant."""
        if asked.kind not in {"", "STK"} or asked.currency not in {"", "USD"}:
            return None
        if (asked.exchange and asked.exchange not in EXCHANGES) or "." in asked.symbol:
            return None
        symbol = asked.symbol.replace(" ", ".") or self._by_id.get(asked.con_id, "")
        stock = self.of(symbol) if self._is_listed(symbol) else None
        return None if stock is not None and asked.con_id not in {0, stock.con_id} else stock

    def of(self, symbol: str) -> Stock:
        """A stock that is known, as one of an order."""
        stock = Stock(symbol)
        self._by_id[stock.con_id] = symbol
        return stock

    def details(self, request_id: int, stock: Stock) -> Message:
        """Message 10."""
        now = self._hub.time.now()
        hours, rules = _hours(self._sessions(now)), ",".join(str(MARKET_RULE) for _ in EXCHANGES)
        return (
            10, request_id, stock.name, "STK", "", 0, "", EXCHANGE, "USD", stock.name, TRADING_CLASS, TRADING_CLASS,
            stock.con_id, 0.01, "", ORDER_TYPES, ",".join(EXCHANGES), 1, 0, stock.name, VENUE_EXCHANGE, "", "", "",
            "", ZONE_NAME, hours, hours, "", "", 0, 1, "", "", rules, "", "COMMON", 1, 1, 100,
        )  # fmt: skip

    def _is_listed(self, symbol: str) -> bool:
        return bool(_SYMBOL.fullmatch(symbol)) and (self._listed is None or symbol in self._listed)

    def _sessions(self, now: datetime) -> Mapping[str, SessionTimes | None]:
        if self._hub.tape is None:
            return {}
        first = now.astimezone(NEW_YORK).date()
        days = [first + timedelta(days=number) for number in range(_SHOWN.days)]
        found = {times.session: times for times in self._hub.tape.sessions(days[0], days[-1])}
        return {f"{day:%Y%m%d}": found.get(day) for day in days}


def market_rule(rule_id: int) -> Message:
    """Message 93: 0.01 USD from 1 USD up, 0.0001 below (Reg NMS rule 612)."""
    return (93, rule_id, 2, 0, 0.0001, 1, 0.01)


def _hours(days: Mapping[str, SessionTimes | None]) -> str:
    return ";".join(_day(name, times) for name, times in days.items())


def _day(name: str, times: SessionTimes | None) -> str:
    if times is None:
        return f"{name}:CLOSED"
    opens, closes = (instant.astimezone(NEW_YORK) for instant in (times.opens_at, times.closes_at))
    return f"{opens:%Y%m%d:%H%M}-{closes:%Y%m%d:%H%M}"
