"""A session's result: zeros without trades, costs always in, wins by net."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.performance import (
    DailyPerformance,
    EquityPoint,
    max_drawdown_fraction,
    summarise_day,
)
from trading_pipeline.domain.positions import Trade
from trading_pipeline_tests.builders import AT, SESSION, a_trade, an_equity_point, dec


def summary(trades: Sequence[Trade] = (), points: Sequence[EquityPoint] = ()) -> DailyPerformance:
    return summarise_day(trades, points, account="A", session=SESSION, opening_equity_usd=dec(100_000), computed_at=AT)


def test_e29_e38_a_session_without_trades_has_a_row_of_zeros() -> None:
    day = summary()

    assert (day.trades, day.wins, day.losses, day.break_even) == (0, 0, 0, 0)
    assert day.gross_usd == day.net_usd == day.commission_usd == day.slippage_usd == 0
    assert (day.win_rate, day.average_r, day.largest_win_usd, day.largest_loss_usd) == (None, None, None, None)
    assert day.opening_equity_usd == day.closing_equity_usd == 100_000
    assert day.return_fraction == day.max_drawdown_fraction == 0


def test_e30_net_is_gross_less_commission() -> None:
    day = summary([a_trade(100), a_trade(-40)])

    assert (day.gross_usd, day.commission_usd, day.net_usd) == (dec(62), dec(2), dec(60))
    assert day.average_r == dec("0.15")


def test_e31_wins_are_counted_net_and_break_even_is_neither() -> None:
    day = summary([a_trade(100), a_trade(0), a_trade("-0.50")])  # the last two have a positive gross

    assert (day.wins, day.losses, day.break_even, day.win_rate) == (1, 1, 1, dec("0.5"))
    assert (day.largest_win_usd, day.largest_loss_usd) == (dec(100), dec("-0.50"))


def test_e34_return_and_drawdown_start_from_the_opening_equity() -> None:
    day = summary(points=[an_equity_point(98_000), an_equity_point(103_000, 1), an_equity_point(101_000, 2)])

    assert (day.closing_equity_usd, day.return_fraction) == (dec(101_000), dec("0.01"))
    assert day.max_drawdown_fraction == dec("-0.02")


def test_rows_of_other_sessions_and_accounts_do_not_count() -> None:
    yesterday = SESSION - timedelta(days=1)

    day = summary(
        [a_trade(100, session=yesterday), a_trade(100, account="B")],
        [an_equity_point(1, session=yesterday), an_equity_point(2, account="B")],
    )

    assert (day.trades, day.closing_equity_usd) == (0, dec(100_000))


equities = st.lists(st.integers(1, 10**7).map(Decimal), max_size=20)


@given(equity=equities)
def test_a_drawdown_is_the_worst_pair_of_a_peak_and_a_later_value(equity: list[Decimal]) -> None:
    pairs = [later / peak - 1 for i, peak in enumerate(equity) for later in equity[i:]]

    assert abs(max_drawdown_fraction(equity) - min(pairs, default=Decimal(0))) <= Decimal("1e-8")
    assert -1 < max_drawdown_fraction(equity) <= 0


@given(nets=st.lists(st.integers(-1000, 1000), max_size=20))
def test_every_trade_is_a_win_a_loss_or_break_even(nets: list[int]) -> None:
    day = summary([a_trade(net) for net in nets])

    assert day.wins + day.losses + day.break_even == day.trades == len(nets)
    assert day.net_usd == sum(nets)


def test_a_trade_amended_in_its_session_counts_once_as_it_is_in_the_end() -> None:
    first = a_trade(-100, trade_id="t", r_multiple=Decimal("-0.5"))
    amended = a_trade(
        150, trade_id="t~2", quantity=Decimal(0), commission_usd=Decimal(0), gross_usd=Decimal(150),
        r_multiple=Decimal("0.75"),
    )  # fmt: skip

    day = summary([first, amended])

    assert (day.trades, day.wins, day.losses, day.net_usd, day.average_r) == (1, 1, 0, dec(50), dec("0.25"))


def test_an_amendment_of_an_earlier_trade_is_money_and_no_trade() -> None:
    day = summary([a_trade(-30, trade_id="old~2", quantity=Decimal(0))])

    assert (day.trades, day.losses, day.net_usd, day.average_r) == (0, 0, dec(-30), None)


def test_the_average_r_is_over_the_trades_that_have_one() -> None:
    assert summary([a_trade(100, r_multiple=None), a_trade(100, r_multiple=Decimal(2))]).average_r == 2
    assert summary([a_trade(100, r_multiple=None)]).average_r is None
