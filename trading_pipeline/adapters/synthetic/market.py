"""The synthetic market as frames, session by session, and into a bar store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import pandas as pd

from trading_pipeline.adapters.market_facts import GICS_SECTORS
from trading_pipeline.adapters.synthetic.daily import make_daily
from trading_pipeline.adapters.synthetic.factors import make_factors
from trading_pipeline.adapters.synthetic.intraday import Market, session_arrays
from trading_pipeline.adapters.synthetic.roster import SPLIT_RATIO, make_roster
from trading_pipeline.adapters.synthetic.spec import SyntheticMarketSpec
from trading_pipeline.analytics.schemas import BAR_COLUMNS
from trading_pipeline.domain.market import SessionTimes, Timeframe
from trading_pipeline.ports import BarStore, TradingCalendar, WriteResult

VOLATILITY_INDEX: Final = "VIX"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SyntheticSession:
    """One session: base bars of every symbol that traded, sorted by symbol and start (BAR_COLUMNS)."""

    session: date
    bars: pd.DataFrame


def market_sessions(spec: SyntheticMarketSpec, calendar: TradingCalendar) -> Sequence[date]:
    """The spec's sessions, ascending, as far as the calendar knows; raises NotASessionError when the first is none."""
    calendar.times(spec.first_session)
    return calendar.sessions(spec.first_session, date.max)[: spec.sessions]


def generate(
    spec: SyntheticMarketSpec, calendar: TradingCalendar, on_progress: Progress | None = None
) -> Iterator[SyntheticSession]:
    """Yield every session in order; `on_progress(done, total)` is called after each."""
    made = SyntheticSessions(spec, calendar)
    for day, session in enumerate(made.sessions, start=1):
        yield SyntheticSession(session, made.bars(session))
        if on_progress is not None:
            on_progress(day, len(made.sessions))


class SyntheticSessions:
    """Any session of a market, made when it is asked for: none depends on another having been made."""

    def __init__(self, spec: SyntheticMarketSpec, calendar: TradingCalendar) -> None:
        self.sessions = market_sessions(spec, calendar)
        self._calendar = calendar
        roster, factors = make_roster(spec), make_factors(spec)
        self._market = Market(spec, roster, factors, make_daily(spec, roster, factors))

    @property
    def symbols(self) -> Sequence[str]:
        """Stocks and index funds."""
        return self._market.roster.symbols

    def bars(self, session: date) -> pd.DataFrame:
        """All base bars of one of the sessions, sorted by symbol and start (BAR_COLUMNS)."""
        return _bars(self._market, self.sessions.index(session), self._calendar.times(session))


def _bars(market: Market, day: int, times: SessionTimes) -> pd.DataFrame:
    """A session's arrays as a bar frame; bars without trades are left out."""
    step = market.spec.timeframe.length
    starts = pd.date_range(times.opens_at, times.closes_at, freq=step, inclusive="left").as_unit("ns")
    ends = starts[1:].append(pd.DatetimeIndex([times.closes_at]).as_unit("ns"))
    arrays = session_arrays(market, day, len(starts))
    who, when = np.nonzero(arrays.traded)
    columns = {name: getattr(arrays, name)[who, when] for name in BAR_COLUMNS[4:]}
    frame = pd.DataFrame(
        {
            "symbol": np.array(market.roster.symbols, dtype=object)[who],
            "session": np.full(len(who), np.datetime64(times.session, "ns")),
            "start": starts[when],
            "end": ends[when],
            **columns,
        }
    )
    return frame[list(BAR_COLUMNS)]


def volatility_index(spec: SyntheticMarketSpec, calendar: TradingCalendar) -> pd.DataFrame:
    """Daily VIX bars (BAR_COLUMNS) from each session's open to its close; an index has no volume (0)."""
    times = [calendar.times(session) for session in market_sessions(spec, calendar)]
    opened, high, low, close = (figures[: len(times)] for figures in make_factors(spec).vix)
    frame = pd.DataFrame(
        {
            "symbol": VOLATILITY_INDEX,
            "session": pd.DatetimeIndex([each.session for each in times]).as_unit("ns"),
            "start": pd.DatetimeIndex([each.opens_at for each in times]).as_unit("ns").tz_convert("UTC"),
            "end": pd.DatetimeIndex([each.closes_at for each in times]).as_unit("ns").tz_convert("UTC"),
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": 0.0,
            "vwap": np.nan,
            "trade_count": np.nan,
        }
    )
    return frame[list(BAR_COLUMNS)]


def corporate_actions(spec: SyntheticMarketSpec, calendar: TradingCalendar) -> pd.DataFrame:
    """Columns symbol, ex_date (datetime64[ns]), kind, value: one split, value new shares per old share.

    Empty while the calendar does not know its session yet.
    """
    roster = make_roster(spec)
    days = market_sessions(spec, calendar)[roster.split_session : roster.split_session + 1]
    ex_date = pd.DatetimeIndex(list(days)).as_unit("ns")
    return pd.DataFrame(
        {"symbol": roster.symbols[roster.split], "ex_date": ex_date, "kind": "split", "value": SPLIT_RATIO}
    )


def members(spec: SyntheticMarketSpec, calendar: TradingCalendar) -> pd.DataFrame:
    """Columns symbol, kind (stock, etf), listed_on, delisted_on: first and last session traded, NaT while listed."""
    roster = make_roster(spec)
    sessions = pd.DatetimeIndex(list(market_sessions(spec, calendar))).as_unit("ns")
    return pd.DataFrame(
        {
            "symbol": list(roster.symbols),
            "kind": np.where(roster.is_stock, "stock", "etf"),
            "listed_on": sessions[roster.first],
            "delisted_on": sessions[roster.last].where(roster.last < spec.sessions - 1),
        }
    )


def sectors(spec: SyntheticMarketSpec) -> dict[str, str]:
    """Invented GICS sector of each stock, every sector as often; the index ETFs have none."""
    roster = make_roster(spec)
    stocks = [symbol for symbol, is_stock in zip(roster.symbols, roster.is_stock, strict=True) if is_stock]
    return {symbol: GICS_SECTORS[place % len(GICS_SECTORS)] for place, symbol in enumerate(stocks)}


def populate(
    spec: SyntheticMarketSpec, store: BarStore, calendar: TradingCalendar, on_progress: Progress | None = None
) -> WriteResult:
    """Write split, VIX and every session's bars, each bar known at its own end; a second run changes nothing."""
    store.write_actions(corporate_actions(spec, calendar), known_at=None)
    results = [store.write(volatility_index(spec, calendar), Timeframe.DAY1, known_at=None)]
    results += [store.write(made.bars, spec.timeframe, known_at=None) for made in generate(spec, calendar, on_progress)]
    return WriteResult(
        sessions=tuple(sorted({session for result in results for session in result.sessions})),
        new=sum(result.new for result in results),
        corrected=sum(result.corrected for result in results),
        unchanged=sum(result.unchanged for result in results),
    )
