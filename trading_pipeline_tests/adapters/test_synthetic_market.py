"""The synthetic market: same seed same bytes, and every promised feature is really in the bars."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import date, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.synthetic import (
    SyntheticMarketSpec,
    corporate_actions,
    generate,
    market_sessions,
    members,
    volatility_index,
)
from trading_pipeline.adapters.synthetic.factors import cluster, fat_tailed
from trading_pipeline.adapters.synthetic.intraday import HALT_MINUTES
from trading_pipeline.adapters.synthetic.roster import ETFS, make_roster, ticker
from trading_pipeline.adapters.synthetic.spec import random_stream
from trading_pipeline.analytics.schemas import BAR_COLUMNS, SESSION_NS, UTC_NS, require_bars
from trading_pipeline.domain.errors import NotASessionError
from trading_pipeline.domain.market import Timeframe

CALENDAR = ExchangeCalendar()
SMALL = SyntheticMarketSpec(symbols=8, sessions=110, timeframe=Timeframe.MIN5)
HALF_DAYS = (date(2024, 7, 3), date(2024, 11, 29))


@cache
def bars_of(spec: SyntheticMarketSpec) -> pd.DataFrame:
    return pd.concat([made.bars for made in generate(spec, CALENDAR)], ignore_index=True)


@cache
def daily_closes(spec: SyntheticMarketSpec) -> pd.DataFrame:
    closes = bars_of(spec).groupby(["session", "symbol"])["close"].last()
    return closes.reset_index().pivot_table(values="close", index="session", columns="symbol")


def digest(spec: SyntheticMarketSpec, last: int = 6) -> str:
    """Hash of the exact bytes of the first sessions, the VIX and the split."""
    found = hashlib.sha256()
    for made, _ in zip(generate(spec, CALENDAR), range(last), strict=False):
        found.update(made.bars.to_csv().encode())
    found.update(volatility_index(spec, CALENDAR).to_csv().encode())
    found.update(corporate_actions(spec, CALENDAR).to_csv().encode())
    return found.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() -> None:
    assert digest(SMALL) == digest(SMALL)
    assert digest(SMALL) != digest(SMALL.model_copy(update={"seed": 8}))


def test_the_bytes_depend_on_no_hash_seed() -> None:
    program = f"from {__name__} import SMALL, digest; print(digest(SMALL))"

    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert found == digest(SMALL)


def test_a_session_s_bars_do_not_depend_on_which_sessions_were_taken_before() -> None:
    one, other = generate(SMALL, CALENDAR), generate(SMALL, CALENDAR)
    next(one)

    pd.testing.assert_frame_equal(next(other).bars, bars_of(SMALL).iloc[: len(next(generate(SMALL, CALENDAR)).bars)])
    pd.testing.assert_frame_equal(next(one).bars, next(other).bars)


def test_sessions_are_the_calendar_s_and_each_is_covered_from_open_to_close() -> None:
    sessions = market_sessions(SMALL, CALENDAR)

    spy = bars_of(SMALL).query("symbol == 'SPY'")

    assert len(sessions) == SMALL.sessions
    assert sessions == CALENDAR.sessions(sessions[0], sessions[-1])
    assert spy["session"].dt.date.drop_duplicates().to_list() == list(sessions)
    for session, bars in spy.groupby("session"):
        times = CALENDAR.times(pd.Timestamp(str(session)).date())
        assert (bars["start"].iloc[0], bars["end"].iloc[-1]) == (times.opens_at, times.closes_at)
        assert (bars["start"].iloc[1:].to_numpy() == bars["end"].iloc[:-1].to_numpy()).all()


@pytest.mark.parametrize("half_day", HALF_DAYS)
def test_a_half_day_has_210_minutes(half_day: date) -> None:
    spec = SyntheticMarketSpec(symbols=8)

    bars = bars_of(spec)

    assert len(bars[(bars["symbol"] == "SPY") & (bars["session"] == pd.Timestamp(half_day))]) == 210


def test_frames_are_bar_frames_sorted_and_without_duplicates() -> None:
    for made in generate(SMALL, CALENDAR):
        types = made.bars.dtypes.astype(str).to_dict()
        assert tuple(made.bars.columns) == BAR_COLUMNS
        assert (types["session"], types["start"], types["end"]) == (SESSION_NS, UTC_NS, UTC_NS)
        assert {types[name] for name in BAR_COLUMNS[4:]} == {"float64"}
        require_bars(made.bars)
        assert (made.bars["session"].dt.date == made.session).all()


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**63 - 1), symbols=st.integers(8, 30), reversals=st.floats(0, 60))
def test_every_bar_is_possible(seed: int, symbols: int, reversals: float) -> None:
    spec = SyntheticMarketSpec(
        seed=seed, symbols=symbols, sessions=110, timeframe=Timeframe.MIN5, reversals_per_symbol_year=reversals
    )

    bars = pd.concat([made.bars for made in generate(spec, CALENDAR)], ignore_index=True)

    prices = bars[["open", "high", "low", "close"]]
    assert np.isfinite(bars[list(BAR_COLUMNS[4:])].to_numpy()).all()
    assert (prices > 0).all(axis=None)
    assert np.array_equal(prices.round(2), prices)
    assert (bars["high"] >= prices.max(axis=1)).all()
    assert (bars["low"] <= prices.min(axis=1)).all()
    assert bars["vwap"].between(bars["low"], bars["high"]).all()
    assert ((bars["volume"] >= 1) & (bars["volume"] % 1 == 0)).all()
    assert ((bars["trade_count"] >= 1) & (bars["trade_count"] <= bars["volume"])).all()


def test_the_split_quarters_the_raw_price_and_vanishes_when_adjusted() -> None:
    (split,) = corporate_actions(SMALL, CALENDAR).to_dict("records")
    closes = daily_closes(SMALL)[split["symbol"]]
    bars = bars_of(SMALL)
    volumes = bars[bars["symbol"] == split["symbol"]].groupby("session")["volume"].sum()
    before = closes.index < split["ex_date"]

    raw = closes.pct_change()
    adjusted = closes.where(~before, closes / 4.0).pct_change()

    assert (split["kind"], split["value"]) == ("split", 4.0)
    assert raw.loc[split["ex_date"]] == pytest.approx(-0.75, abs=0.03)
    assert adjusted.abs().max() < 0.15
    assert 2 < volumes[~before].median() / volumes[before].median() < 8


def test_a_halted_symbol_has_no_bars_during_the_halt_and_trades_again() -> None:
    roster = make_roster(SMALL)
    session = market_sessions(SMALL, CALENDAR)[roster.halt_session]
    opens_at = CALENDAR.times(session).opens_at
    begin, end = (opens_at + timedelta(minutes=minutes) for minutes in HALT_MINUTES)

    bars = bars_of(SMALL)
    symbol = roster.symbols[roster.halted]
    own = bars[(bars["symbol"] == symbol) & (bars["session"] == pd.Timestamp(session))]

    assert session in market_sessions(SMALL, CALENDAR)[-5:]
    assert not own["start"].between(begin, end, inclusive="left").any()
    assert (own["end"] == begin).any()
    assert (own["start"] == end).any()


def test_late_and_delisted_symbols_trade_only_between_their_dates() -> None:
    table = members(SMALL, CALENDAR).set_index("symbol")
    sessions = [pd.Timestamp(session) for session in market_sessions(SMALL, CALENDAR)]

    spans = bars_of(SMALL).groupby("symbol")["session"].agg(["min", "max"])

    assert list(spans.index) == list(table.index)
    assert (spans["min"] == table["listed_on"]).all()
    assert (spans["max"] == table["delisted_on"].fillna(sessions[-1])).all()
    assert table["listed_on"].max() == sessions[-30]
    assert table["delisted_on"].dropna().to_list() == [sessions[-13]]


def test_volume_is_u_shaped() -> None:
    bars = bars_of(SyntheticMarketSpec(symbols=8)).query("symbol == 'SPY'")
    length = bars.groupby("session")["start"].transform("size")
    full = bars[length == 390]
    minute = full.groupby("session").cumcount()

    by_half_hour = full["volume"].groupby(minute // 30).mean()

    midday = by_half_hour.iloc[5:8].mean()
    assert by_half_hour.iloc[0] > 1.5 * midday
    assert by_half_hour.iloc[-1] > 1.5 * midday
    assert by_half_hour.idxmin() in range(4, 9)


def test_a_minute_without_trades_has_no_bar_in_a_thin_symbol() -> None:
    spec = SyntheticMarketSpec()

    bars = bars_of(spec)
    sizes = bars[bars["session"] == bars["session"].iloc[0]].groupby("symbol").size()
    volumes = bars.groupby(["symbol", "session"])["volume"].sum().groupby("symbol").mean()

    assert sizes.max() == 390
    assert sizes[volumes < 500_000].min() < 385
    assert 0.6 < (volumes >= 500_000).mean() < 1.0
    assert bars["close"].between(5, 400)[~bars["symbol"].isin(list(ETFS))].mean() > 0.95


def test_large_moves_follow_large_moves() -> None:
    shocks = fat_tailed(random_stream(SMALL, 99), (200, 1_000))

    moves = np.abs(shocks * cluster(shocks))[:, 100:]

    today, before = moves[:, 1:].ravel(), moves[:, :-1].ravel()
    assert np.corrcoef(today, before)[0, 1] > 0.05
    returns = daily_closes(SyntheticMarketSpec()).pct_change(fill_method=None).abs()
    returns = returns[returns < 0.5]  # without the split
    pooled = [returns[symbol].autocorr(1) for symbol in returns]
    assert np.nanmean(pooled) > 0


@pytest.mark.parametrize("seed", range(12))
def test_vix_stays_sane_and_rises_when_the_market_falls(seed: int) -> None:
    spec = SMALL.model_copy(update={"seed": seed})

    vix = volatility_index(spec, CALENDAR)

    assert vix["close"].between(10, 65).all()
    assert 12 <= vix["close"].median() <= 28
    assert (vix["high"] >= vix[["open", "close"]].max(axis=1)).all()
    assert (vix["low"] <= vix[["open", "close"]].min(axis=1)).all()
    assert (vix["low"] > 0).all()
    assert [each.closes_at for each in map(CALENDAR.times, market_sessions(spec, CALENDAR))] == vix["end"].to_list()
    spy = daily_closes(SMALL)["SPY"].pct_change() if seed == SMALL.seed else None
    if spy is not None:
        assert spy.corr(vix.set_index("session")["close"].diff()) < -0.5


def test_index_etfs_move_together_as_they_do() -> None:
    returns = daily_closes(SyntheticMarketSpec())[["SPY", "QQQ", "IWM", "DIA"]].pct_change()

    found = returns.corr()

    assert 0.6 <= found["SPY"]["QQQ"] <= 0.95
    assert 0.5 <= found["QQQ"]["IWM"] <= 0.9
    assert 0.6 <= found["SPY"]["IWM"] <= 0.95


def test_five_minute_and_one_minute_markets_share_their_sessions_opens() -> None:
    fine = SMALL.model_copy(update={"timeframe": Timeframe.MIN1})

    coarse_open, fine_open = (
        next(generate(spec, CALENDAR)).bars.groupby("symbol")["open"].first() for spec in (SMALL, fine)
    )

    pd.testing.assert_series_equal(coarse_open, fine_open)


def test_tickers_are_distinct_and_no_index() -> None:
    names = [ticker(number) for number in range(4_000)]

    assert len(set(names)) == len(names)
    assert not {*ETFS, "VIX"} & set(names)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sessions": 109}, "109 sessions are too few.*at least 110"),
        ({"symbols": 7}, "7 symbols are too few.*at least 8"),
        ({"timeframe": "1h"}, "1h bars are derived, not generated.*1min or 5min"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"syembols": 40}, "Extra inputs are not permitted"),
    ],
)
def test_an_impossible_market_is_refused_with_what_to_do(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SyntheticMarketSpec.model_validate(wrong)


def test_a_market_cannot_start_on_a_holiday() -> None:
    with pytest.raises(NotASessionError, match="2024-07-04 is an exchange holiday"):
        next(generate(SMALL.model_copy(update={"first_session": date(2024, 7, 4)}), CALENDAR))


def test_progress_is_told_after_every_session() -> None:
    told: list[tuple[int, int]] = []

    for _ in generate(SMALL, CALENDAR, lambda done, total: told.append((done, total))):
        pass

    assert told == [(done, 110) for done in range(1, 111)]
