"""Closed trades: net of costs, in initial R, keyed by trade id."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.corporate import Split
from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.fold import apply_fill, fold, r_now
from trading_pipeline.domain.orders import Fill, Side
from trading_pipeline.domain.positions import ExitReason, Trade
from trading_pipeline.domain.trades import amendment, close_trade, round_trip_id, whole_trades
from trading_pipeline_tests.builders import AT, a_fill, a_plan, a_position, a_setup, dec

LATER = AT + timedelta(hours=2)


def round_trip(
    exit_px: object, *, entry_px: object = "50.00", commission: object = 0, quantity: object = 100
) -> list[Fill]:
    return [
        a_fill(Side.BUY, quantity, entry_px, commission=commission),
        a_fill(Side.SELL, quantity, exit_px, commission=commission, executed_at=LATER, client_order_id="tp-stop"),
    ]


def closed(fills: list[Fill], **changes: Any) -> Trade:
    """The trade of the fills, held with the levels and marks of the builder's position."""
    levels = a_position(**changes.pop("position", {}))
    held = fold(fills).get("XYZ", replace(levels, quantity=dec(0)))
    position = replace(
        held, trade_id=levels.trade_id, initial_stop=levels.initial_stop, stop=levels.stop, target=levels.target,
        low_mark=levels.low_mark, high_mark=levels.high_mark,
    )  # fmt: skip
    shape = {"exit_reason": ExitReason.TARGET, "plan": a_plan(), "setup": a_setup(), **changes}
    return close_trade(position, fills, **shape)


def test_a_trade_tells_what_it_earned_and_why() -> None:
    trade = closed(round_trip("56.00", commission=1))

    assert (trade.gross_usd, trade.commission_usd, trade.net_usd) == (dec(600), dec(2), dec(598))
    assert (trade.r_multiple, trade.return_fraction) == (dec("2.99"), dec("0.1196"))
    assert (trade.entry_at, trade.exit_at, trade.grade, trade.entry_reason) == (AT, LATER, "A+", "A+ setup")


@pytest.mark.parametrize("moved_stop", ["50.00", "52.00", "55.99"])
def test_e05_e06_a_winner_books_its_r_from_the_initial_stop(moved_stop: str) -> None:
    trade = closed(round_trip("52.00"), position={"stop": moved_stop}, exit_reason=ExitReason.TRAILING)

    assert trade.r_multiple == 1
    assert trade.initial_stop == 48


def test_e28_two_round_trips_in_one_symbol_are_two_trades() -> None:
    first = closed(round_trip("51.00"))
    second = closed(round_trip("49.00"), position={"trade_id": "tp-entry-2"})

    assert (first.trade_id, second.trade_id) == ("tp-entry", "tp-entry-2")


def test_e30_commission_is_always_subtracted() -> None:
    assert closed(round_trip("50.01", commission=1)).net_usd == -1


def expecting(level: object, fills: list[Fill], **changes: Any) -> Trade:
    """Closed, with one price expected of all sales."""
    return closed(fills, expected_px={fill.exec_id: dec(level) for fill in fills if fill.side is Side.SELL}, **changes)


def test_slippage_is_what_fills_cost_against_the_levels_asked_for() -> None:
    gapped = expecting("48.00", round_trip("47.50", entry_px="49.99"), exit_reason=ExitReason.STOP)
    timed = expecting("51.05", closing := round_trip("51.00"), exit_reason=ExitReason.TIME)

    assert gapped.slippage_usd == dec("-1.00") + dec("50.00")
    assert timed.slippage_usd == 5
    assert closed(closing, exit_reason=ExitReason.TIME).slippage_usd == 0


def test_each_sale_is_measured_against_the_level_of_its_own_order() -> None:
    # given most sold at the target, the rest at the stop, each exactly there
    fills = [a_fill(Side.BUY, 100, 50), a_fill(Side.SELL, 90, 56), a_fill(Side.SELL, 10, 48)]
    levels = {fills[1].exec_id: dec(56), fills[2].exec_id: dec(48)}

    assert closed(fills, exit_reason=ExitReason.STOP, expected_px=levels).slippage_usd == 0


def test_a_trade_and_its_position_count_the_same_r_after_a_better_entry() -> None:
    fills = round_trip("50.50", entry_px="49.00")
    held = apply_fill(None, fills[0])

    trade = closed(fills)

    assert trade.r_multiple == dec("1.5") == r_now(replace(held, initial_stop=dec(48)), dec("50.50"))


def test_an_entry_filled_at_or_below_the_stop_falls_back_to_the_risk_of_the_plan() -> None:
    assert closed(round_trip("49.00", entry_px="48.00")).r_multiple == dec("0.5")


