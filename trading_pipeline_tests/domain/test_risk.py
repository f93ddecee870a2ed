"""Risk decisions: every reason with its numbers, and sizes that fill their limits without breaking one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.domain.risk import CHECKS, Code, Finding, RiskBook, RiskLimits, Verdict, decide, open_risk_of
from trading_pipeline.domain.risk_book import RiskDecision
from trading_pipeline_tests.builders import AT, SESSION, a_book, a_plan, a_setup, an_exposure, dec

LIMITS = RiskLimits()


def decided(
    plan: dict[str, Any] | None = None, *, grade: str = "A+", limits: RiskLimits = LIMITS, **book: Any
) -> RiskDecision:
    return decide(a_plan(**(plan or {})), a_setup(grade=grade), a_book(**book), limits)


def codes(decision: RiskDecision, verdict: Verdict = Verdict.DENIAL) -> set[Code]:
    return {finding.code for finding in decision.findings if finding.verdict is verdict}


def the(decision: RiskDecision, code: Code) -> Finding:
    return next(finding for finding in decision.findings if finding.code is code)


def test_a_sound_plan_in_an_empty_book_is_approved_as_it_is() -> None:
    decision = decided()

    assert (decision.approved, decision.quantity, decision.findings) == (True, dec(100), ())
    assert (decision.reserved_risk_usd, decision.bound_by) == (dec(200), "max_trade_risk_fraction")


DENIALS: list[tuple[Code, dict[str, Any], dict[str, Any]]] = [
    (Code.STOP_NOT_BELOW_ENTRY, {"stop": "50.00"}, {}),
    (Code.TARGET_NOT_ABOVE_ENTRY, {"target": "50.00"}, {}),
    (Code.REWARD_RISK_BELOW_MINIMUM, {"target": "52.99"}, {}),
    (Code.TRADING_WINDOW, {}, {"entries_close_at": AT - timedelta(seconds=1)}),
    (Code.TRADING_WINDOW, {}, {"entries_open_at": AT + timedelta(seconds=1)}),
    (Code.WATCHLIST_AGE, {}, {"snapshot_as_of": AT - timedelta(minutes=20, seconds=1)}),
    (Code.WATCHLIST_AGE, {}, {"snapshot_as_of": AT + timedelta(seconds=1)}),
    (Code.WATCHLIST_AGE, {"session": SESSION + timedelta(days=1)}, {}),
    (Code.REGIME_MULTIPLIER_ZERO, {}, {"regime_multiplier": dec(0)}),
    (Code.STALE_QUOTE, {}, {"quote": None}),
    (Code.STALE_QUOTE, {}, {"quoted_at": AT - timedelta(seconds=31)}),
    (Code.PRICE_COLLAR, {}, {"quote": dec("50.51")}),
    (Code.PRICE_COLLAR, {"stop": "49.90"}, {"quote": dec("49.90")}),
    (Code.POSITION_COUNT, {}, {"regime_positions": 0}),
    (Code.DUPLICATE_INTENT, {}, {"decided_setups": frozenset({"setup-1"})}),
    (Code.ORDERS_PER_DAY, {}, {"orders_today": 100}),
    (Code.ORDERS_PER_SYMBOL, {}, {"orders_today_by_symbol": {"XYZ": 10}}),
    (Code.ORDERS_PER_EXECUTION, {}, {"orders_this_execution": 10}),
    (Code.REPEATED_EXECUTION, {}, {"entries_today_by_symbol": {"XYZ": 3}}),
    (Code.DAILY_LOSS, {}, {"equity_usd": dec(98_500)}),
    (Code.BUYING_POWER_RESERVE, {}, {"buying_power_usd": dec(20_000)}),
]


@pytest.mark.parametrize(("code", "plan", "book"), DENIALS)
def test_each_limit_denies_under_its_own_name(code: Code, plan: dict[str, Any], book: dict[str, Any]) -> None:
    decision = decided(plan, **book)

    assert code in codes(decision)
    assert (decision.approved, decision.quantity, decision.reserved_risk_usd) == (False, dec(0), dec(0))
    assert the(decision, code).message


FREE = an_exposure(quantity=755, price=100, stop=100)  # 75,500 USD that risk nothing
REDUCTIONS: list[tuple[Code, dict[str, Any], dict[str, Any], int]] = [
    (Code.TRADE_RISK, {"quantity": 600}, {}, 500),
    (Code.TOTAL_OPEN_RISK, {}, {"exposures": (an_exposure(quantity=2820),)}, 90),
    (Code.POSITION_RISK, {"quantity": 3000}, {}, 2500),
    (Code.POSITION_NOTIONAL, {"quantity": 201}, {}, 200),
    (Code.ORDER_NOTIONAL, {"quantity": 201}, {"equity_usd": dec(500_000), "buying_power_usd": dec(500_000)}, 200),
    (Code.TOTAL_EXPOSURE, {}, {"exposures": (FREE,)}, 90),
    (Code.BUYING_POWER_RESERVE, {}, {"buying_power_usd": dec(24_999)}, 99),
]


@pytest.mark.parametrize(("code", "plan", "book", "left"), REDUCTIONS)
def test_each_limit_on_size_leaves_the_largest_that_fits(
    code: Code, plan: dict[str, Any], book: dict[str, Any], left: int
) -> None:
    decision = decided(plan, **book)

    finding = the(decision, code)
    assert (finding.verdict, finding.quantity) == (Verdict.REDUCTION, dec(left))
    assert decision.approved
    assert decision.quantity <= left


def test_a_small_size_is_told_beside_other_denials() -> None:
    decision = decided({"quantity": 1}, grade="A", regime_score=35.0)

    assert codes(decision) == {Code.GRADE_BELOW_REGIME, Code.BELOW_MINIMUM_SIZE}
    assert the(decision, Code.BELOW_MINIMUM_SIZE).limit_name == "min_notional_usd"


JUST_INSIDE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"target": "53.00"}, {}),
    ({}, {"entries_close_at": AT}),
    ({}, {"entries_open_at": AT}),
    ({}, {"snapshot_as_of": AT - timedelta(minutes=20)}),
    ({}, {"quoted_at": AT - timedelta(seconds=30)}),
    ({}, {"quoted_at": AT - timedelta(seconds=330), "base_bar_minutes": 5}),
    ({}, {"quote": dec("49.51")}),
    ({}, {"regime_positions": 1}),
    ({}, {"orders_today": 99, "orders_today_by_symbol": {"XYZ": 9, "ABC": 90}, "orders_this_execution": 9}),
    ({}, {"entries_today_by_symbol": {"XYZ": 2}}),
    ({}, {"equity_usd": dec("98_500.01")}),
    ({}, {"equity_usd": dec(90_000), "cash_flows_today_usd": dec(-10_000)}),
    ({}, {"buying_power_usd": dec(25_000)}),
]


@pytest.mark.parametrize(("plan", "book"), JUST_INSIDE)
def test_what_just_keeps_a_limit_passes(plan: dict[str, Any], book: dict[str, Any]) -> None:
    assert decided(plan, **book).approved


def test_every_check_speaks_although_the_first_already_denied() -> None:
    decision = decided({"target": "51.00"}, grade="A", regime_score=10.0, regime_positions=0, quote=None)

    assert codes(decision) >= {
        Code.REWARD_RISK_BELOW_MINIMUM,
        Code.HOSTILE_REGIME,
        Code.GRADE_BELOW_REGIME,
        Code.POSITION_COUNT,
        Code.STALE_QUOTE,
    }


def test_e08_the_open_risk_of_a_trailed_winner_is_none_not_negative() -> None:
    assert open_risk_of(an_exposure(average_entry=20, stop=25)) == 0
    assert open_risk_of(replace(an_exposure(), stop=None)) == 2000


def test_e09_no_room_is_told_as_that_limit_and_not_as_too_small() -> None:
    over = an_exposure(quantity=4000, price="20.00")  # 4,000 USD of open risk against 3,000

    decision = decided(exposures=(over,))

    finding = the(decision, Code.TOTAL_OPEN_RISK)
    assert finding.verdict is Verdict.DENIAL
    assert (finding.measured, finding.limit, finding.quantity) == (dec(4200), dec(3000), dec(0))
    assert Code.BELOW_MINIMUM_SIZE not in codes(decision)


def test_e10_the_minimum_size_is_measured_after_all_reductions() -> None:
    few = RiskLimits(min_shares=100)

    decision = decided({"quantity": 150}, limits=few, exposures=(an_exposure(quantity=2820),))  # 180 USD: 90 shares

    assert the(decision, Code.TOTAL_OPEN_RISK).quantity == 90
    assert codes(decision) == {Code.BELOW_MINIMUM_SIZE}
    assert decision.bound_by == "min_shares"


def test_e10_a_generous_multiplier_does_not_lift_the_risk_per_trade() -> None:
    decision = decided(
        {"entry": "10.00", "stop": "8.00", "target": "16.00", "quantity": 750, "multiplier": "1.5"}, quote=dec(10)
    )

    assert (decision.quantity, decision.reserved_risk_usd, decision.bound_by) == (
        dec(500),
        dec(1000),
        "max_trade_risk_fraction",
    )


def test_e11_a_hostile_regime_blocks_or_by_choice_only_warns() -> None:
    scaled = decided(regime_score=29.9, limits=RiskLimits(hostile_regime="scale"))

    assert Code.HOSTILE_REGIME in codes(decided(regime_score=29.9))
    assert Code.HOSTILE_REGIME not in codes(decided(regime_score=30.0))
    assert scaled.approved
    assert Code.HOSTILE_REGIME in codes(scaled, Verdict.WARNING)


def test_below_forty_only_the_best_grade_trades() -> None:
    assert Code.GRADE_BELOW_REGIME in codes(decided(grade="A", regime_score=39.9))
    assert Code.GRADE_BELOW_REGIME in codes(decided(grade="A", only_a_plus=True))
    assert decided(grade="A+", regime_score=39.9).approved
    assert decided(grade="A", regime_score=40.0).approved


BAD = [dec("NaN"), dec("Infinity"), dec("-Infinity"), dec(0), dec(-1)]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("field", ["entry", "stop", "target", "quantity", "risk_per_share"])
def test_e12_a_plan_with_an_unusable_number_is_denied_by_name(field: str, bad: Decimal) -> None:
    broken: dict[str, Any] = {field: bad}

    decision = decide(replace(a_plan(), **broken), a_setup(), a_book(), LIMITS)

    assert not decision.approved
    assert f"plan.{field} = " in str(the(decision, Code.NON_FINITE_INPUT).measured)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("field", ["equity_usd", "prior_close_equity_usd", "quote"])
def test_e12_a_book_with_an_unusable_number_is_denied_by_name(field: str, bad: Decimal) -> None:
    broken: dict[str, Any] = {field: bad}

    decision = decided(**broken)

    assert f"book.{field} = " in str(the(decision, Code.NON_FINITE_INPUT).measured)


@pytest.mark.parametrize("field", ["cash_flows_today_usd", "buying_power_usd", "regime_multiplier"])
def test_e12_nan_in_the_rest_of_the_book_is_denied_too(field: str) -> None:
    broken: dict[str, Any] = {field: dec("NaN")}

    assert Code.NON_FINITE_INPUT in codes(decided(**broken))
    assert Code.NON_FINITE_INPUT in codes(decided(regime_score=float("nan")))
    assert Code.NON_FINITE_INPUT in codes(decided(exposures=(replace(an_exposure(), price=dec("NaN")),)))


def test_e14_working_entries_count_as_positions_and_reserve_their_risk() -> None:
    working = tuple(
        replace(an_exposure(f"W{n}", quantity=100), is_working=True, reserved_risk_usd=dec(700)) for n in range(4)
    )

    reserved = decided(exposures=working)
    full = decided(exposures=(*working, an_exposure("W4", quantity=1)))

    assert (reserved.quantity, reserved.bound_by) == (dec(100), "max_trade_risk_fraction")
    assert the(full, Code.POSITION_COUNT).measured == 6
    assert decided(exposures=working[:4], limits=RiskLimits(max_open_risk_fraction=dec("0.029"))).quantity == 50


def test_e15_a_symbol_with_a_position_or_a_working_entry_is_busy() -> None:
    for is_working in (False, True):
        held = replace(an_exposure("XYZ", 1, "50.00"), is_working=is_working)
        assert Code.SYMBOL_BUSY in codes(decided(exposures=(held,)))


def test_e16_a_tight_stop_cannot_buy_more_than_the_notional_limits() -> None:
    decision = decided({"stop": "49.75", "target": "51.00", "quantity": 4000})

    assert decision.quantity * 50 <= 10_000
    assert (decision.quantity, decision.bound_by) == (dec(200), "max_position_notional_fraction")
    assert Code.ORDER_NOTIONAL in codes(decision, Verdict.REDUCTION)


def test_e17_reward_risk_is_measured_on_the_plans_prices_not_on_the_watchlists_number() -> None:
    plan = replace(a_plan(target="51.00"), reward_risk=dec(9))

    decision = decide(plan, a_setup(reward_risk=9.0), a_book(), LIMITS)

    assert the(decision, Code.REWARD_RISK_BELOW_MINIMUM).measured == dec("0.5")


def test_e18_an_entry_from_an_old_watchlist_or_far_from_the_market_is_denied() -> None:
    decision = decided(snapshot_as_of=AT - timedelta(hours=1), quote=dec(52))

    assert codes(decision) >= {Code.WATCHLIST_AGE, Code.PRICE_COLLAR}


def test_the_smaller_of_configured_and_regime_positions_counts_and_is_named() -> None:
    three = tuple(an_exposure(f"H{n}", 1) for n in range(3))

    assert the(decided(exposures=three, regime_positions=3), Code.POSITION_COUNT).limit_name == "regime_positions"
    two = RiskLimits(max_open_positions=2)
    assert the(decided(exposures=three, limits=two), Code.POSITION_COUNT).limit_name == "max_open_positions"


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"max_trade_risk_fraction \(0.01\) must not exceed"):
        RiskLimits(max_open_risk_fraction=dec("0.005"))
    with pytest.raises(ValidationError, match=r"less than or equal to 0\.01"):
        RiskLimits(max_trade_risk_fraction=dec("0.02"))
    with pytest.raises(ValidationError, match="Extra inputs"):
        RiskLimits(max_trade_risk=dec("0.01"))  # type: ignore[call-arg]


cents = st.integers(100, 50_000).map(lambda n: Decimal(n) / 100)
fractions = st.integers(1, 1000).map(lambda n: Decimal(n) / 1000)


@st.composite
def plans_and_books(draw: st.DrawFn) -> tuple[dict[str, Any], RiskBook]:
    """A plan of any size with reward:risk 2, and a book with a few holdings."""
    entry = draw(cents)
    risk = (entry * draw(st.integers(1, 40)) / 100).quantize(Decimal("0.01")) or Decimal("0.01")
    plan = {"entry": entry, "stop": entry - risk, "target": entry + 2 * risk, "quantity": draw(st.integers(1, 5000))}
    held = st.builds(an_exposure, st.sampled_from(["H1", "H2", "H3"]), st.integers(1, 400), st.integers(2, 300))
    book = a_book(
        equity_usd=dec(100_000),
        buying_power_usd=draw(st.integers(0, 100_000).map(Decimal)),
        exposures=tuple(draw(st.lists(held, max_size=3))),
        quote=entry,
    )
    return plan, book


def _measures(quantity: Decimal, plan: dict[str, Any], book: RiskBook, limits: RiskLimits) -> dict[str, bool]:
    """By limit name: does this size keep it? Worked out here independently of the checks."""
    risk, value = quantity * (plan["entry"] - plan["stop"]), quantity * plan["entry"]
    equity = book.equity_usd
    open_risk = sum(max(Decimal(0), e.average_entry - (e.stop or 0)) * e.quantity for e in book.exposures)
    exposure = sum(e.price * e.quantity for e in book.exposures)
    return {
        "max_trade_risk_fraction": risk <= equity * limits.max_trade_risk_fraction,
        "max_open_risk_fraction": open_risk + risk <= equity * limits.max_open_risk_fraction,
        "max_position_risk_fraction": risk <= equity * limits.max_position_risk_fraction,
        "max_position_notional_fraction": value <= equity * limits.max_position_notional_fraction,
        "max_order_notional_usd": value <= limits.max_order_notional_usd,
        "max_total_exposure_fraction": exposure + value <= equity * limits.max_total_exposure_fraction,
        "buying_power_reserve_fraction": book.buying_power_usd - value >= equity * limits.buying_power_reserve_fraction,
    }


@given(case=plans_and_books())
def test_an_approved_size_keeps_every_limit_and_one_share_more_breaks_the_one_that_bound(
    case: tuple[dict[str, Any], RiskBook],
) -> None:
    plan, book = case
    decision = decide(a_plan(**plan), a_setup(), book, LIMITS)

    assert decision.quantity <= decision.requested_quantity
    if decision.approved:
        assert all(_measures(decision.quantity, plan, book, LIMITS).values())
        assert decision.reserved_risk_usd == decision.quantity * (plan["entry"] - plan["stop"])
    if decision.approved and decision.quantity < decision.requested_quantity:
        assert not _measures(decision.quantity + 1, plan, book, LIMITS)[decision.bound_by]
    for finding in decision.findings:
        if finding.verdict is Verdict.DENIAL and finding.quantity == 0:
            assert not _measures(Decimal(1), plan, book, LIMITS)[finding.limit_name]


@given(case=plans_and_books(), tight=fractions, wide=fractions)
def test_a_wider_limit_never_gives_a_smaller_size(
    case: tuple[dict[str, Any], RiskBook], tight: Decimal, wide: Decimal
) -> None:
    plan, book = case
    tight, wide = sorted((tight, wide))
    widest = {
        "max_total_exposure_fraction": dec(1),
        "max_order_notional_usd": dec(20_000),
        "max_trade_risk_fraction": dec("0.01"),
        "buying_power_reserve_fraction": dec(-1),
    }
    for name, full in widest.items():
        low, high = (LIMITS.model_copy(update={name: full * part if full > 0 else 1 - part}) for part in (tight, wide))
        small, large = (decide(a_plan(**plan), a_setup(), book, limits).quantity for limits in (low, high))
        assert small <= large, name


numbers = st.decimals(allow_nan=True, allow_infinity=True)


@given(entry=numbers, stop=numbers, target=numbers, quantity=numbers, equity=numbers, quote=numbers | st.none())
def test_any_numbers_at_all_get_a_decision_that_orders_nothing_absurd(
    entry: Decimal, stop: Decimal, target: Decimal, quantity: Decimal, equity: Decimal, quote: Decimal | None
) -> None:
    plan = replace(a_plan(), entry=entry, stop=stop, target=target, quantity=quantity)

    decision = decide(plan, a_setup(), a_book(equity_usd=equity, quote=quote), LIMITS)

    assert decision.quantity == int(decision.quantity) >= 0
    assert decision.quantity * plan.entry <= LIMITS.max_order_notional_usd if decision.approved else True


def test_each_check_is_a_function_of_its_arguments_alone() -> None:
    plan, setup, book = a_plan(quantity=5000), a_setup(), a_book(exposures=(an_exposure(),))

    assert [check(plan, setup, book, LIMITS) for check in CHECKS] == [
        check(plan, setup, book, LIMITS) for check in CHECKS
    ]
    assert decide(plan, setup, book, LIMITS) == decide(plan, setup, book, LIMITS)
