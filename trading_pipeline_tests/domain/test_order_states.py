"""An order's life: the table, late fills, and that the order of reports does not matter."""

from __future__ import annotations

import itertools
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.errors import IllegalTransition, Overfill
from trading_pipeline.domain.executions import CORRECTIONS
from trading_pipeline.domain.order_states import TRANSITIONS, advance, replay, replayed
from trading_pipeline.domain.orders import TERMINAL, ExecutionReport, Order
from trading_pipeline.domain.orders import ExecType as E
from trading_pipeline.domain.orders import OrdStatus as S
from trading_pipeline_tests.builders import AT, a_report, an_order, dec

SECOND = timedelta(seconds=1)


def bust_of(trade: ExecutionReport, **changes: Any) -> ExecutionReport:
    """The venue takes a trade back."""
    shape = {"last_qty": trade.last_qty, "last_px": trade.last_px, "commission": trade.commission}
    return a_report(E.TRADE_CANCEL, **{"ref_exec_id": trade.exec_id, **shape, **changes})


def correction_of(trade: ExecutionReport, **holds: Any) -> ExecutionReport:
    """The venue says what holds instead of a trade."""
    shape = {"last_qty": trade.last_qty, "last_px": trade.last_px, "commission": trade.commission}
    return a_report(E.TRADE_CORRECT, **{"ref_exec_id": trade.exec_id, **shape, **holds})


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
    trade = a_report(E.TRADE, commission=1)

    busted = replayed(an_order(), [trade, bust_of(trade)])

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


def test_no_report_brings_an_ended_order_back_to_work() -> None:
    revived = {
        (status, exec_type)
        for (status, exec_type), following in TRANSITIONS.items()
        if status in TERMINAL and following not in TERMINAL
    }
    assert revived == set()


def test_every_pair_either_moves_by_the_table_or_raises() -> None:
    for status in S:
        for exec_type in set(E) - CORRECTIONS:
            order = an_order(status=status, **({"cum_qty": 100} if status is S.FILLED else {}))
            report = a_report(exec_type, **({"last_qty": 1} if exec_type is E.TRADE else {}))
            if (status, exec_type) == (S.FILLED, E.TRADE):
                with pytest.raises(Overfill):
                    advance(order, report)
            elif (status, exec_type) in TRANSITIONS:
                advance(order, report)
            else:
                with pytest.raises(IllegalTransition):
                    advance(order, report)


trades = st.lists(
    st.tuples(st.integers(1, 50), st.integers(1, 10**9).map(lambda n: Decimal(n) / 10**6), st.integers(0, 500)),
    min_size=1,
    max_size=6,
)


@given(trades=trades, end=st.sampled_from([None, E.CANCELED, E.EXPIRED]), shuffle=st.randoms(use_true_random=False))
def test_any_order_of_the_same_reports_counts_every_share(
    trades: list[tuple[int, Decimal, int]], end: E | None, shuffle: Random
) -> None:
    reports = [a_report(E.NEW), *(_trade(*trade) for trade in trades)]
    reports += [a_report(E.PENDING_CANCEL), a_report(E.CANCELED)] if end is E.CANCELED else []
    reports += [a_report(end)] if end is E.EXPIRED else []
    shuffled = list(reports)
    shuffle.shuffle(shuffled)
    start = an_order(status=S.PENDING_NEW, quantity=300)

    one = replayed(start, shuffled)

    assert one == replayed(start, reports)
    assert one.cum_qty == sum(shares for shares, _, _ in trades)
    assert (one.avg_px * one.cum_qty).quantize(Decimal("1e-10")) == sum(shares * price for shares, price, _ in trades)


def _trade(shares: int, price: Decimal, commission_cents: int) -> ExecutionReport:
    return a_report(E.TRADE, last_qty=shares, last_px=price, commission=Decimal(commission_cents) / 100)


# what only a replay knows


def test_a_bust_may_come_before_its_trade_and_waits_for_it() -> None:
    trade = a_report(E.TRADE, last_qty=40)
    bust = bust_of(trade)

    early = replay(an_order(), [bust])
    late = replay(an_order(), [bust, trade])

    assert early.waiting == (bust,)
    assert (late.waiting, late.order.cum_qty) == ((), dec(0))


def test_the_last_correction_of_a_trade_holds_and_a_bust_takes_back_what_was_corrected() -> None:
    trade = a_report(E.TRADE, last_qty=40, last_px=50)
    first = correction_of(trade, last_qty=30, occurred_at=AT + SECOND)
    second = correction_of(first, last_qty=35, last_px="49.5", occurred_at=AT + 2 * SECOND)

    corrected = replayed(an_order(), [second, first, trade])
    busted = replayed(an_order(), [second, bust_of(trade), first, trade])

    assert (corrected.status, corrected.cum_qty, corrected.avg_px) == (S.PARTIALLY_FILLED, dec(35), dec("49.5"))
    assert (busted.status, busted.cum_qty) == (S.NEW, dec(0))