def test_excursions_come_from_marks_and_fills() -> None:
    trade = closed(round_trip("51.00"), position={"low_mark": dec("48.50"), "high_mark": dec("53.00")})

    assert (trade.mae_usd, trade.mfe_usd) == (dec(-150), dec(300))


def test_e39_a_trade_of_several_fills_counts_each() -> None:
    fills = [a_fill(Side.BUY, 60, "49.90"), a_fill(Side.BUY, 40, "50.00"), a_fill(Side.SELL, 100, 51)]

    trade = closed(fills)

    assert (trade.quantity, trade.entry_px, trade.gross_usd) == (dec(100), dec("49.94"), dec(106))


def test_an_open_position_is_no_trade() -> None:
    with pytest.raises(TradingError, match="100 shares bought, 40 sold"):
        closed([a_fill(Side.BUY), a_fill(Side.SELL, 40)])
    with pytest.raises(TradingError):
        closed([])


cents = st.integers(100, 100_000).map(lambda n: Decimal(n) / 100)


@given(entry=cents, exit_px=cents, size=st.integers(1, 1000), commission=cents)
def test_a_trade_earns_what_its_position_realized_less_commissions(
    entry: Decimal, exit_px: Decimal, size: int, commission: Decimal
) -> None:
    fills = round_trip(exit_px, entry_px=entry, commission=commission, quantity=size)

    trade, position = closed(fills), fold(fills)["XYZ"]

    assert trade.gross_usd == position.realized_usd
    assert trade.net_usd == position.realized_usd - position.commission_usd
    assert trade.mae_usd <= min(Decimal(0), trade.gross_usd) <= max(Decimal(0), trade.gross_usd) <= trade.mfe_usd


def test_a_trade_nobody_planned_has_no_setup_and_no_r() -> None:
    bare = {"initial_stop": None, "stop": None, "target": None}

    trade = closed(round_trip("51.00", commission=1), plan=None, setup=None, position=bare)

    assert (trade.strategy, trade.net_usd, trade.slippage_usd) == ("EXTERNAL", dec(98), dec(0))
    assert (trade.r_multiple, trade.initial_stop, trade.target, trade.score) == (None, None, None, None)
    assert (trade.setup_id, trade.snapshot_id, trade.state, trade.grade) == (None, None, "", "")


def test_a_trade_over_a_split_is_told_in_the_units_of_its_end() -> None:
    fills = [a_fill(Side.BUY, 100, 50), a_fill(Side.SELL, 200, 26, executed_at=LATER)]
    split = Split(account="A", symbol="XYZ", ex_date=AT.date(), ratio=dec(2), effective_at=AT + timedelta(minutes=1))
    position = fold(fills, [split])["XYZ"]

    trade = close_trade(position, fills, plan=None, setup=None, exit_reason=ExitReason.MANUAL)

    assert (trade.quantity, trade.entry_px, trade.exit_px, trade.gross_usd) == (dec(200), dec(25), dec(26), dec(200))


def test_an_amendment_holds_only_the_difference() -> None:
    first = closed(round_trip("51.00"))
    again = closed(round_trip("50.50", commission=1))

    row = amendment([first], again, LATER.date())

    assert row is not None
    assert (row.trade_id, row.net_usd, row.commission_usd, row.quantity) == ("tp-entry~2", dec(-52), dec(2), dec(0))
    assert row.r_multiple == dec("-0.26")
    assert amendment([first, row], again, LATER.date()) is None
    (whole,) = whole_trades([first, row])
    assert (whole.net_usd, whole.r_multiple, whole.trade_id) == (again.net_usd, again.r_multiple, first.trade_id)


def test_a_round_trip_that_is_open_again_adds_up_to_nothing() -> None:
    first = closed(round_trip("51.00"))

    undone = amendment([first], None, LATER.date())

    assert undone is not None
    assert (undone.quantity, undone.net_usd) == (dec(-100), dec(-100))
    assert whole_trades([first, undone]) == []
    redone = amendment([first, undone], first, LATER.date())
    assert redone is not None
    assert redone.trade_id == "tp-entry~3"
    assert whole_trades([first, undone, redone]) == [replace(first, session=redone.session)]


def test_an_amendment_of_an_earlier_sessions_trade_is_money_and_no_trade() -> None:
    row = amendment([closed(round_trip("51.00"))], closed(round_trip("52.00")), LATER.date())

    assert row is not None
    assert whole_trades([row]) == []
    assert round_trip_id(row.trade_id) == "tp-entry"
