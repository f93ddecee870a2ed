"""Conditions and trips of the breaker: laws of the fold, from both sides."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.domain.breaker import Levels, money_causes
from trading_pipeline.domain.breaker_rules import CONDITIONS, BreakerRules, LatencyRule, Trigger
from trading_pipeline.domain.conditions import (
    Conditions,
    Measurement,
    after,
    follow,
    percentile95,
    portfolio_correlation,
)
from trading_pipeline.domain.control import TradingState, strictest
from trading_pipeline.domain.errors import InputError, NaiveDatetimeError
from trading_pipeline.domain.risk_limits import RiskLimits

RULES = BreakerRules()
START = datetime(2025, 6, 10, 14, tzinfo=UTC)
SKEW = Trigger.CLOCK_SKEW

values = st.floats(0, 10) | st.just(math.nan) | st.just(math.inf)
seconds = st.integers(0, 300)
measurements = st.lists(
    st.builds(
        lambda trigger, second, value: Measurement(trigger, START + timedelta(seconds=second), value),
        st.sampled_from(CONDITIONS), seconds, values,
    ), max_size=60,
)  # fmt: skip


def skews(*found: tuple[int, float]) -> list[Measurement]:
    """(second, seconds of skew)."""
    return [Measurement(SKEW, START + timedelta(seconds=second), value) for second, value in found]


def stands(found: Sequence[Measurement], rules: BreakerRules = RULES) -> bool:
    return SKEW in follow(found, rules).standing


@given(found=measurements, seed=st.integers())
def test_the_same_measurements_give_the_same_state_in_any_order(found: list[Measurement], seed: int) -> None:
    shuffled = found.copy()
    random.Random(seed).shuffle(shuffled)

    assert follow(shuffled, RULES) == follow(found, RULES)


@given(found=measurements, cut=st.integers(0, 300))
def test_folding_in_two_parts_is_folding_at_once(found: list[Measurement], cut: int) -> None:
    border = START + timedelta(seconds=cut)
    first, second = ([m for m in found if m.at <= border], [m for m in found if m.at > border])

    assert follow(second, RULES, follow(first, RULES)) == follow(found, RULES)


@given(inside=st.lists(st.tuples(st.integers(1, 3000), st.floats(1.001, 2.0)), max_size=40))
def test_inside_the_band_nothing_begins_and_nothing_ends(inside: list[tuple[int, float]]) -> None:
    assert not stands(skews((0, 0.5), *inside))
    assert stands(skews((0, 2.5), *inside))


@given(found=st.lists(st.tuples(st.integers(1, 59), st.floats(0, 1)), max_size=40))
def test_no_condition_ends_before_a_clean_minute(found: list[tuple[int, float]]) -> None:
    assert stands(skews((0, 2.5), *found))


def test_a_condition_ends_after_a_clean_minute_and_a_spike_in_between_begins_the_minute_anew() -> None:
    assert stands(skews((0, 2.5), (10, 0.5), (69, 0.5)))
    assert not stands(skews((0, 2.5), (10, 0.5), (70, 0.5)))
    assert stands(skews((0, 2.5), (10, 0.5), (40, 1.5), (70, 0.5), (129, 0.5)))
    assert not stands(skews((0, 2.5), (10, 0.5), (40, 1.5), (70, 0.5), (130, 0.5)))


def test_the_threshold_itself_is_allowed_and_the_value_that_began_it_is_kept() -> None:
    assert not stands(skews((0, 2.0)))
    assert follow(skews((0, 2.1), (5, 9.0)), RULES).standing[SKEW].value == 2.1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_as_bad_as_can_be(value: float) -> None:
    assert stands(skews((0, value)))
    assert stands(skews((0, 2.5), *((second, value) for second in range(10, 100, 10))))


def test_what_is_not_measured_neither_begins_nor_ends() -> None:
    standing = follow(skews((0, 2.5)), RULES)

    later = after(standing, START + timedelta(hours=1), (), RULES)

    assert later.standing == standing.standing


def test_a_condition_that_is_switched_off_never_stands() -> None:
    off = RULES.model_copy(update={"clock_skew": RULES.clock_skew.model_copy(update={"enabled": False})})
    assert not stands(skews((0, 100)), off)
    assert SKEW not in follow(skews((1, 100)), off, follow(skews((0, 100)), RULES)).standing


def answers(*found: float, first: int = 0) -> list[Measurement]:
    """One answer a second."""
    return [Measurement(Trigger.LATENCY, START + timedelta(seconds=first + n), value) for n, value in enumerate(found)]


def test_x29_one_slow_answer_holds_nothing_back_and_a_slow_twentieth_does() -> None:
    assert Trigger.LATENCY not in follow(answers(*[0.1] * 19, 60.0), RULES).standing
    assert Trigger.LATENCY in follow(answers(*[0.1] * 18, 60.0, 60.0), RULES).standing


def test_answers_older_than_the_window_count_no_more_and_few_say_nothing() -> None:
    slow = answers(*[5.0] * 19)
    assert Trigger.LATENCY not in follow(slow, RULES).standing
    state = follow([*slow, *answers(5.0, first=130)], RULES)
    assert Trigger.LATENCY not in state.standing
    assert len(state.answers) == 9


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_the_percentile_is_a_value_with_at_least_95_percent_at_or_below_it(found: list[float]) -> None:
    value = percentile95(found)

    assert value in found
    assert sum(one <= value for one in found) >= 0.95 * len(found)
    assert sum(one < value for one in found) < 0.95 * len(found)


def test_a_measurement_of_the_past_or_without_a_zone_is_refused() -> None:
    state = follow(skews((10, 0)), RULES)
    with pytest.raises(InputError, match="the clock went backwards"):
        after(state, START, (), RULES)
    with pytest.raises(NaiveDatetimeError):
        after(Conditions(), START.replace(tzinfo=None), (), RULES)
    with pytest.raises(InputError, match="instant by instant"):
        after(Conditions(), START, skews((1, 0)), RULES)
    with pytest.raises(InputError, match="no percentile"):
        percentile95([])


@pytest.mark.parametrize("wrong", [{"threshold": 1, "release": 2}, {"threshold": math.nan}, {"release": -1}, {"x": 1}])
def test_rules_that_contradict_themselves_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LatencyRule.model_validate(wrong)


def test_the_portfolios_correlation_is_the_mean_of_known_pairs_weighted_by_value() -> None:
    values_usd = {"A": Decimal(100), "B": Decimal(100), "C": Decimal(200), "D": Decimal(0)}
    rho = {("A", "B"): 0.8, ("A", "C"): 0.2, ("B", "C"): math.nan, ("A", "D"): 1.0}

    assert portfolio_correlation(values_usd, rho) == pytest.approx((0.8 * 1 + 0.2 * 2) / 3)
    assert portfolio_correlation({"A": Decimal(1)}, rho) is None
    assert portfolio_correlation(values_usd, {}) is None


# trips

LIMITS = RiskLimits()
usd = st.decimals(1, 1_000_000, places=2)


def triggers(levels: Levels) -> list[str]:
    return [cause.trigger.value for cause in money_causes(levels, LIMITS, RULES)]


def levels(equity: str, *, peak: str = "100000", opening: str = "100000") -> Levels:
    return Levels(opening_usd=Decimal(opening), peak_usd=Decimal(peak), equity_usd=Decimal(equity))


@pytest.mark.parametrize(
    ("equity", "found"),
    [
        ("98500.01", []), ("98500.00", ["daily_loss_near"]), ("98000.01", ["daily_loss_near"]),
        ("98000.00", ["daily_loss"]), ("97000.01", ["daily_loss"]), ("97000.00", ["daily_loss", "drawdown"]),
    ],
)  # fmt: skip
def test_x10_three_quarters_of_the_daily_limit_leave_only_exits_and_the_whole_of_it_trips(
    equity: str, found: list[str]
) -> None:
    assert triggers(levels(equity)) == found


def test_x11_a_drawdown_is_from_the_sessions_peak_also_while_the_day_is_a_gain() -> None:
    assert triggers(levels("106700.01", peak="110000")) == []
    assert triggers(levels("106700.00", peak="110000")) == ["drawdown"]


@given(opening=usd, equity=usd, peak=usd)
def test_a_greater_loss_never_stops_less(opening: Decimal, equity: Decimal, peak: Decimal) -> None:
    here = Levels(opening_usd=opening, peak_usd=max(peak, opening), equity_usd=equity)
    worse = replace(here, equity_usd=equity - 1)

    def state(found: Levels) -> TradingState:
        return strictest(*(cause.state for cause in money_causes(found, LIMITS, RULES)))

    assert state(worse).severity >= state(here).severity


def test_every_trip_carries_what_was_measured_and_the_limit() -> None:
    near, far = (money_causes(levels(equity), LIMITS, RULES)[0] for equity in ("98400", "98000"))

    assert (near.measured, near.limit, near.state, near.flattens) == ("1600", "1500", TradingState.REDUCING, False)
    assert (far.measured, far.limit, far.state, far.flattens) == ("2000", "2000", TradingState.HALTED, True)
