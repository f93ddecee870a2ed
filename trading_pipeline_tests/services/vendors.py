"""Vendors of market data written by a test: a stream of scripted bars, and a history that knows what it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pandas as pd

from trading_pipeline.analytics.schemas import SESSION_NS, UTC_NS
from trading_pipeline.domain.bar_building import MINUTE, MinuteBar
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.domain.market import Quote, SessionTimes, Timeframe
from trading_pipeline.ports import BarDelivery, RequestSize, StreamHealth
from trading_pipeline_tests.bar_builders import CALENDAR, FULL_DAY

TIMES = CALENDAR.times(FULL_DAY)
ACTION_COLUMNS = {"symbol": "str", "ex_date": SESSION_NS, "kind": "str", "value": "float64"}
NUMBERS = ("open", "high", "low", "close", "volume", "vwap", "trade_count")


def a_minute(minute: int, price: float = 50.0, *, symbol: str = "AAA", volume: float = 100.0) -> MinuteBar:
    """The session's minute so many after the open, at one price."""
    start = TIMES.opens_at + minute * MINUTE
    return MinuteBar(
        symbol=symbol, start_at=start, open=price, high=price, low=price, close=price, volume=volume, vwap=price,
        trade_count=1.0, arrived_at=start + MINUTE,
    )  # fmt: skip


def frame_of(bars: Iterable[MinuteBar]) -> pd.DataFrame:
    """A delivery's frame."""
    rows = [(bar.symbol, bar.start_at, *(getattr(bar, name) for name in NUMBERS)) for bar in bars]
    return pd.DataFrame(rows, columns=["symbol", "time", *NUMBERS]).astype({"symbol": "str", "time": UTC_NS})


@dataclass
class ToldClock:
    """Time is what the test says; nobody sleeps."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def sleep_until(self, instant: datetime) -> None:
        self.instant = max(self.instant, instant)

    def pass_seconds(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


@dataclass
class ScriptedStream:
    """Implements LiveBars: what a test puts in arrives with the next look; waiting moves the clock."""

    clock: ToldClock
    refuses: Mapping[str, str] = field(default_factory=dict)
    name: str = "scripted"
    feed: str = "iex"
    arriving: list[MinuteBar] = field(default_factory=list)
    connections: int = 0
    asked_to_reconnect: int = 0
    is_connected: bool = False

    def __post_init__(self) -> None:
        self.on_disconnect: Callable[[str], None] = print

    def connect(self) -> None:
        self.is_connected = True

    def subscribe(self, symbols: Sequence[str]) -> Mapping[str, str]:
        self.connections += 1
        return {symbol: why for symbol, why in self.refuses.items() if symbol in symbols}

    def take(self, timeout_seconds: float) -> Sequence[MinuteBar]:
        if not self.arriving:
            self.clock.pass_seconds(timeout_seconds)
        arrived, self.arriving = self.arriving, []
        return [replace(bar, arrived_at=self.clock.now()) for bar in arrived]

    def latest_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:  # noqa: ARG002
        return {}

    def is_market_open(self) -> bool:
        return TIMES.opens_at <= self.clock.now() < TIMES.closes_at

    def health(self) -> StreamHealth:
        return StreamHealth(is_connected=self.is_connected, last_at=None, connections=self.connections)

    def reconnect(self) -> None:
        self.asked_to_reconnect += 1
        self.connections += 1

    def disconnect(self) -> None:
        self.is_connected = False


@dataclass
class ListedHistory:
    """Implements MarketDataSource over minutes and daily rows it is told; counts what it is asked."""

    minutes: list[MinuteBar] = field(default_factory=list)
    daily: pd.DataFrame | None = None
    size: RequestSize = field(default_factory=lambda: RequestSize(2, 2))
    refuses: Mapping[str, str] = field(default_factory=dict)
    taken: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(ACTION_COLUMNS)).astype(ACTION_COLUMNS)
    )
    breaks_after: int | None = None
    """It answers so many questions and then no more."""
    delay: timedelta = timedelta(0)
    name: str = "listed"
    asked: list[tuple[tuple[str, ...], tuple[date, ...]]] = field(default_factory=list)
    is_closed: bool = False

    def feed(self, timeframe: Timeframe) -> str:
        return "sip" if timeframe is Timeframe.DAY1 else "iex"

    def request_size(self, timeframe: Timeframe) -> RequestSize:  # noqa: ARG002
        return self.size

    def available_until(self, timeframe: Timeframe, now: datetime) -> datetime:  # noqa: ARG002
        return now - self.delay

    def bars(
        self, symbols: Sequence[str], timeframe: Timeframe, sessions: Sequence[SessionTimes], now: datetime
    ) -> BarDelivery:
        if self.breaks_after is not None and len(self.asked) >= self.breaks_after:
            raise MarketDataError("the vendor is gone")
        self.asked.append((tuple(symbols), tuple(times.session for times in sessions)))
        known = [symbol for symbol in symbols if symbol not in self.refuses]
        refused = {symbol: self.refuses[symbol] for symbol in symbols if symbol in self.refuses}
        if timeframe is Timeframe.DAY1 and self.daily is not None:
            days = pd.Series([times.session for times in sessions], dtype=SESSION_NS)
            rows = self.daily[self.daily["symbol"].isin(known) & self.daily["time"].isin(days)]
        else:
            rows = frame_of(
                bar for bar in self.minutes
                if bar.symbol in known and bar.end_at <= now
                and any(times.opens_at <= bar.start_at < times.closes_at for times in sessions)
            )  # fmt: skip
        return BarDelivery(bars=rows, feed=self.feed(timeframe), refused=refused)

    def actions(
        self,
        symbols: Sequence[str],
        first: date,  # noqa: ARG002
        last: date,  # noqa: ARG002
    ) -> tuple[pd.DataFrame, Mapping[str, int]]:
        return self.taken[self.taken["symbol"].isin(symbols)].reset_index(drop=True), {}

    def close(self) -> None:
        self.is_closed = True
