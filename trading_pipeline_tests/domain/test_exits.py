"""Exits: trailing in initial R on two quotes, and the close from the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.domain.errors import NaiveDatetimeError, TradingError
from trading_pipeline.domain.exits import (
    ExitRules,
    Held,
    exit_reason_for,
    fell_below_mid,
    hold_exit,
    is_flatten_time,
    momentum_is_lost,
    partial_quantity,
    trailing_stop,
)
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline_tests.builders import a_position, dec, two_quotes

RULES = ExitRules()
COSTS = dec("0.02")


@pytest.mark.parametrize(
    ("price", "expected"),
    [("52.99", None), ("53.00", "50.02"), ("53.99", "50.02"), ("54.00", "52.00"), ("60", "52.00")],
)
def test_the_stop_follows_in_steps_of_initial_r(price: str, expected: str | None) -> None:
    moved = trailing_stop(a_position(), two_quotes(price, price), RULES, COSTS)

    assert moved == (None if expected is None else dec(expected))


def test_e05_e07_the_second_step_follows_the_first_because_r_is_initial() -> None:
    at_break_even = a_position(stop="50.02")

    assert trailing_stop(at_break_even, two_quotes(54, 54), RULES, COSTS) == 52


def test_one_bad_tick_moves_nothing() -> None:
    assert trailing_stop(a_position(), two_quotes(50, 54), RULES, COSTS) is None
    assert trailing_stop(a_position(), two_quotes(54, 53), RULES, COSTS) == dec("50.02")


def test_two_views_of_one_quote_are_not_two_quotes() -> None:
    first, _ = two_quotes(54, 54)

    assert trailing_stop(a_position(), (first, first), RULES, COSTS) is None
    assert trailing_stop(a_position(), two_quotes(54, 54)[::-1], RULES, COSTS) is None
    assert trailing_stop(a_position(), two_quotes(54, 54, symbol="ABC"), RULES, COSTS) is None


@pytest.mark.parametrize("bad", ["NaN", "0", "-1", "Infinity"])
def test_a_quote_that_is_no_price_moves_nothing(bad: str) -> None:
    assert trailing_stop(a_position(), two_quotes(54, bad), RULES, COSTS) is None


def test_a_stop_that_costs_would_lift_to_the_market_stays_where_it_is() -> None:
    assert trailing_stop(a_position(), two_quotes(53, 53), RULES, dec("3.00")) is None
    assert trailing_stop(a_position(), two_quotes(53, 53), RULES, dec("2.99")) == dec("52.99")


def test_the_ladder_stays_one_r_behind_when_it_is_switched_on() -> None:
    laddered = ExitRules(ladder=True)

    assert trailing_stop(a_position(), two_quotes("59.90", "59.90"), laddered, COSTS) == 56
    assert trailing_stop(a_position(), two_quotes("54.10", "54.10"), laddered, COSTS) == 52


def test_without_initial_risk_or_shares_nothing_is_trailed() -> None:
    assert trailing_stop(a_position(initial_stop=None), two_quotes(54, 54), RULES, COSTS) is None
    assert trailing_stop(a_position(quantity=0), two_quotes(54, 54), RULES, COSTS) is None


cents = st.integers(1, 20_000).map(lambda n: Decimal(n) / 100)


@given(first=cents, second=cents, stop=cents, costs=st.integers(0, 500).map(lambda n: Decimal(n) / 1000))
def test_a_stop_only_rises_and_is_never_at_or_above_the_market(
    first: Decimal, second: Decimal, stop: Decimal, costs: Decimal
) -> None:
    moved = trailing_stop(a_position(stop=stop), two_quotes(first, second), RULES, costs)

    if moved is not None:
        assert stop < moved < min(first, second)
        assert moved >= 50 + costs
        assert min(first, second) >= 53
        assert moved % dec("0.01") == 0


@pytest.mark.parametrize(("close_hour", "flat_from"), [(20, "19:45"), (17, "16:45")])
def test_e40_flattening_begins_before_that_sessions_own_close(close_hour: int, flat_from: str) -> None:
    closes_at = datetime(2025, 7, 3, close_hour, tzinfo=UTC)
    first = closes_at - timedelta(minutes=15)

    assert f"{first:%H:%M}" == flat_from
    assert is_flatten_time(first, closes_at, timedelta(minutes=15))
    assert not is_flatten_time(first - timedelta(microseconds=1), closes_at, timedelta(minutes=15))
    with pytest.raises(NaiveDatetimeError):
        is_flatten_time(first.replace(tzinfo=None), closes_at, timedelta(minutes=15))


def test_exit_reasons_tell_a_trailed_stop_from_the_initial_one() -> None:
    assert exit_reason_for(Leg.STOP, dec(48), dec(48)) is ExitReason.STOP
    assert exit_reason_for(Leg.STOP, dec(50), dec(48)) is ExitReason.TRAILING
    assert exit_reason_for(Leg.TARGET, None, dec(48)) is ExitReason.TARGET
    assert exit_reason_for(Leg.EXIT, None, dec(48)) is ExitReason.TIME
    with pytest.raises(TradingError):
        exit_reason_for(Leg.ENTRY, None, None)


def test_steps_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be below lock_at_r"):
        ExitRules(break_even_at_r=Decimal(2))
    with pytest.raises(ValidationError, match="lock_r"):
        ExitRules(lock_r=Decimal(2))


SWING = ExitRules(hold="swing")


@pytest.mark.parametrize(
    ("rules", "held", "is_flatten", "expected"),
    [
        (RULES, Held(1, 3), True, ExitReason.TIME),
        (RULES, Held(1, 30), False, None),
        (SWING, Held(1, 3), True, None),
        (SWING, Held(5, 3), False, None),
        (SWING, Held(5, 3), True, ExitReason.MAX_HOLD),
        (SWING, Held(6, 3), False, ExitReason.MAX_HOLD),
        (SWING, Held(2, 15), False, None),
        (SWING, Held(2, 16), False, ExitReason.MAX_HOLD),
        (ExitRules(hold="swing", max_hold_sessions=0, stalled_bars=0), Held(99, 999), True, None),
    ],
)
def test_time_ends_an_intraday_position_daily_and_a_swing_by_its_own_limits(
    rules: ExitRules, held: Held, is_flatten: bool, expected: ExitReason | None
) -> None:
    assert hold_exit(a_position(), held, rules, is_flatten=is_flatten) is expected


def test_a_swing_that_has_earned_one_r_is_not_stalled() -> None:
    assert hold_exit(a_position(high_mark=dec("52.00")), Held(2, 99), SWING, is_flatten=False) is None
    stalled = hold_exit(a_position(high_mark=dec("51.99")), Held(2, 99), SWING, is_flatten=False)
    assert stalled is ExitReason.MAX_HOLD


@pytest.mark.parametrize(
    ("k", "histogram", "lost"),
    [
        ((85, 79), (3, 2, 1), True),
        ((85, 81), (3, 2, 1), False),
        ((80, 70), (3, 2, 1), False),
        ((85, 80), (3, 2, 1), True),
        ((85, 79), (3, 2, 2), False),
        ((85, 79), (1, 2, 1), False),
        ((float("nan"), 79), (3, 2, 1), False),
        ((85, 79), (3, float("nan"), 1), False),
    ],
)
def test_momentum_is_lost_when_k_leaves_overbought_and_the_histogram_falls_twice(
    k: tuple[float, float], histogram: tuple[float, float, float], lost: bool
) -> None:
    assert momentum_is_lost(k, histogram, 80.0) is lost


def test_a_close_falls_below_its_middle_band_once() -> None:
    assert fell_below_mid((50.0, 49.0), (50.0, 49.5))
    assert not fell_below_mid((49.0, 48.0), (49.5, 49.0))
    assert not fell_below_mid((50.0, float("nan")), (49.0, 49.0))


PARTIAL = ExitRules(partial_profit=True)


@pytest.mark.parametrize(("held", "sold"), [(300, 100), (100, 33), (2, 1), (1, 0)])
def test_a_third_is_sold_at_two_r_and_at_least_a_share_stays(held: int, sold: int) -> None:
    assert partial_quantity(a_position(quantity=held), two_quotes(54, 54), PARTIAL) == sold


def test_no_part_is_sold_on_one_bad_tick_or_when_it_is_off() -> None:
    assert partial_quantity(a_position(), two_quotes(54, "53.99"), PARTIAL) == 0
    assert partial_quantity(a_position(), two_quotes(54, 54), RULES) == 0


def test_a_part_is_not_sold_before_the_rest_is_kept_at_break_even() -> None:
    with pytest.raises(ValidationError, match="must not be below break_even_at_r"):
        ExitRules(partial_profit_at_r=Decimal(1))