def test_a_bust_that_names_no_trade_takes_back_one_with_its_shares_and_price() -> None:
    trades = [a_report(E.TRADE, last_qty=40), a_report(E.TRADE, last_qty=40)]

    order = replayed(an_order(), [*trades, bust_of(trades[0], ref_exec_id="")])

    assert order.cum_qty == 40


def test_a_correction_that_refers_to_itself_waits_for_ever_and_moves_nothing() -> None:
    circle = [a_report(E.TRADE_CORRECT, exec_id=one, ref_exec_id=other, last_qty=1, last_px=1) for one, other in
              (("a", "b"), ("b", "a"))]  # fmt: skip

    assert replay(an_order(), circle).waiting == tuple(circle)


def test_an_overfill_leaves_the_order_full_and_tells_the_surplus() -> None:
    trades = [a_report(E.TRADE, last_qty=90), a_report(E.TRADE, last_qty=40, last_px=51)]

    found = replay(an_order(), trades)

    assert (found.order.status, found.order.cum_qty, found.surplus) == (S.FILLED, dec(100), dec(30))
    assert replay(an_order(), [*trades, bust_of(trades[1])]).surplus == 0


def test_a_completely_filled_order_is_filled_however_it_ended() -> None:
    assert replayed(an_order(), [a_report(E.CANCELED), a_report(E.TRADE, occurred_at=AT + SECOND)]).status is S.FILLED


def test_of_several_replacements_the_last_to_occur_holds() -> None:
    moves = [
        a_report(E.REPLACED, stop_price=price, quantity=shares, occurred_at=AT + number * SECOND)
        for number, (price, shares) in enumerate(((48, 100), (49, 80), (50, 90)))
    ]
    for order in itertools.permutations(moves):
        found = replayed(an_order(), order)
        assert (found.stop_price, found.quantity) == (dec(50), dec(90))


@pytest.mark.parametrize(
    ("asked", "refused"), [(E.PENDING_CANCEL, E.CANCEL_REJECTED), (E.PENDING_REPLACE, E.REPLACE_REJECTED)]
)
def test_a_refused_change_puts_the_order_back_to_work(asked: E, refused: E) -> None:
    trade = a_report(E.TRADE, last_qty=10)

    assert after(an_order(), a_report(asked), a_report(refused)).status is S.NEW
    assert after(an_order(), trade, a_report(asked), a_report(refused)).status is S.PARTIALLY_FILLED


@pytest.mark.parametrize("word", [E.NEW, E.TRADE, E.REPLACED, E.CANCELED, E.REJECTED, E.EXPIRED])
def test_e26_a_doubt_that_is_written_after_the_venue_spoke_is_none(word: E) -> None:
    start = an_order(status=S.PENDING_NEW)
    doubt, said = a_report(E.IN_DOUBT, occurred_at=AT + SECOND), a_report(word)

    assert replayed(start, [doubt]).status is S.IN_DOUBT
    assert replayed(start, [doubt, said]).status is replayed(start, [said]).status is not S.IN_DOUBT


@pytest.mark.parametrize("refused", [E.CANCEL_REJECTED, E.REPLACE_REJECTED])
def test_e26_a_refused_change_does_not_tell_that_an_order_in_doubt_exists(refused: E) -> None:
    assert advance(an_order(status=S.IN_DOUBT), a_report(refused)).status is S.IN_DOUBT


def test_an_order_counts_as_submitted_from_the_venues_first_word_that_took_it() -> None:
    start = an_order(status=S.PENDING_NEW)

    assert replayed(start, [a_report(E.IN_DOUBT), a_report(E.NEW, occurred_at=AT + SECOND)]).submitted_at == AT + SECOND
    assert replayed(start, [a_report(E.REJECTED)]).submitted_at is None
    assert replayed(start, [a_report(E.EXPIRED, venue_order_id="")]).submitted_at is None


def test_an_impossible_report_is_set_aside_by_a_replay_and_raises_in_a_strict_one() -> None:
    reports = [a_report(E.REJECTED), odd := a_report(E.TRADE, occurred_at=AT + SECOND)]

    found = replay(an_order(), reports)

    assert (found.order.status, found.order.cum_qty, found.refused) == (S.REJECTED, dec(0), (odd,))
    with pytest.raises(IllegalTransition, match="is Rejected"):
        replayed(an_order(), reports)


@pytest.mark.parametrize("quantity", ["0", "-1", "NaN"])
def test_a_replacement_by_no_number_of_shares_is_refused(quantity: str) -> None:
    with pytest.raises(IllegalTransition):
        advance(an_order(), a_report(E.REPLACED, quantity=quantity))


def test_a_bust_or_correction_needs_the_whole_story() -> None:
    with pytest.raises(IllegalTransition):
        advance(an_order(), a_report(E.TRADE_CANCEL))
