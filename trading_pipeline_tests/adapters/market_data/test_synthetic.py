"""The made-up market as a vendor: its history and its stream are one market, known minute by minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.market_data.synthetic import SyntheticLiveBars, SyntheticMarketData
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec
from trading_pipeline.domain.bar_building import MinuteBar
from trading_pipeline.domain.errors import MarketDataError
from trading_pipeline.domain.market import Timeframe

CALENDAR = ExchangeCalendar("24/7")
SPEC = SyntheticMarketSpec(symbols=8, first_session=date(2025, 12, 1), sessions=110, reversals_per_symbol_year=60)
MARKET = SyntheticMarketData(SPEC, CALENDAR)
DAY = date(2026, 1, 3)  # a Saturday
TIMES = CALENDAR.times(DAY)
NOON = datetime(2026, 1, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize("minutes", [0, 1, 719, 1440, 2000])
def test_history_gives_the_minutes_that_have_ended_and_no_other(minutes: int) -> None:
    whole = MARKET.bars(sorted(MARKET.symbols), Timeframe.MIN1, [TIMES], TIMES.closes_at).bars
    now = TIMES.opens_at + timedelta(minutes=minutes, seconds=30)

    known = MARKET.bars(sorted(MARKET.symbols), Timeframe.MIN1, [TIMES], now).bars

    ended = whole[whole["time"] + pd.Timedelta(minutes=1) <= now].reset_index(drop=True)
    pd.testing.assert_frame_equal(known, ended)
    assert known["time"].nunique() == min(minutes, 1440)


def test_a_day_s_bar_is_made_of_its_minutes_and_there_once_the_day_is_over() -> None:
    minutes = MARKET.bars(["SPY"], Timeframe.MIN1, [TIMES], TIMES.closes_at).bars

    day = MARKET.bars(["SPY", "VIX"], Timeframe.DAY1, [TIMES], TIMES.closes_at).bars.set_index("symbol")

    assert (day.loc["SPY", "open"], day.loc["SPY", "high"]) == (minutes["open"].iloc[0], minutes["high"].max())
    assert day.loc["SPY", "volume"] == minutes["volume"].sum()
    assert day["close"].min() > 0
    assert MARKET.bars(["SPY"], Timeframe.DAY1, [TIMES], NOON).bars.empty


def streamed(clock: ReplayClock, minutes: int, *symbols: str) -> list[MinuteBar]:
    live, found = SyntheticLiveBars(MARKET, CALENDAR, clock), list[MinuteBar]()
    live.connect()
    live.subscribe(symbols)
    while clock.now() < NOON + timedelta(minutes=minutes):
        found += live.take(7.0)
    return found


def test_the_stream_delivers_each_minute_once_as_it_ends_and_as_the_history_has_it() -> None:
    found = streamed(ReplayClock(NOON), 30, "QQQ", "SPY")

    history = MARKET.bars(["QQQ", "SPY"], Timeframe.MIN1, [TIMES], NOON + timedelta(minutes=30)).bars
    after = history[history["time"] >= NOON]
    assert len(found) == len({(bar.symbol, bar.start_at) for bar in found}) == len(after) > 50
    assert {(bar.symbol, bar.start_at, bar.close) for bar in found} == set(
        zip(after["symbol"], after["time"], after["close"], strict=True)
    )
    assert all(timedelta(0) <= bar.arrived_at - bar.end_at < timedelta(seconds=7) for bar in found)


def test_minutes_go_on_over_midnight() -> None:
    clock = ReplayClock(TIMES.closes_at - timedelta(minutes=2))
    live = SyntheticLiveBars(MARKET, CALENDAR, clock)
    live.connect()
    live.subscribe(["SPY"])

    starts = [bar.start_at for _ in range(40) for bar in live.take(10.0)]

    assert starts == [TIMES.closes_at + timedelta(minutes=m) for m in range(-2, 4)]


def test_what_the_market_does_not_have_is_refused_by_name() -> None:
    live = SyntheticLiveBars(MARKET, CALENDAR, ReplayClock(NOON))
    live.connect()

    assert list(live.subscribe(["NOPE", "SPY"])) == ["NOPE"]
    assert list(MARKET.bars(["NOPE"], Timeframe.MIN1, [TIMES], NOON).refused) == ["NOPE"]
    with pytest.raises(MarketDataError, match=r"no session 2027-01-01: it runs from 2025-12-01 to 2026-03-20"):
        MARKET.bars(["SPY"], Timeframe.MIN1, [CALENDAR.times(date(2027, 1, 1))], NOON)


def test_quotes_are_last_closes_of_minutes_that_have_ended() -> None:
    live = SyntheticLiveBars(MARKET, CALENDAR, ReplayClock(NOON + timedelta(seconds=20)))

    quote = live.latest_quotes(["SPY"])["SPY"]

    assert quote.quoted_at == NOON
    assert live.is_market_open()
