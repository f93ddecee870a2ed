"""From strengths to targets: sizes counted by hand, limits that always hold, tables that are refused whole."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import NaiveDatetimeError
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.targets import (
    Move,
    RebalanceRules,
    Signal,
    SignalsError,
    Target,
    require_fresh,
    signal_set,
    targets,
)
from trading_pipeline_tests.builders import AT, dec

RULES, LIMITS = RebalanceRules(), RiskLimits()
EQUITY = dec(100_000)


def a_signal(strength: float = 0.4, **changes: Any) -> Signal:
    """XYZ at 50.00 with a daily ATR of 2.50: the stop is 5.00 away, and 2 % of equity are 2,000 USD."""
    values = {"symbol": "XYZ", "atr": "2.50", "price": "50.00", "held": 0, "committed": 0, **changes}
    numbers: dict[str, Any] = {k: None if v is None else dec(v) for k, v in values.items() if k != "symbol"}
    return Signal(symbol=str(values["symbol"]), strength=strength, **numbers)


def targets_of(*signals: Signal, other_usd: object = 0, **rules: Any) -> dict[str, Target]:
    found = targets(
        signals, equity_usd=EQUITY, other_usd=dec(other_usd), rules=RULES.model_copy(update=rules), limits=LIMITS
    )
    return {target.symbol: target for target in found}


def only(*signals: Signal, **changes: Any) -> Target:
    (found,) = targets_of(*signals, **changes).values()
    return found


@pytest.mark.parametrize(
    ("strength", "atr", "price", "shares", "bound_by"),
    [
        # strength × 2,000 USD / (2 × ATR), against 1,000 USD of risk and 10,000 USD of value
        (0.4, "2.50", "50.00", 160, "strength"),  # 800 / 5
        (0.1, "2.50", "50.00", 40, "strength"),  # 200 / 5, at the threshold
        (0.5, "2.50", "50.00", 200, "strength"),  # 1,000 / 5: also the limit per trade
        (1.0, "2.50", "50.00", 200, "max_trade_risk_fraction"),  # 2,000 / 5 = 400, the limit says 1,000 / 5
        (0.4, "0.50", "50.00", 200, "max_position_notional_fraction"),  # 800 / 1 = 800, 10,000 / 50 = 200
        (0.33, "1.70", "20.00", 194, "strength"),  # 660 / 3.4 = 194.1: never rounded up
        (0.2, "150.00", "900.00", 1, "strength"),  # 400 / 300 = 1.3
    ],
)
def test_a_size_is_strength_over_volatility_and_then_the_strictest_limit(
    strength: float, atr: str, price: str, shares: int, bound_by: str
) -> None:
    target = only(a_signal(strength, atr=atr, price=price))

    assert (target.target, target.bound_by, target.move) == (dec(shares), bound_by, Move.BUY)
    assert target.change == shares


def test_capital_scaling_doubles_targets_before_the_limits_cap_them() -> None:
    assert only(a_signal(0.2), capital_scaling=dec(2)).target == 160  # 0.2 × 2 × 2,000 / 5
    assert only(a_signal(0.4), capital_scaling=dec(2)).target == 200  # 320 wanted, 1 % of risk are 200


@pytest.mark.parametrize("strength", [0.0, 0.09, -0.09])
def test_below_the_threshold_nothing_is_bought_and_what_is_held_goes(strength: float) -> None:
    assert only(a_signal(strength)).move is Move.HOLD
    held = only(a_signal(strength, held=70))
    assert (held.move, held.change, held.target) == (Move.SELL, dec(-70), dec(0))


def test_e_negative_signal_of_what_is_not_owned_is_refused_with_its_reason() -> None:
    refused = only(a_signal(-0.6, symbol="MSFT"))

    assert (refused.move, refused.change) == (Move.REFUSED, dec(0))
    assert "not owned" in refused.reason


def test_a_negative_signal_closes_a_position_even_without_a_price() -> None:
    closed = only(a_signal(-0.6, held=30, price=None, atr=None))

    assert (closed.move, closed.change) == (Move.SELL, dec(-30))


def test_a_position_at_its_target_is_held() -> None:
    assert only(a_signal(0.4, held=160)).move is Move.HOLD


@pytest.mark.parametrize(
    ("held", "price", "move"),
    [
        (158, "50.00", Move.SKIPPED),  # 2 × 50 = 100 USD, 5 % of 7,900 = 395
        (153, "50.00", Move.SKIPPED),  # 350 against 382.50
        (152, "50.00", Move.BUY),  # 400 against 380
        (168, "50.00", Move.SKIPPED),  # 400 against 420
        (169, "50.00", Move.SELL),  # 450 against 422.50
    ],
)
def test_small_changes_are_left_undone(held: int, price: str, move: Move) -> None:
    assert only(a_signal(0.4, held=held, price=price)).move is move


def test_a_whole_position_is_sold_however_small_it_is() -> None:
    assert only(a_signal(-1.0, held=1, price="50.00")).move is Move.SELL


def test_working_entries_count_as_bought() -> None:
    assert only(a_signal(0.4, held=60, committed=100)).move is Move.HOLD
    assert only(a_signal(0.4, held=0, committed=100)).change == 60


@pytest.mark.parametrize("bad", [{"price": None}, {"atr": None}, {"price": "NaN"}, {"atr": "Infinity"}, {"atr": 0}])
def test_what_has_no_price_or_no_atr_is_refused_and_kept(bad: dict[str, object]) -> None:
    refused = only(a_signal(0.9, **{"held": 10, **bad}))

    assert (refused.move, refused.target, refused.change) == (Move.REFUSED, dec(10), dec(0))


def test_the_strongest_get_the_room_under_the_total_exposure() -> None:
    found = targets_of(a_signal(0.5, symbol="AAA"), a_signal(-0.9, symbol="BBB"), other_usd=75_000)

    assert found["AAA"].target == 100  # 80,000 − 75,000 = 5,000 USD are left
    assert found["AAA"].bound_by == "max_total_exposure_fraction"


def test_ten_orders_at_most_and_sells_come_first() -> None:
    buys = [a_signal(0.9, symbol=f"B{n:02}", atr="25", price="10.00") for n in range(12)]
    sells = [a_signal(-0.2, symbol=f"S{n}", held=5) for n in range(4)]

    found = targets_of(*buys, *sells)

    moves = [target.move for target in found.values()]
    assert (moves.count(Move.SELL), moves.count(Move.BUY), moves.count(Move.SKIPPED)) == (4, 6, 6)
    assert [t.symbol for t in found.values() if t.move is Move.BUY] == [f"B{n:02}" for n in range(6)]


def test_the_risk_of_a_trade_is_capped_at_one_percent_of_equity_to_the_share() -> None:
    target = only(a_signal(1.0, atr="5.00", price="20.00"))  # 1,000 USD at 10 USD a share; 10,000 USD would buy 500

    assert (target.target, target.bound_by) == (dec(100), "max_trade_risk_fraction")


def test_each_target_leaves_less_room_for_the_weaker_ones() -> None:
    signals = [a_signal(1 - n / 100, symbol=f"S{n:02}", atr="0.50") for n in range(10)]  # 200 shares each: 10,000 USD

    found = targets_of(*signals, other_usd=5_000)

    bought = [int(found[f"S{n:02}"].target) for n in range(10)]
    assert bought == [200] * 7 + [100, 0, 0]  # 80,000 USD less 5,000 in others


def test_one_execution_sells_before_it_buys_and_no_more_than_its_limit() -> None:
    sells = [a_signal(-0.5, symbol=f"S{n:02}", held=100) for n in range(9)]
    buys = [a_signal(0.4, symbol=f"B{n}") for n in range(4)]

    found = targets_of(*buys, *sells)

    assert [t.symbol for t in found.values() if t.move is Move.BUY] == ["B0"]
    assert sum(t.move is Move.SELL for t in found.values()) == 9
    late = [t for t in found.values() if t.move is Move.SKIPPED]
    assert [(t.symbol, t.change) for t in late] == [("B1", dec(0)), ("B2", dec(0)), ("B3", dec(0))]
    assert all("max_orders_per_execution" in t.reason for t in late)


def test_with_leverage_asked_for_twice_the_equity_is_bought() -> None:
    limits = RiskLimits(
        max_total_exposure_fraction=dec(2), buying_power_multiple=dec(2), max_position_notional_fraction=dec("0.25")
    )
    signals = [a_signal(0.5, symbol=f"S{n}", atr="0.50") for n in range(9)]  # 1,000 shares wanted, scaled 2,000

    found = targets(signals, equity_usd=EQUITY, other_usd=dec(0), limits=limits, rules=RebalanceRules(
        capital_scaling=dec(2)
    ))  # fmt: skip

    assert sum(target.target * 50 for target in found) == 2 * EQUITY


strengths = st.floats(-1, 1, allow_nan=False)
shares = st.integers(0, 3000)
prices = st.integers(1, 90_000).map(lambda cents: Decimal(cents) / 100)
books = st.lists(st.tuples(strengths, prices, prices, shares, shares), min_size=1, max_size=30)


@given(books, st.integers(0, 200_000), st.sampled_from(["1", "2"]))
def test_targets_never_exceed_the_limits_and_sells_never_what_is_held(
    rows: list[tuple[float, Decimal, Decimal, int, int]], other_usd: int, scaling: str
) -> None:
    signals = [
        Signal(symbol=f"S{n}", strength=s, atr=atr, price=price, held=dec(held), committed=dec(working))
        for n, (s, atr, price, held, working) in enumerate(rows)
    ]
    by_symbol = {signal.symbol: signal for signal in signals}
    rules = RULES.model_copy(update={"capital_scaling": dec(scaling)})

    found = targets(signals, equity_usd=EQUITY, other_usd=dec(other_usd), rules=rules, limits=LIMITS)

    assert len(found) == len(signals)
    worth = sum((t.target * (by_symbol[t.symbol].price or 0) for t in found), dec(0))
    assert worth <= max(dec(0), EQUITY * LIMITS.max_total_exposure_fraction - other_usd)
    for target in found:
        signal = by_symbol[target.symbol]
        assert signal.price is not None
        assert signal.atr is not None
        assert target.target >= 0
        assert target.target * signal.price <= EQUITY * LIMITS.max_position_notional_fraction
        assert target.target * signal.atr * 2 <= EQUITY * LIMITS.max_trade_risk_fraction
        assert -signal.held <= target.change
        assert (target.change < 0) == (target.move is Move.SELL)
        assert (target.change > 0) == (target.move is Move.BUY)
    assert sum(target.change != 0 for target in found) <= LIMITS.max_orders_per_execution


@given(books)
def test_what_reached_its_targets_asks_for_no_order(rows: list[tuple[float, Decimal, Decimal, int, int]]) -> None:
    """Executing at the same prices until nothing is left: two rounds agree, and then everything holds."""
    signals = [
        Signal(symbol=f"S{n}", strength=s, atr=atr, price=price, held=dec(held))
        for n, (s, atr, price, held, _) in enumerate(rows)
    ]
    for _ in range(len(signals) + 1):
        found = targets(signals, equity_usd=EQUITY, other_usd=dec(0), rules=RULES, limits=LIMITS)
        change = {target.symbol: target.change for target in found}
        signals = [
            Signal(symbol=s.symbol, strength=s.strength, atr=s.atr, price=s.price, held=s.held + change[s.symbol])
            for s in signals
        ]

    assert not any(change.values())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("XYZ", math.nan)], r"row 1 \(XYZ: nan\)"),
        ([("XYZ", math.inf)], "XYZ: inf"),
        ([("XYZ", 1.01)], "XYZ: 1.01"),
        ([("XYZ", "much")], "XYZ: 'much'"),
        ([("XYZ", None)], "XYZ: None"),
        ([("", 0.5)], "no symbol"),
        ([("XYZ", 0.5), ("ABC", 0.1), ("XYZ", 0.5)], "XYZ 2 times"),
        ([], "0 rows"),
        ([(f"S{n}", 0.5) for n in range(11)], "11 rows .* between 1 and 10"),
    ],
)
def test_one_broken_row_refuses_the_table_and_is_named(rows: list[tuple[str, object]], words: str) -> None:
    with pytest.raises(SignalsError, match=words):
        signal_set("signal_file", AT, rows, max_rows=10)


def test_ten_thousand_rows_are_taken() -> None:
    rows = [(f"S{n}", "0.5") for n in range(10_000)]

    assert len(signal_set("signal_file", AT, rows, max_rows=10_000).strengths) == 10_000


def test_a_set_is_the_same_in_any_order_of_its_rows() -> None:
    rows = [("B", 0.5), ("A", -0.5)]

    one, other = (signal_set("signal_file", AT, each, max_rows=9) for each in (rows, rows[::-1]))

    assert one == other
    assert signal_set("signal_file", AT + timedelta(1), rows, max_rows=9).input_hash != one.input_hash


@pytest.mark.parametrize(("age", "is_taken"), [(0, True), (1440, True), (1441, False), (-1, False)])
def test_stale_signals_and_signals_from_the_future_are_refused(age: int, is_taken: bool) -> None:
    signals = signal_set("signal_file", AT, [("XYZ", 0.5)], max_rows=9)

    if is_taken:
        require_fresh(signals, AT + timedelta(minutes=age), RULES)
    else:
        with pytest.raises(SignalsError, match="max_signal_age_minutes"):
            require_fresh(signals, AT + timedelta(minutes=age), RULES)


def test_signals_without_a_time_zone_are_refused() -> None:
    with pytest.raises(NaiveDatetimeError):
        signal_set("signal_file", AT.replace(tzinfo=None), [("XYZ", 0.5)], max_rows=9)
