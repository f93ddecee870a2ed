"""Vendors of market data: history by request, and the running session's bars as they close."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from trading_pipeline.domain.bar_building import MinuteBar
from trading_pipeline.domain.market import Adjustment, Quote, SessionTimes, Timeframe

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class RequestSize:
    """The most a vendor is asked for at once."""

    symbols: int
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BarDelivery:
    """Bars as a vendor delivered them, of regular hours only.

    bars: symbol str; time (the bar's start, datetime64[ns, UTC]; the session's date for daily bars); float64 open,
    high, low, close (USD per share), volume (shares), vwap and trade_count (NaN where unknown); in any order.
    refused: symbols the vendor does not know or may not give, with its reason.
    """

    bars: pd.DataFrame
    feed: str
    adjustment: Adjustment = Adjustment.RAW
    adjusted_through: date | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


class MarketDataSource(Protocol):
    """History of one vendor. Paced by its own budget; every call may be repeated."""

    @property
    def name(self) -> str:
        """alpaca, ib."""

    def feed(self, timeframe: Timeframe) -> str:
        """What its bars of that timeframe are made of: sip, iex, ib."""

    def request_size(self, timeframe: Timeframe) -> RequestSize:
        """The most one call of `bars` may ask for."""

    def available_until(self, timeframe: Timeframe, now: datetime) -> datetime:
        """The vendor gives nothing newer than this."""

    def bars(
        self, symbols: Sequence[str], timeframe: Timeframe, sessions: Sequence[SessionTimes], now: datetime
    ) -> BarDelivery:
        """Raw or, where the vendor has nothing else, adjusted bars of whole sessions, the running one up to `now`.

        Raises MarketDataError when the vendor does not answer, or refuses for a reason that is not one symbol's.
        """

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[pd.DataFrame, Mapping[str, int]]:
        """Corporate actions with an ex-date between: symbol, ex_date, kind split|dividend, value (empty where the
        vendor has none to give); and how many there are of kinds that cannot be applied (spin-offs, mergers)."""

    def close(self) -> None:
        """Give connections back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """How a stream stands. last_at: when anything was last heard of it."""

    is_connected: bool
    last_at: datetime | None
    connections: int
    """How often it was opened."""
    problem: str = ""
    """What the vendor said against it; empty when nothing."""


class LiveBars(Protocol):
    """The running session's minute bars of one vendor. Level-2 depth is not supported."""

    on_disconnect: Callable[[str], None]
    """Called with the reason, from the stream's thread, whenever a connection ends that nobody asked to end."""

    @property
    def name(self) -> str:
        """alpaca, ib."""

    @property
    def feed(self) -> str:
        """What its bars are made of."""

    def connect(self) -> None:
        """Open the stream; raises MarketDataError for wrong keys, a refused connection, or no answer."""

    def subscribe(self, symbols: Sequence[str]) -> Mapping[str, str]:
        """Ask for these symbols' minute bars; returns those refused, with the reason. Raises MarketDataError."""

    def take(self, timeout_seconds: float) -> Sequence[MinuteBar]:
        """Bars that came since the last call, in order of arrival; waits for the first at most so long."""

    def latest_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Bid, ask and last of each symbol that has them; one request for all. Raises MarketDataError."""

    def is_market_open(self) -> bool:
        """True in the exchange's regular hours."""

    def health(self) -> StreamHealth:
        """How the stream stands."""

    def reconnect(self) -> None:
        """Give the connection up and open another, with the same subscriptions."""

    def disconnect(self) -> None:
        """End the stream and give its connection and subscriptions back."""


class FetchLog(Protocol):
    """What was asked of vendors and answered in full, so that it is not asked again."""

    def answered(self, provider: str, feed: str, timeframe: Timeframe) -> Mapping[date, frozenset[str]]:
        """Symbols by session, whether or not the vendor had bars of them."""

    def note(
        self, provider: str, feed: str, timeframe: Timeframe, symbols: Sequence[str], days: Sequence[date]
    ) -> None:
        """Remember an answer; durable when this returns."""
