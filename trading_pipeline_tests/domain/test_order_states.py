"""An order's life: the table, late fills, and that the order of reports does not matter."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import IllegalTransition, Overfill
from trading_pipeline.domain.order_states import TRANSITIONS, advance
from trading_pipeline.domain.orders import TERMINAL, ExecutionReport, Order
from trading_pipeline.domain.orders import ExecType as E
from trading_pipeline.domain.orders import OrdStatus as S
from trading_pipeline_tests.builders import a_report, an_order, dec


def after(order: Order, *reports: ExecutionReport) -> Order:
    for report in reports:
        order = advance(order, report)
    return order


def test_shares_filled_before_a_cancel_stay_on_the_order() -> None:
    canceled = after(an_order(quantity=300), a_report(E.TRADE, last_qty=120), a_report(E.CANCELED))

    assert (canceled.status, canceled.cum_qty, canceled.leaves_qty) == (S.CANCELED, dec(120), dec(0))


@pytest.mark.parametrize("end", [E.CANCELED, E.EXPIRED])
def test_a_fill_that_arrives_after_the_end_is_still_ours(end: E) -> None:
    ended = after(an_order(), a_report(end), a_report(E.TRADE, last_qty=40, commission=1))

    assert (ended.cum_qty, ended.avg_px, ended.commission) == (dec(40), dec(50), dec(1))
    assert ended.status in TERMINAL


def test_a_cancel_may_lose_the_race_against_the_last_fill() -> None:
    order = after(an_order(), a_report(E.PENDING_CANCEL), a_report(E.TRADE))

    assert order.status is S.FILLED


def test_a_replaced_order_works_on_under_its_id_with_new_prices() -> None:
    partly = after(an_order(stop_price=48), a_report(E.TRADE, last_qty=30), a_report(E.PENDING_REPLACE))

    replaced = advance(partly, a_report(E.REPLACED, stop_price="50.10"))

    assert replaced.status is S.PARTIALLY_FILLED
    assert (replaced.client_order_id, replaced.stop_price, replaced.limit_price) == ("tp-entry", dec("50.10"), dec(50))


@pytest.mark.parametrize("word", [E.NEW, E.TRADE, E.CANCELED, E.REJECTED, E.EXPIRED, E.REPLACED])
def test_e26_any_word_from_the_venue_ends_the_doubt_about_an_order(word: E) -> None:
    doubtful = an_order(status=S.IN_DOUBT)

    assert doubtful.is_open
    assert advance(doubtful, a_report(word)).status is not S.IN_DOUBT


def test_an_overfill_is_refused_with_its_numbers() -> None:
    with pytest.raises(Overfill, match=r"130 of 100 shares of XYZ"):
        after(an_order(), a_report(E.TRADE, last_qty=90), a_report(E.TRADE, last_qty=40))


def test_a_busted_trade_opens_the_order_again() -> None:
    busted = after(an_order(), a_report(E.TRADE, commission=1), a_report(E.TRADE_CANCEL, commission=1))

    assert (busted.status, busted.cum_qty, busted.avg_px, busted.commission) == (S.NEW, dec(0), dec(0), dec(0))


@pytest.mark.parametrize("status", [S.REJECTED, S.DENIED])
def test_an_order_that_never_worked_cannot_trade(status: S) -> None:
    with pytest.raises(IllegalTransition, match=f"is {status.value}"):
        advance(an_order(status=status), a_report(E.TRADE))


@pytest.mark.parametrize("last_px", ["NaN", "0", "-1"])
def test_a_trade_without_a_price_moves_nothing(last_px: str) -> None:
    with pytest.raises(IllegalTransition):
        advance(an_order(), a_report(E.TRADE, last_px=last_px))


def test_a_report_about_another_order_is_refused() -> None:
    with pytest.raises(IllegalTransition, match="order other"):
        advance(an_order(), a_report(E.NEW, client_order_id="other"))


def test_no_report_brings_an_ended_order_back_to_work_except_a_bust() -> None:
    revived = {
        (status, exec_type)
        for (status, exec_type), following in TRANSITIONS.items()
        if status in TERMINAL and following not in TERMINAL
    }
    assert revived == {(S.FILLED, E.TRADE_CANCEL)}


def test_every_pair_either_moves_by_the_table_or_raises() -> None:
    for status in S:
        for exec_type in E:
            order, report = an_order(status=status), a_report(exec_type, **_unit(exec_type))
            order = order if exec_type is not E.TRADE_CANCEL else an_order(status=status, cum_qty=1, avg_px=50)
            if (status, exec_type) in TRANSITIONS:
                advance(order, report)
            else:
                with pytest.raises(IllegalTransition):
                    advance(order, report)


def _unit(exec_type: E) -> dict[str, int]:
    return {"last_qty": 1} if exec_type in {E.TRADE, E.TRADE_CANCEL} else {}


trades = st.lists(
    st.tuples(st.integers(1, 50), st.integers(1, 10**9).map(lambda n: Decimal(n) / 10**6), st.integers(0, 500)),
    min_size=1,
    max_size=6,
)


@given(trades=trades, end=st.sampled_from([None, E.CANCELED, E.EXPIRED]), shuffle=st.randoms(use_true_random=False))
def test_any_order_of_the_same_reports_ends_in_the_same_state(
    trades: list[tuple[int, Decimal, int]],
    end: E | None,
    shuffle: object,
) -> None:
    reports = [a_report(E.NEW), *(_trade(*trade) for trade in trades)]
    reports += [a_report(E.PENDING_CANCEL), a_report(E.CANCELED)] if end is E.CANCELED else []
    reports += [a_report(end)] if end is E.EXPIRED else []
    shuffled = list(reports)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    start = an_order(status=S.PENDING_NEW, quantity=300)

    one, other = after(start, *reports), after(start, *shuffled)

    assert _state(one) == _state(other)
    assert one.cum_qty == sum(shares for shares, _, _ in trades)
    assert (one.avg_px * one.cum_qty).quantize(Decimal("1e-10")) == sum(shares * price for shares, price, _ in trades)


def _trade(shares: int, price: Decimal, commission_cents: int) -> ExecutionReport:
    return a_report(E.TRADE, last_qty=shares, last_px=price, commission=Decimal(commission_cents) / 100)


def _state(order: Order) -> tuple[S, Decimal, Decimal, Decimal]:
    return order.status, order.cum_qty, order.avg_px, order.commission
