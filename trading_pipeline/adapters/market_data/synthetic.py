"""The seeded synthetic market as a vendor: its history by request, and its minutes as the machine's clock passes them.

Nothing is random at run time: a minute's bar is what the seed says of that minute, whoever asks and however often.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache

import pandas as pd

from trading_pipeline.adapters.market_data.frames import NUMBERS
from trading_pipeline.adapters.synthetic import (
    VOLATILITY_INDEX,
    SyntheticMarketSpec,
    SyntheticSessions,
    corporate_actions,
    volatility_index,
)
from trading_pipeline.analytics.bars import minutes_of, roll_up, session_table
from trading_pipeline.domain.bar_building import MINUTE, MinuteBar
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.domain.market import Quote, SessionTimes, Timeframe
from trading_pipeline.domain.money import to_price
from trading_pipeline.ports import BarDelivery, Clock, RequestSize, StreamHealth, TradingCalendar

log = logging.getLogger(__name__)
NAME = "synthetic"
SESSIONS_AT_HAND = 4


class SyntheticMarketData:
    """Implements MarketDataSource. Bars are known from their end on; all are raw."""

    name = NAME

    def __init__(self, spec: SyntheticMarketSpec, calendar: TradingCalendar) -> None:
        self._spec, self._calendar = spec, calendar
        self._session = lru_cache(SESSIONS_AT_HAND)(self._bars_of)

    def feed(self, timeframe: Timeframe) -> str:  # noqa: ARG002
        """All of it is made up, and all of the market."""
        return NAME

    def request_size(self, timeframe: Timeframe) -> RequestSize:  # noqa: ARG002
        """Every symbol at once; few sessions, so that progress is seen."""
        return RequestSize(symbols=5_000, sessions=10)

    def available_until(self, timeframe: Timeframe, now: datetime) -> datetime:  # noqa: ARG002
        """Everything that has ended."""
        return now

    def bars(
        self, symbols: Sequence[str], timeframe: Timeframe, sessions: Sequence[SessionTimes], now: datetime
    ) -> BarDelivery:
        """Bars that had ended by `now`; raises MarketDataError for a session the market does not have."""
        known = {*self.symbols, VOLATILITY_INDEX}
        wanted = [symbol for symbol in symbols if symbol in known]
        frames = [self._of_session(times, timeframe, wanted, now) for times in sessions]
        refused = {symbol: "not in the synthetic market" for symbol in symbols if symbol not in known}
        return BarDelivery(bars=pd.concat(frames, ignore_index=True), feed=NAME, refused=refused)

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[pd.DataFrame, Mapping[str, int]]:
        """The market's one split, when its ex-date lies between."""
        found = corporate_actions(self._spec, self._calendar)
        days = found["ex_date"].dt.date
        inside = found["symbol"].isin(list(symbols)) & (days >= first) & (days <= last)
        return found[inside].reset_index(drop=True), {}

    def minutes(self, times: SessionTimes) -> pd.DataFrame:
        """Every minute of a session, those to come too (BAR_COLUMNS)."""
        return self._session(times)

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Stocks and index funds."""
        return frozenset(self._sessions.symbols)

    def close(self) -> None:
        """Nothing is held."""

    @cached_property
    def _sessions(self) -> SyntheticSessions:
        return SyntheticSessions(self._spec, self._calendar)

    def _bars_of(self, times: SessionTimes) -> pd.DataFrame:
        days = self._sessions.sessions
        if not days[0] <= times.session <= days[-1]:
            raise MarketDataError(
                f"the synthetic market has no session {times.session}: it runs from {days[0]} to {days[-1]}. Set "
                "live.synthetic.first_session and live.synthetic.sessions so that they hold it"
            )
        return self._sessions.bars(times.session)

    def _of_session(
        self, times: SessionTimes, timeframe: Timeframe, wanted: Sequence[str], now: datetime
    ) -> pd.DataFrame:
        bars = self.minutes(times)
        if timeframe is Timeframe.DAY1:
            bars = pd.concat([roll_up(bars, timeframe, session_table([times])), self._volatility_of(times)])
        elif timeframe is not self._spec.timeframe:
            bars = roll_up(bars, timeframe, session_table([times]))
        chosen = bars[bars["symbol"].isin(wanted) & (bars["end"] <= now)]
        time = chosen["session"] if timeframe is Timeframe.DAY1 else chosen["start"]
        return chosen.assign(time=time)[["symbol", "time", *NUMBERS]]

    def _volatility_of(self, times: SessionTimes) -> pd.DataFrame:
        return self._volatility[self._volatility["session"] == pd.Timestamp(times.session)]

    @cached_property
    def _volatility(self) -> pd.DataFrame:
        return volatility_index(self._spec, self._calendar)


class SyntheticLiveBars:
    """Implements LiveBars: each minute is delivered as it ends by the clock. It never stalls."""

    name = feed = NAME

    def __init__(self, history: SyntheticMarketData, calendar: TradingCalendar, clock: Clock) -> None:
        self._history, self._calendar, self._clock = history, calendar, clock
        self.on_disconnect: Callable[[str], None] = lambda reason: log.warning("the stream ended: %s", reason)
        self._symbols: frozenset[str] = frozenset()
        self._told_until = self._connections = 0
        self._last_at: datetime | None = None
        self._is_connected = False

    def connect(self) -> None:
        """From now on."""
        self._is_connected, self._connections = True, self._connections + 1
        self._told_until = _minute_of(self._clock.now())

    def subscribe(self, symbols: Sequence[str]) -> Mapping[str, str]:
        """These symbols' minutes; returns those the market does not have."""
        known = self._history.symbols
        self._symbols = known & frozenset(symbols)
        return {symbol: "not in the synthetic market" for symbol in symbols if symbol not in known}

    def take(self, timeout_seconds: float) -> Sequence[MinuteBar]:
        """Minutes that have ended since the last call; waits for the next end at most so long."""
        if _minute_of(self._clock.now()) <= self._told_until:
            next_end = _instant(self._told_until + 1)
            self._clock.sleep_until(min(next_end, self._clock.now() + timedelta(seconds=timeout_seconds)))
        return self._ended(self._clock.now()) if self._is_connected else ()

    def latest_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The last close of each symbol that has traded today."""
        now = self._clock.now()
        bars = self._history.minutes(self._times(now))
        last = bars[bars["symbol"].isin(list(symbols)) & (bars["end"] <= now)].groupby("symbol").tail(1)
        rows = zip(last["symbol"], last["close"], last["end"], strict=True)
        return {symbol: Quote(symbol, to_price(close), end.to_pydatetime()) for symbol, close, end in rows}

    def is_market_open(self) -> bool:
        """True in the calendar's hours."""
        now = self._clock.now()
        times = self._times(now)
        return times.opens_at <= now < times.closes_at

    def health(self) -> StreamHealth:
        """How the stream stands."""
        return StreamHealth(is_connected=self._is_connected, last_at=self._last_at, connections=self._connections)

    def reconnect(self) -> None:
        """Begin again from now on."""
        self.connect()

    def disconnect(self) -> None:
        """No more bars."""
        self._is_connected = False

    def _times(self, now: datetime) -> SessionTimes:
        return self._calendar.times(self._calendar.session_of(now))

    def _ended(self, now: datetime) -> list[MinuteBar]:
        until, told = _minute_of(now), self._told_until
        if until <= told:
            return []
        self._told_until, self._last_at = until, now
        bars = self._history.minutes(self._times(now - MINUTE))
        ended = (bars["end"] > _instant(told)) & (bars["end"] <= _instant(until))
        rows = bars[ended & bars["symbol"].isin(list(self._symbols))]
        return minutes_of(rows.assign(time=rows["start"]), now)


def _minute_of(at: datetime) -> int:
    """Whole minutes since 1970."""
    return int(at.timestamp() // 60)


def _instant(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)
