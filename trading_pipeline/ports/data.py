"""Time, sessions, bars, facts and signals: what the core asks of the world without acting on it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from trading_pipeline.domain.market import Adjustment, MarketBar, Quote, SessionTimes, Timeframe
from trading_pipeline.domain.risk import SymbolFacts
from trading_pipeline.domain.targets import SignalSet

if TYPE_CHECKING:
    import pandas as pd


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Current instant, timezone-aware UTC."""

    def sleep_until(self, instant: datetime) -> None:
        """Return at or after `instant`; an accelerated clock jumps there."""


class TradingCalendar(Protocol):
    """Sessions of one exchange."""

    def sessions(self, first: date, last: date) -> Sequence[date]:
        """Every session from first to last, both included, ascending."""

    def is_session(self, day: date) -> bool:
        """True when the exchange opens on that date."""

    def times(self, session: date) -> SessionTimes:
        """Open and close of a session; raises NotASessionError for any other date."""

    def previous(self, session: date, count: int = 1) -> date:
        """The session `count` before this one."""

    def next(self, session: date, count: int = 1) -> date:
        """The session `count` after this one."""

    def holidays(self, first: date, last: date) -> Sequence[date]:
        """Weekdays between first and last, both included, on which the exchange is closed."""

    def session_of(self, instant: datetime) -> date:
        """The session whose exchange date the instant falls on, else the next one."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write of bars changed; unchanged rows are counted, not written again."""

    sessions: tuple[date, ...]
    new: int
    corrected: int
    unchanged: int


class BarStore(Protocol):
    """Bars on disk by timeframe and session; a correction is a new version of the row, and nothing is overwritten."""

    def sessions(self, timeframe: Timeframe) -> Sequence[date]:
        """Sessions with stored rows, ascending."""

    def base_timeframe(self) -> Timeframe | None:
        """The finest stored intraday timeframe, None when only daily bars (or none) are stored."""

    def last_end(self, timeframe: Timeframe, session: date) -> datetime | None:
        """End of the newest stored bar of the session, of any symbol; None when none is stored."""

    def write(
        self,
        bars: pd.DataFrame,
        timeframe: Timeframe,
        *,
        known_at: datetime | None,
        adjustment: Adjustment = Adjustment.RAW,
        adjusted_through: date | None = None,
        feed: str | None = None,
    ) -> WriteResult:
        """Append what is new or different. known_at None: each bar was known at its own end. feed: of the vendor."""

    def read(
        self,
        timeframe: Timeframe,
        sessions: Sequence[date],
        *,
        symbols: Sequence[str] | None = None,
        known_at: datetime | None = None,
    ) -> pd.DataFrame:
        """Rows as stored (newest version known at `known_at`; None: newest), by symbol, start: STORED_BAR_COLUMNS."""

    def view(
        self,
        timeframe: Timeframe,
        sessions: Sequence[date],
        *,
        as_of: date,
        symbols: Sequence[str] | None = None,
        known_at: datetime | None = None,
    ) -> pd.DataFrame:
        """Bars of any timeframe, rolled up where not stored, in the units of session `as_of` (back-adjusted)."""

    def content_hash(
        self, timeframe: Timeframe, sessions: Sequence[date], *, symbols: Sequence[str] | None = None
    ) -> str:
        """SHA-256 of the newest rows' content, whatever order or file they were delivered in."""

    def imported(self, timeframe: Timeframe, sessions: Sequence[date]) -> Mapping[date, frozenset[str]]:
        """Symbols by session with rows that no vendor delivered: from files, or a made-up market."""

    def state(self, sessions: Sequence[date]) -> Hashable:
        """What the bars and actions behind these sessions are like: equal as long as none of them was written."""

    def of_feed(self, feed: str, sessions: Sequence[date]) -> pd.DataFrame:
        """symbol and session whose daily volume is of that feed alone."""

    def write_actions(self, actions: pd.DataFrame, *, known_at: datetime | None) -> int:
        """Append corporate actions (symbol, ex_date, kind split|dividend, value); returns how many were new."""

    def actions(self, *, known_at: datetime | None = None) -> pd.DataFrame:
        """All known corporate actions, sorted by symbol, ex_date."""


class ResearchStore(Protocol):
    """Frames derived from bars, one file per name and session, replaced atomically."""

    def write(self, name: str, session: date, frame: pd.DataFrame) -> None:
        """Replace the session's frame."""

    def read(self, name: str, session: date) -> pd.DataFrame:
        """The session's frame; raises MissingResultError when it was not made."""

    def sessions(self, name: str) -> Sequence[date]:
        """Sessions for which the frame exists, ascending."""


class MarketFacts(Protocol):
    """What limits and filters need to know of symbols besides prices: sectors, earnings, correlations, halts."""

    def facts(
        self, symbols: Iterable[str], held: Iterable[str], session: date, now: datetime
    ) -> Mapping[str, SymbolFacts]:
        """Facts of each of `symbols`, with its correlation to each of `held`; known before the session began.

        Never raises for what a source lacks: the facts say what is unknown or unusable, and why.
        """

    def prepare(self, session: date) -> None:
        """Read what the session's questions need, so that they are quick later. Never raises for what is missing."""

    def value_at_risk_usd(self, values_usd: Mapping[str, Decimal], session: date) -> Decimal | None:
        """Historical 1-day 95 % VaR of such holdings (USD by symbol); None when it is unknown."""


class BarFeed(Protocol):
    """Base bars of the running session in the venue's own (unadjusted) units."""

    def bar_ends(self, times: SessionTimes) -> Sequence[datetime]:
        """Instants at which base bars of the session end, ascending."""

    def bars_after(self, times: SessionTimes, since: Mapping[str, datetime], instant: datetime) -> Sequence[MarketBar]:
        """Each symbol's bars that end after its own `since`, up to `instant`: by symbol, then time.

        So a bar that is stored late is not lost; a symbol without trades has none.
        """

    def quotes(self, times: SessionTimes, instant: datetime, symbols: Iterable[str]) -> dict[str, Quote]:
        """Last close of each symbol at `instant`, quoted at its bar's end; a symbol not traded yet has none."""

    def base_minutes(self) -> int:
        """Length of a base bar in minutes."""

    def actions(self, times: SessionTimes) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
        """Splits (new shares for one old) and dividends (USD per share) with this ex-date, known before the open."""


class SignalProvider(Protocol):
    """Where external signals come from."""

    @property
    def name(self) -> str:
        """Source of its sets: one of domain.targets.SOURCES."""

    def signals(self, session: date, as_of: datetime) -> SignalSet:
        """The newest set known at `as_of`.

        Raises MissingResultError when there is none, SignalsError for broken rows.
        """
