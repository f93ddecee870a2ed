"""The vectorised SABR20, grades and watchlist equal their literal reading, symbol by symbol and bar by bar."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.analytics.sabr20 import COMPONENTS, Sabr20Rules, score_setups
from trading_pipeline.analytics.watchlist import WatchlistRules, select
from trading_pipeline_tests.oracle import sabr20 as oracle
from trading_pipeline_tests.oracle.bars import Bars, History
from trading_pipeline_tests.oracle.markets import NAMES, NO_SHRINKING, base_bars, indicators

Row = Mapping[Any, Any]
TIMEFRAMES = {"T1": "15min", "T2": "1h", "T3": "4h"}


class Market:
    """One random market: the product's rows and each timeframe's history."""

    def __init__(self, seed: int) -> None:
        base = base_bars(seed, 23)
        self.frames = {level: indicators(base, timeframe) for level, timeframe in TIMEFRAMES.items()}
        self.history = {level: History(frame) for level, frame in self.frames.items()}
        ends = sorted(base["end"].unique())
        as_of = [*ends[60:90:10], *ends[-26 * 7 :: 2]]
        candidates = pd.DataFrame(list(product(as_of, NAMES)), columns=["as_of", "symbol"])
        t1, t2, t3 = self.frames.values()
        self.rows = score_setups(t1, t2, t3, candidates, Sabr20Rules())

    def seen(self, row: Row) -> tuple[Bars, Bars, Bars]:
        """What the row's symbol sees on the three timeframes."""
        t1, t2, t3 = (self.history[level].until(row["symbol"], row["as_of"]) for level in TIMEFRAMES)
        return t1, t2, t3


@lru_cache(maxsize=2)
def the_market(seed: int) -> Market:
    return Market(seed)


def assert_equal(row: Row, literal: oracle.Scored, triggered: bool) -> None:
    numbers = {
        "score": literal.score,
        "rr": literal.rr,
        "entry": literal.entry,
        "stop": literal.stop,
        "target": literal.target,
        "ratio": literal.ratio,
        "bars_since_pivot": literal.bars_since_pivot,
        "drawdown_pct": literal.drawdown_percent,
        "exhaustion": literal.exhaustion,
        **{name: literal.raw[name] for name in COMPONENTS},
    }
    for name, value in numbers.items():
        assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (name, row)
    texts = (row["state"], row["phase"], row["grade"], row["quartile"], row["trigger"])
    assert texts == (literal.state, literal.phase, literal.grade, literal.quartile, triggered), row


@settings(max_examples=4, deadline=None, phases=NO_SHRINKING)
@given(seed=st.integers(0, 100_000))
def test_sabr20_equals_the_oracle_in_every_recorded_field(seed: int) -> None:
    market = the_market(seed)

    for row in market.rows.to_dict("records"):
        if row["reason"] == "no_bar_at_as_of":
            assert not row["scored"]
            continue
        seen = market.seen(row)
        short = oracle.lacking_timeframe(*seen)
        if short:
            count = market.history[short].count(row["symbol"], row["as_of"])
            assert row["reason"] == f"insufficient_history:{TIMEFRAMES[short]}:{count}"
        else:
            assert row["scored"], row
            assert_equal(row, oracle.score(*seen), oracle.trigger(*seen))


def test_the_watchlist_equals_the_oracle_at_every_instant() -> None:
    market = the_market(3)
    listed = select(market.rows, WatchlistRules())

    for _, rows in listed.groupby("as_of"):
        scored = {row["symbol"]: oracle.score(*market.seen(row)) for row in rows[rows["scored"]].to_dict("records")}
        by_rank = rows[rows["scored"]].sort_values("rank")
        assert by_rank["symbol"].tolist() == oracle.ranking(scored)
        assert by_rank[by_rank["selected"]]["symbol"].tolist() == oracle.watchlist(scored)


def test_the_random_markets_reach_the_rules_they_are_meant_to_test() -> None:
    rows = pd.concat([Market(seed).rows for seed in (3, 4)])
    scored = rows[rows["scored"]]

    assert set(scored["state"]) == {"PreBottom", "BottomSoon", "BottomActive", "PostBottom"}
    assert len(set(scored["phase"])) >= 4
    assert set(scored["quartile"]) == {"Q1", "Q2", "Q3", "Q4"}
    assert {"A", "B", "C"} <= set(scored["grade"])
    assert rows["reason"].str.startswith("insufficient_history").any()
