"""Who may be traded, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.analytics.universe import UNIVERSE_COLUMNS, UniverseRules, build_universe
from trading_pipeline.domain.errors import FrameContractError

SESSIONS = pd.bdate_range("2025-01-02", periods=25)
TODAY = date(2025, 2, 6)
YESTERDAY = SESSIONS[-1]
RULES = UniverseRules()


def daily(
    symbol: str, *, close: float = 50.0, volume: float = 1e6, sessions: pd.DatetimeIndex = SESSIONS
) -> pd.DataFrame:
    return pd.DataFrame({"session": sessions, "close": close, "volume": volume}).assign(symbol=symbol)


def market(*frames: pd.DataFrame) -> pd.DataFrame:
    """The frames beside a symbol that traded every session, so that the lookback is known."""
    return pd.concat([daily("REF"), *frames], ignore_index=True)


def the_row(frame: pd.DataFrame, symbol: str) -> Mapping[Any, Any]:
    rows: list[dict[Any, Any]] = frame[frame["symbol"] == symbol].to_dict("records")
    assert len(rows) == 1
    return rows[0]


def reason(*frames: pd.DataFrame, **known: Any) -> str:
    return str(the_row(build_universe(market(*frames), TODAY, RULES, **known), "X")["reason"])


def test_a_liquid_symbol_is_included_with_its_figures() -> None:
    row = the_row(build_universe(market(daily("X")), TODAY, RULES), "X")

    assert (row["included"], row["reason"]) == (True, "")
    assert (row["price"], row["average_volume"], row["sessions"]) == (50.0, 1e6, 20)


@pytest.mark.parametrize(
    ("close", "volume", "expected"),
    [
        (0.99, 1e6, "price_below_minimum"),
        (1.00, 1e6, ""),
        (500.00, 1e6, ""),
        (500.01, 1e6, "price_above_maximum"),
        (50.0, 499_999, "volume_below_minimum"),
        (50.0, 500_000, ""),
    ],
)
def test_the_bounds_themselves_pass(close: float, volume: float, expected: str) -> None:
    assert reason(daily("X", close=close, volume=volume)) == expected


@pytest.mark.parametrize(
    ("cap", "spread", "expected", "unknown"),
    [
        (1e8, 0.005, "", ""),
        (99_999_999.0, 0.001, "market_cap_below_minimum", ""),
        (1e9, 0.0051, "spread_above_maximum", ""),
        (float("nan"), 0.001, "", "market_cap"),
        (0.0, float("inf"), "", "market_cap,spread"),
        (1e9, -0.1, "", "spread"),
    ],
)
def test_known_figures_are_tested_and_useless_ones_recorded_as_unknown(
    cap: float, spread: float, expected: str, unknown: str
) -> None:
    universe = build_universe(market(daily("X")), TODAY, RULES, market_caps={"X": cap}, spreads={"X": spread})

    row = the_row(universe, "X")

    assert (row["reason"], row["unknown"]) == (expected, unknown)


def test_an_unknown_market_cap_is_recorded_not_passed_silently() -> None:
    row = the_row(build_universe(market(daily("X")), TODAY, RULES), "X")

    assert row["included"]
    assert row["unknown"] == "market_cap,spread"
    assert np.isnan(row["market_cap"])


def test_a_delisted_symbol_leaves_the_universe_as_stale() -> None:
    before = build_universe(market(daily("X")), TODAY, RULES)

    after = build_universe(market(daily("X", sessions=SESSIONS[:-1])), TODAY, RULES, previous=before)

    row = the_row(after, "X")
    assert (row["included"], row["reason"], row["change"]) == (False, "stale", "removed")


def test_a_symbol_listed_late_has_insufficient_sessions() -> None:
    assert reason(daily("X", sessions=SESSIONS[-14:])) == "insufficient_sessions"
    assert reason(daily("X", sessions=SESSIONS[-15:])) == ""


def test_a_short_gap_in_the_data_does_not_remove_a_symbol() -> None:
    gap = SESSIONS.delete([8, 12, 13, 20, 21])

    row = the_row(build_universe(market(daily("X", sessions=gap)), TODAY, RULES), "X")

    assert (row["included"], row["sessions"]) == (True, 15)


@pytest.mark.parametrize("close", [float("nan"), float("inf"), 0.0, -3.0])
def test_a_last_bar_without_a_price_counts_as_absent(close: float) -> None:
    bars = daily("X")
    bars.loc[bars["session"] == YESTERDAY, "close"] = close

    assert reason(bars) == "stale"


@pytest.mark.parametrize("volume", [float("nan"), -1.0, float("inf")])
def test_bars_without_a_volume_count_as_absent(volume: float) -> None:
    bars = daily("X")
    bars.loc[bars["session"] < SESSIONS[-10], "volume"] = volume

    assert reason(bars) == "insufficient_sessions"


def test_a_session_without_trades_lowers_the_average_volume() -> None:
    bars = daily("X", volume=600_000)
    bars.loc[bars["session"] >= SESSIONS[-5], "volume"] = 0.0

    assert reason(bars) == "volume_below_minimum"


def test_members_decide_and_a_member_without_bars_is_named() -> None:
    universe = build_universe(market(daily("X")), TODAY, RULES, members=["REF", "GHOST"])

    reasons = dict(zip(universe["symbol"], universe["reason"], strict=True))
    assert reasons == {"GHOST": "no_bars", "REF": "", "X": "not_a_member"}


def test_custom_additions_are_candidates_and_exclusions_win() -> None:
    rules = UniverseRules(include=("X", "PENNY"), exclude=("REF",))
    bars = market(daily("X"), daily("PENNY", close=0.5))

    universe = build_universe(bars, TODAY, rules, members=["REF"])

    reasons = dict(zip(universe["symbol"], universe["reason"], strict=True))
    assert reasons == {"PENNY": "price_below_minimum", "REF": "excluded", "X": ""}


def test_changes_are_stated_against_the_previous_universe_only() -> None:
    previous = pd.DataFrame({"symbol": ["REF", "GONE", "X"], "included": [True, True, False]})

    universe = build_universe(market(daily("X")), TODAY, RULES, previous=previous)

    changes = dict(zip(universe["symbol"], universe["change"], strict=True))
    assert changes == {"GONE": "removed", "REF": "", "X": "added"}
    assert the_row(universe, "GONE")["reason"] == "no_bars"
    assert set(build_universe(market(daily("X")), TODAY, RULES)["change"]) == {""}


def test_bars_of_the_session_itself_and_later_change_nothing() -> None:
    known = market(daily("X"))
    later = daily("X", close=0.01, volume=0.0, sessions=pd.bdate_range(TODAY, periods=3))
    unborn = daily("NEW", sessions=pd.bdate_range(TODAY, periods=3))

    universe = build_universe(pd.concat([known, later, unborn]), TODAY, RULES)

    pd.testing.assert_frame_equal(universe, build_universe(known, TODAY, RULES))


def test_no_bars_at_all_give_an_empty_universe_with_its_columns() -> None:
    universe = build_universe(market().iloc[:0], TODAY, RULES)

    assert universe.empty
    assert tuple(universe.columns) == UNIVERSE_COLUMNS


def test_two_bars_of_one_session_are_refused() -> None:
    with pytest.raises(FrameContractError, match=r"25 daily bars are duplicates.*REF"):
        build_universe(pd.concat([daily("REF"), daily("REF")]), TODAY, RULES)


@pytest.mark.parametrize(
    "rules",
    [
        {"min_price_usd": 600},
        {"min_sessions": 21},
        {"include": ("A",), "exclude": ("A",)},
        {"max_prise_usd": 3},
    ],
)
def test_rules_that_contradict_themselves_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        UniverseRules(**rules)


figures = st.one_of(st.floats(0.5, 600), st.just(float("nan")), st.just(0.0))


@given(
    closes=st.lists(figures, min_size=25, max_size=25),
    volumes=st.lists(st.one_of(st.floats(0, 2e6), st.just(float("nan"))), min_size=25, max_size=25),
    present=st.lists(st.booleans(), min_size=25, max_size=25),
)
def test_the_filter_equals_its_literal_reading(closes: list[float], volumes: list[float], present: list[bool]) -> None:
    bars = pd.DataFrame({"symbol": "X", "session": SESSIONS, "close": closes, "volume": volumes})

    row = build_universe(market(bars[present]), TODAY, RULES)
    found = row[row["symbol"] == "X"]["reason"].tolist()

    assert found == ([literal_reason(closes, volumes, present)] if any(present) else [])


def literal_reason(closes: list[float], volumes: list[float], present: list[bool]) -> str:
    """The rules for one symbol, one session at a time."""
    usable = [p and c > 0 and v >= 0 for c, v, p in zip(closes, volumes, present, strict=True)]
    window = [i for i in range(5, 25) if usable[i]]
    if not usable[24]:
        return "stale"
    if len(window) < 15:
        return "insufficient_sessions"
    if closes[24] < 1:
        return "price_below_minimum"
    if closes[24] > 500:
        return "price_above_maximum"
    return "volume_below_minimum" if sum(volumes[i] for i in window) / len(window) < 500_000 else ""
