"""Several sessions as one result: money adds up, the return is that of the whole, the drawdown never looks better."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.performance import DailyPerformance, summarise_day
from trading_pipeline.domain.period import summarise_period
from trading_pipeline_tests.builders import AT, SESSION, a_trade, an_equity_point, dec


def days(*results: Sequence[int]) -> list[DailyPerformance]:
    """Sessions in a row, each with trades of these net results, from 100,000 USD on."""
    made, equity = [], dec(100_000)
    for number, nets in enumerate(results):
        session = SESSION + timedelta(days=number)
        trades = [a_trade(net, session=session) for net in nets]
        closing = equity + sum(nets)
        points = [an_equity_point(closing, session=session)]
        made.append(
            summarise_day(
                trades, points, account="A", session=session, opening_equity_usd=equity, computed_at=AT
            )
        )  # fmt: skip
        equity = closing
    return made


def test_a_week_adds_up() -> None:
    week = summarise_period(days([100, -40], [], [-20]))

    assert (week.sessions, week.trades, week.wins, week.losses) == (3, 3, 1, 2)
    assert week.net_usd == 40
    assert week.net_usd == week.gross_usd - week.commission_usd
    assert (week.opening_equity_usd, week.closing_equity_usd) == (dec(100_000), dec(100_040))
    assert week.return_fraction == dec("0.0004")
    assert week.win_rate == dec("0.33333333")
    assert week.max_drawdown_fraction == dec("-0.00019988")  # from 100,060 to 100,040


def test_without_trades_it_is_zeros_and_without_sessions_an_error() -> None:
    week = summarise_period(days([], []))

    assert week.trades == week.net_usd == week.return_fraction == 0
    assert week.win_rate is None
    with pytest.raises(InputError, match="without a session"):
        summarise_period([])


@given(st.lists(st.lists(st.integers(-900, 900), max_size=4), min_size=1, max_size=6))
def test_a_period_is_what_its_sessions_are(results: list[list[int]]) -> None:
    made = days(*results)
    period = summarise_period(made)

    assert period.net_usd == sum(sum(nets) for nets in results)
    assert period.closing_equity_usd - period.opening_equity_usd == period.net_usd
    assert period.trades == sum(map(len, results)) == period.wins + period.losses + period.break_even
    assert period.max_drawdown_fraction <= min(day.max_drawdown_fraction for day in made) <= 0
