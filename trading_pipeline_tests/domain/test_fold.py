"""Positions: a fold over fills whose cash always adds up; marks and R."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import NaiveDatetimeError, PositionWouldCrossZero, TradingError
from trading_pipeline.domain.fold import apply_fill, fold, mark, open_risk_usd, r_now, unrealized_usd
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
