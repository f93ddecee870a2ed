"""The synthetic market in a real bar store, and the sell-offs it plants."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.synthetic import (
    VOLATILITY_INDEX,
    SyntheticMarketSpec,
    corporate_actions,
    generate,
    market_sessions,
    populate,
)
from trading_pipeline.adapters.synthetic.daily import make_reversals
from trading_pipeline.adapters.synthetic.roster import ETFS, make_roster
from trading_pipeline.domain.market import Timeframe

CALENDAR = ExchangeCalendar()
SPEC = SyntheticMarketSpec(symbols=8, sessions=110, timeframe=Timeframe.MIN5, reversals_per_symbol_year=40)
SESSIONS = market_sessions(SPEC, CALENDAR)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ParquetBarStore:
    made = a_store(tmp_path_factory.mktemp("bars"))
    populate(SPEC, made, CALENDAR)
    return made


def a_store(folder: Path) -> ParquetBarStore:
    return ParquetBarStore(folder, CALENDAR, FixedClock(datetime(2025, 1, 2, tzinfo=UTC)))


def test_populating_writes_every_session_and_a_second_run_changes_nothing(store: ParquetBarStore) -> None:
    before, rows = store.content_hash(SPEC.timeframe, SESSIONS), len(store.read(SPEC.timeframe, SESSIONS))

    again = populate(SPEC, store, CALENDAR)

    assert store.sessions(SPEC.timeframe) == list(SESSIONS)
    assert (again.new, again.corrected) == (0, 0)
    assert again.unchanged == rows + len(SESSIONS)
    assert store.content_hash(SPEC.timeframe, SESSIONS) == before


def test_populating_continues_after_an_interruption(tmp_path: Path, store: ParquetBarStore) -> None:
    interrupted = a_store(tmp_path)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        populate(SPEC, interrupted, CALENDAR, stop)
    populate(SPEC, interrupted, CALENDAR)

    assert interrupted.content_hash(SPEC.timeframe, SESSIONS) == store.content_hash(SPEC.timeframe, SESSIONS)


def test_each_bar_is_known_at_its_own_end(store: ParquetBarStore) -> None:
    session = SESSIONS[40]
    noon = CALENDAR.times(session).opens_at + timedelta(hours=2, minutes=30)

    known = store.read(SPEC.timeframe, [session], known_at=noon)

    assert known["end"].max() == noon
    assert (known["known_at"] == known["end"]).all()


def test_the_split_vanishes_in_the_adjusted_view_and_stays_in_the_raw_bars(store: ParquetBarStore) -> None:
    (split,) = corporate_actions(SPEC, CALENDAR).to_dict("records")
    ex_date: date = split["ex_date"].date()
    days, symbols = [CALENDAR.previous(ex_date), ex_date], [split["symbol"]]

    raw = store.read(SPEC.timeframe, days, symbols=symbols).groupby("session")["close"].last()
    adjusted = store.view(Timeframe.DAY1, days, as_of=SESSIONS[-1], symbols=symbols).set_index("session")

    assert raw.iloc[1] / raw.iloc[0] == pytest.approx(0.25, rel=0.12)
    assert adjusted["close"].iloc[1] / adjusted["close"].iloc[0] == pytest.approx(1.0, abs=0.12)
    assert 0.2 < adjusted["volume"].iloc[1] / adjusted["volume"].iloc[0] < 5


def test_vix_is_stored_as_daily_bars_of_every_session(store: ParquetBarStore) -> None:
    vix = store.read(Timeframe.DAY1, SESSIONS, symbols=[VOLATILITY_INDEX])

    assert vix["session"].dt.date.to_list() == list(SESSIONS)
    assert vix["end"].to_list() == [CALENDAR.times(session).closes_at for session in SESSIONS]


def test_a_washout_falls_first_then_turns_on_high_volume() -> None:
    spec = SPEC.model_copy(update={"symbols": 60})
    roster = make_roster(spec)
    bars = pd.concat([made.bars for made in generate(spec, CALENDAR)], ignore_index=True)
    days = bars.groupby(["symbol", "session"]).agg(
        low=("low", "min"), close=("close", "last"), open=("open", "first"), volume=("volume", "sum")
    )
    plan = make_reversals(spec, roster)
    sessions = pd.DatetimeIndex(list(SESSIONS)).as_unit("ns")
    index = pd.MultiIndex.from_product([roster.symbols, sessions], names=["symbol", "session"])
    turned = pd.Series(((plan.volume > 1.6) & (plan.rebound > 0.3 * plan.depth)).ravel(), index).reindex(days.index)

    fall, rise = days["low"] / days["open"] - 1, days["close"] / days["low"] - 1
    lively = days["volume"] / days.groupby("symbol")["volume"].transform("median")

    assert 0.01 < turned.mean() < 0.2
    assert fall[turned].median() < 1.4 * fall[~turned].median()
    assert rise[turned].median() > 1.3 * rise[~turned].median()
    assert lively[turned].median() > 1.4


def test_sell_offs_come_at_the_asked_rate_and_never_in_an_index_fund() -> None:
    spec = SyntheticMarketSpec(symbols=200, sessions=1_000, reversals_per_symbol_year=12)
    roster = make_roster(spec)

    washouts = make_reversals(spec, roster).volume > 1.6

    assert washouts[roster.is_stock].mean() * 252 == pytest.approx(12, rel=0.1)
    assert not washouts[~roster.is_stock].any()
    assert {symbol for symbol, is_stock in zip(roster.symbols, roster.is_stock, strict=True) if not is_stock} == {*ETFS}
