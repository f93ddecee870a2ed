"""Positions: a fold over fills whose cash always adds up; marks and R."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.corporate import Split
from trading_pipeline.domain.errors import NaiveDatetimeError, PositionWouldCrossZero, TradingError
from trading_pipeline.domain.fold import (
    apply_fill,
    apply_split,
    fold,
    mark,
    open_risk_usd,
    r_now,
    round_trips,
    standing,
    unrealized_usd,
)
from trading_pipeline.domain.money import cost_of
from trading_pipeline.domain.orders import Fill, Side
from trading_pipeline_tests.builders import AT, a_fill, a_position, dec

BUY, SELL = Side.BUY, Side.SELL


def test_average_cost_and_realized_profit_worked_out_by_hand() -> None:
    held = fold([a_fill(BUY, 100, 10, commission=1), a_fill(BUY, 100, 12), a_fill(SELL, 50, 13, commission=1)])["XYZ"]

    assert (held.quantity, held.avg_px, held.realized_usd, held.commission_usd) == (dec(150), dec(11), dec(100), dec(2))
    assert (held.bought_qty, held.sold_qty, held.trade_id) == (dec(200), dec(50), "tp-entry")


def test_selling_more_than_is_owned_is_refused_with_both_numbers() -> None:
    with pytest.raises(PositionWouldCrossZero, match=r"leave -50 shares of the 100 held"):
        fold([a_fill(BUY, 100), a_fill(SELL, 150)])
    with pytest.raises(PositionWouldCrossZero):
        apply_fill(None, a_fill(SELL, 1))


def test_a_buy_after_the_close_opens_a_new_round_trip() -> None:
    held = fold([a_fill(BUY), a_fill(SELL, 100, 51), a_fill(BUY, 10, 40, client_order_id="tp-entry-2")])["XYZ"]

    assert (held.trade_id, held.quantity, held.realized_usd) == ("tp-entry-2", dec(10), dec(0))


def test_a_fill_of_another_account_is_refused() -> None:
    with pytest.raises(TradingError, match="B/XYZ"):
        apply_fill(a_position(), replace(a_fill(BUY), account="B"))


@pytest.mark.parametrize("busted", [a_fill(BUY, 30, 52, commission=1), a_fill(SELL, 30, 52, commission=1)])
def test_a_bust_undoes_its_fill(busted: Fill) -> None:
    before = apply_fill(None, a_fill(BUY, 100, "50.25"))

    after = apply_fill(apply_fill(before, busted), replace(busted, exec_id="bust", is_reversal=True))

    assert after == before


def test_e35_a_sub_penny_fill_keeps_every_digit() -> None:
    held = fold([a_fill(BUY, 3, "10.000001"), a_fill(SELL, 3, "10.000004")])["XYZ"]

    assert held.realized_usd == dec("0.000009")


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "0", "-1"])
def test_e13_a_price_that_is_none_leaves_the_last_good_one(bad: str) -> None:
    marked = mark(a_position(), dec(51), AT)

    assert mark(marked, dec(bad), AT + timedelta(seconds=5)) == marked
    assert unrealized_usd(marked) == 100


def test_marks_keep_the_extremes_and_ignore_what_is_older() -> None:
    held = a_position()
    for minute, price in ((1, 52), (2, 49), (3, 50), (0, 99)):
        held = mark(held, dec(price), AT + timedelta(minutes=minute))

    assert (held.mark, held.low_mark, held.high_mark) == (dec(50), dec(49), dec(52))
    with pytest.raises(NaiveDatetimeError):
        mark(held, dec(50), AT.replace(tzinfo=None))


def test_e05_r_now_uses_the_initial_stop_whatever_the_stop_is() -> None:
    at_break_even = a_position(stop=50)

    assert r_now(at_break_even, dec(54)) == 2
    assert r_now(a_position(initial_stop=None), dec(54)) is None
    assert r_now(a_position(initial_stop=50), dec(54)) is None


def test_e08_a_trailed_winner_lends_no_room_to_new_risk() -> None:
    assert open_risk_usd(a_position(stop=55)) == 0
    assert open_risk_usd(a_position(stop=49)) == 100
    assert open_risk_usd(a_position(stop=None)) == 5000


prices = st.integers(1, 10**8).map(lambda n: Decimal(n) / 10**4)
sizes = st.integers(1, 10_000).map(Decimal)


@st.composite
def histories(draw: st.DrawFn) -> list[Fill]:
    """Fills that never sell more than is held, of one round trip that may end flat."""
    fills, held = [a_fill(BUY, draw(sizes), draw(prices))], Decimal(0)
    held = fills[0].quantity
    for _ in range(draw(st.integers(0, 8))):
        side = draw(st.sampled_from([BUY, SELL]))
        size = draw(sizes) if side is BUY else draw(st.integers(1, int(held)).map(Decimal))
        fills.append(a_fill(side, size, draw(prices), commission="0.35"))
        held += size if side is BUY else -size
        if not held:
            break
    return fills


@given(fills=histories(), price=prices)
def test_quantity_is_the_sum_of_fills_and_profit_is_the_cash_flow_exactly(fills: list[Fill], price: Decimal) -> None:
    held = mark(fold(fills)["XYZ"], price, AT)

    signed = [fill.quantity if fill.side is BUY else -fill.quantity for fill in fills]
    cash = -sum((size * fill.price for size, fill in zip(signed, fills, strict=True)), Decimal(0))
    assert held.quantity == sum(signed) == held.bought_qty - held.sold_qty
    assert held.realized_usd + unrealized_usd(held) == cash + held.quantity * price
    assert held.commission_usd == sum(fill.commission for fill in fills)


@given(buys=st.lists(st.tuples(sizes, prices), min_size=2, max_size=6), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_buys_does_not_change_the_cost(buys: list[tuple[Decimal, Decimal]], shuffle: object) -> None:
    shuffled = list(buys)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]

    one, other = (fold([a_fill(BUY, size, price) for size, price in order])["XYZ"] for order in (buys, shuffled))

    assert (one.quantity, one.avg_px) == (other.quantity, other.avg_px)


def reversal_of(fill: Fill) -> Fill:
    return replace(fill, exec_id=f"{fill.exec_id}~reversed", is_reversal=True)


def minutes(count: int) -> datetime:
    return AT + timedelta(minutes=count)


def a_split(ratio: object, at: int = 5, symbol: str = "XYZ") -> Split:
    return Split(account="A", symbol=symbol, ex_date=AT.date(), ratio=dec(ratio), effective_at=minutes(at))


@given(fills=histories(), picks=st.sets(st.integers(0, 8)), shuffle=st.randoms(use_true_random=False))
def test_busted_fills_leave_no_trace_wherever_they_stand(fills: list[Fill], picks: set[int], shuffle: Random) -> None:
    timed = [replace(fill, executed_at=minutes(number)) for number, fill in enumerate(fills)]
    busted = [a_fill(BUY, 7, 51, executed_at=minutes(number)) for number in picks]
    rows = [*timed, *busted, *map(reversal_of, busted)]
    shuffle.shuffle(rows)

    assert fold(rows) == fold(timed)
    assert round_trips(rows) == round_trips(timed)
    assert [fill.exec_id for fill in standing(rows)] == [fill.exec_id for fill in timed]


def test_one_of_two_equal_fills_stays_when_one_is_busted() -> None:
    first, second = a_fill(BUY, 50), a_fill(BUY, 50)

    assert fold([first, reversal_of(second), second])["XYZ"].quantity == 50


def test_a_sale_of_the_same_instant_waits_for_its_purchase_in_whatever_order_they_are_given() -> None:
    rows = [a_fill(SELL, 100, 51, exec_id="a"), a_fill(BUY, 100, 50, exec_id="b")]

    assert fold(rows) == fold(rows[::-1])
    assert fold(rows)["XYZ"].realized_usd == 100


def test_a_late_purchase_of_an_entry_continues_its_round_trip() -> None:
    rows = [
        a_fill(BUY, 80, 50), a_fill(SELL, 80, 48, executed_at=minutes(1)), a_fill(BUY, 20, 50, executed_at=minutes(2)),
        a_fill(BUY, 10, 40, executed_at=minutes(3), client_order_id="tp-entry-2"),
    ]  # fmt: skip

    (only,) = round_trips(rows)

    assert (only.position.trade_id, only.position.quantity, only.position.realized_usd) == (
        "tp-entry", dec(30), dec(-160),
    )  # fmt: skip
    assert len(only.fills) == 4


def test_round_trips_keep_their_own_fills() -> None:
    rows = [a_fill(BUY), a_fill(SELL, executed_at=minutes(1)),
            a_fill(BUY, executed_at=minutes(2), client_order_id="tp-entry-2")]  # fmt: skip

    first, second = round_trips(rows)

    assert (first.position.is_open, len(first.fills)) == (False, 2)
    assert (second.position.is_open, second.position.trade_id, len(second.fills)) == (True, "tp-entry-2", 1)


def test_a_split_changes_units_and_nothing_else() -> None:
    held = a_position(stop="49.99", mark=dec(60), high_mark=dec(62), low_mark=dec(49))

    split = apply_split(held, a_split(3))

    assert (split.quantity, split.bought_qty, cost_of(split.quantity, split.avg_px)) == (dec(300), dec(300), dec(5000))
    assert (split.initial_stop, split.stop, split.target) == (dec("16.00"), dec("16.66"), dec("18.66"))
    assert (split.mark, split.high_mark) == (dec(20), dec("20.66666667"))
    assert r_now(a_position(), dec(54)) == 2
    assert unrealized_usd(split) == unrealized_usd(held)


def test_what_is_left_of_a_share_goes_at_its_cost() -> None:
    held = fold([a_fill(BUY, 105, 10)], [a_split("0.1")])["XYZ"]

    assert (held.quantity, held.bought_qty, held.sold_qty) == (dec(10), dec("10.5"), dec("0.5"))
    assert (held.avg_px, held.realized_usd) == (dec(100), dec(-50))


def test_a_split_that_leaves_less_than_a_share_closes_the_position_at_its_cost() -> None:
    held = fold([a_fill(BUY, 3, 10)], [a_split("0.1")])["XYZ"]

    assert (held.is_open, held.realized_usd, held.bought_qty - held.sold_qty) == (False, dec(-30), dec(0))


@pytest.mark.parametrize("ratio", ["0.3333333333", "0.333333333333333333333333"])
def test_a_third_of_a_share_is_a_whole_third_of_many(ratio: str) -> None:
    assert fold([a_fill(BUY, 300_000, 1)], [a_split(ratio)])["XYZ"].quantity == 100_000


@pytest.mark.parametrize("ratio", ["0", "-2", "NaN"])
def test_a_ratio_that_is_none_is_refused(ratio: str) -> None:
    with pytest.raises(TradingError, match="cannot be split"):
        apply_split(a_position(), a_split(ratio))


def test_a_split_of_something_else_or_before_the_purchase_changes_nothing() -> None:
    bought = [a_fill(BUY, 100, 50)]

    assert fold(bought, [a_split(2, symbol="ABC"), a_split(2, at=-5)]) == fold(bought)


ratios = st.sampled_from(["2", "3", "1.5", "0.1", "0.25", "0.3333333333", "7"]).map(Decimal)


@given(fills=histories(), splits=st.lists(st.tuples(ratios, st.integers(0, 9)), max_size=2), price=prices)
def test_cash_and_cost_are_conserved_exactly_over_splits(
    fills: list[Fill], splits: list[tuple[Decimal, int]], price: Decimal
) -> None:
    known = [a_split(ratio, at=20 + at) for ratio, at in splits]
    timed = [replace(fill, executed_at=minutes(number)) for number, fill in enumerate(fills)]

    held = mark(fold(timed, known)["XYZ"], price, minutes(60))

    cash = sum((f.quantity * f.price * (-1 if f.side is BUY else 1) for f in timed), Decimal(0))
    assert held.realized_usd + unrealized_usd(held) == cash + held.quantity * price
    assert held.quantity == held.bought_qty - held.sold_qty
    assert held.quantity == held.quantity.to_integral_value()
