"""Trade plans: prices on the tick, sizes within caps, refusals with numbers."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.money import tick_size
from trading_pipeline.domain.planning import PlanRefusal, PlanRules, entry_reason, plan_target, plan_trade
from trading_pipeline.domain.risk import Code, RiskLimits
from trading_pipeline.domain.setups import Setup, TradePlan
from trading_pipeline_tests.builders import AT, a_setup, dec

LIMITS, RULES = RiskLimits(), PlanRules()


def outcome(setup: Setup, equity: object = 100_000, multiplier: object = 1, **changes: Any) -> TradePlan | PlanRefusal:
    return plan_trade(
        setup,
        equity_usd=dec(equity),
        regime_multiplier=dec(multiplier),
        limits=changes.pop("limits", LIMITS),
        rules=changes.pop("rules", RULES),
        account=changes.pop("account", "A"),
        strategy="sabr20",
        planned_at=AT,
    )


def planned(setup: Setup, **changes: Any) -> TradePlan:
    plan = outcome(setup, **changes)
    assert isinstance(plan, TradePlan), plan
    return plan


def refused(setup: Setup, **changes: Any) -> PlanRefusal:
    refusal = outcome(setup, **changes)
    assert isinstance(refusal, PlanRefusal), refusal
    return refusal


def test_the_default_setup_becomes_the_plan_worked_out_by_hand() -> None:
    # stop = min(49 × 0.995, 48, 50 − 0.8); risk 1000 / 2 = 500, position 10000 / 50 = 200, order 10000 / 50 = 200
    plan = planned(a_setup())

    assert (plan.entry, plan.stop, plan.target) == (dec(50), dec(48), dec(56))
    assert (plan.risk_per_share, plan.reward_risk, plan.quantity) == (dec(2), dec(3), dec(200))
    assert plan.size_bound_by == "max_position_notional_fraction"


def test_the_stop_is_widened_to_a_part_of_the_true_range() -> None:
    plan = planned(a_setup(lowest_low=49.99, lower_band=49.95, atr=2.0, atr_mean=2.0))

    assert plan.stop == dec("48.40")


def test_e19_every_price_lies_on_the_tick_and_is_rounded_down() -> None:
    plan = planned(a_setup(entry=50.019, lower_band=48.0199, target=56.0199))

    assert (plan.entry, plan.stop, plan.target) == (dec("50.01"), dec("48.01"), dec("56.01"))


def test_e17_reward_risk_is_recomputed_from_the_final_prices() -> None:
    plan = planned(a_setup(reward_risk=9.9))

    assert plan.target is not None
    assert plan.reward_risk == (plan.target - plan.entry) / (plan.entry - plan.stop) == 3


def test_size_is_cut_in_volatile_bars_and_by_the_regime_even_when_a_cap_binds() -> None:
    volatile = planned(a_setup(atr=1.6, atr_mean=1.0))
    weak = planned(a_setup(), multiplier="0.5")

    assert (volatile.multiplier, volatile.quantity) == (dec("0.75"), dec(150))
    assert (weak.multiplier, weak.quantity) == (dec("0.5"), dec(100))


def test_e10_a_generous_regime_never_lifts_a_cap() -> None:
    assert planned(a_setup(), multiplier="1.5").quantity == planned(a_setup()).quantity


def test_e16_a_tight_stop_is_held_by_the_notional_cap() -> None:
    plan = planned(a_setup(lowest_low=49.9, lower_band=49.75, atr=0.1, atr_mean=0.1))

    assert plan.quantity * plan.entry <= 10_000


@pytest.mark.parametrize("field", ["entry", "target", "lowest_low", "lower_band", "atr", "atr_mean"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_e12_a_level_that_is_no_price_is_refused_by_name(field: str, bad: float) -> None:
    refusal = refused(a_setup(**{field: bad}))

    assert refusal.code is Code.NON_FINITE_INPUT
    assert field in refusal.message


@pytest.mark.parametrize("equity", ["0", "-5", "NaN"])
def test_e12_no_equity_is_refused_and_divides_nothing(equity: str) -> None:
    assert refused(a_setup(), equity=equity).code is Code.NON_FINITE_INPUT


def test_inverted_levels_and_a_zero_multiplier_are_refused_with_their_numbers() -> None:
    low_target = refused(a_setup(target=49.0))
    assert (low_target.code, low_target.measured, low_target.limit) == (Code.TARGET_NOT_ABOVE_ENTRY, dec(49), dec(50))
    no_stop = refused(a_setup(lowest_low=60.0, lower_band=60.0), rules=PlanRules(min_stop_atr=0.0))
    assert no_stop.code is Code.STOP_NOT_BELOW_ENTRY
    assert refused(a_setup(), multiplier=0).code is Code.REGIME_MULTIPLIER_ZERO
    assert refused(a_setup(), equity=100).code is Code.BELOW_MINIMUM_SIZE


def test_e37_the_entry_reason_tells_the_setup() -> None:
    reason = entry_reason(a_setup(grade="A", score=66.25, state="BottomSoon", phase="Mid", rank=4))

    assert reason == "A setup: score 66.25, BottomSoon, Mid phase, rank 4"


def test_a_plan_id_is_a_function_of_account_strategy_snapshot_and_symbol() -> None:
    one = planned(a_setup())
    assert planned(a_setup(score=70.0), equity=50_000).plan_id == one.plan_id
    others = [planned(a_setup(symbol="ABC")), planned(a_setup(snapshot_id="s2")), planned(a_setup(), account="B")]
    assert len({one.plan_id, *(other.plan_id for other in others)}) == 4


any_level = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0.0001, 500)


@given(
    levels=st.tuples(*[any_level] * 6),
    equity=st.decimals(allow_nan=True) | st.decimals(-10, 10**7),
    m=st.decimals(0, 2) | st.decimals(allow_nan=True),
)
def test_any_setup_gives_a_plan_that_keeps_its_laws_or_a_refusal(
    levels: tuple[float, ...], equity: Decimal, m: Decimal
) -> None:
    names = ("entry", "target", "lowest_low", "lower_band", "atr", "atr_mean")
    plan = outcome(a_setup(**dict(zip(names, levels, strict=True))), equity=equity, multiplier=m)
    if isinstance(plan, PlanRefusal):
        assert plan.message
        return
    assert plan.target is not None
    assert plan.stop < plan.entry < plan.target
    assert all(price % tick_size(price) == 0 for price in (plan.entry, plan.stop, plan.target))
    assert plan.quantity >= 1
    assert plan.quantity * plan.risk_per_share <= equity * LIMITS.max_trade_risk_fraction * plan.multiplier
    assert plan.quantity * plan.entry <= min(equity / 10, LIMITS.max_order_notional_usd) * min(
        Decimal(1), plan.multiplier
    )


def test_the_purchase_of_a_target_signal_has_a_stop_two_atr_below_and_no_target() -> None:
    plan = a_purchase(price="50.129", change=160, stop_distance="5.00")

    assert isinstance(plan, TradePlan)
    assert (plan.entry, plan.stop, plan.target) == (dec("50.12"), dec("45.12"), None)
    assert (plan.quantity, plan.size_bound_by, plan.risk_per_share) == (dec(160), "target", dec("5.00"))


def test_one_order_of_a_purchase_is_capped_and_the_rest_waits() -> None:
    plan = a_purchase(price="50.00", change=900, stop_distance="5.00")

    assert isinstance(plan, TradePlan)
    assert (plan.quantity, plan.size_bound_by) == (dec(200), "max_order_notional_usd")


@pytest.mark.parametrize(
    "bad",
    [
        {"price": "NaN"}, {"price": 0}, {"price": "Infinity"}, {"stop_distance": "NaN"}, {"stop_distance": 0},
        {"stop_distance": "50.00"}, {"change": 0}, {"change": -5}, {"change": "NaN"},
        {"price": "20000"},
    ],
)  # fmt: skip
def test_a_purchase_that_makes_no_sense_is_refused_with_its_reason(bad: dict[str, object]) -> None:
    refusal = a_purchase(**{"price": "50.00", "change": 10, "stop_distance": "5.00", **bad})

    assert isinstance(refusal, PlanRefusal)
    assert refusal.message


def test_a_setup_below_the_least_score_is_not_entered() -> None:
    refusal = refused(a_setup(score=59.99))

    assert (refusal.code, refusal.limit) == (Code.SCORE_BELOW_MINIMUM, dec(60))
    assert planned(a_setup(score=60.0)).quantity > 0


def a_purchase(*, price: object, change: object, stop_distance: object) -> TradePlan | PlanRefusal:
    return plan_target(
        a_setup(target=None, score=40.0), price=dec(price), change=dec(change), stop_distance=dec(stop_distance),
        limits=RiskLimits(), rules=PlanRules(), account="A", strategy="signal_file", planned_at=AT,
    )  # fmt: skip
