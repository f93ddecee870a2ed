"""Whatever order reports arrive in, and however often: every permutation of every scenario ends in one order.

`make soak` (SOAK=1) tries 100,000 shuffles with duplicates; the quick run tries 5,000.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.executions import CORRECTIONS, in_order
from trading_pipeline.domain.order_states import advance, replay, replayed
from trading_pipeline.domain.orders import ExecType as E
from trading_pipeline.domain.orders import ExecutionReport, Order
from trading_pipeline.domain.orders import OrdStatus as S
from trading_pipeline_tests.builders import AT, a_report, an_order, dec

SHUFFLES = 100_000 if os.environ.get("SOAK") else 5_000
ASKED = an_order(status=S.PENDING_NEW, stop_price="48.00")

Word = tuple[E, dict[str, object]]


def said(*words: E | Word) -> tuple[ExecutionReport, ...]:
    """Reports a second apart, named r0, r1, … in the order of occurrence."""
    reports = []
    for number, word in enumerate(words):
        exec_type, shape = word if isinstance(word, tuple) else (word, {})
        at = AT + timedelta(seconds=number)
        reports.append(a_report(exec_type, **{"exec_id": f"r{number}", "occurred_at": at, **shape}))
    return tuple(reports)


def traded(shares: int, price: object = 50) -> Word:
    return E.TRADE, {"last_qty": shares, "last_px": price, "commission": 1}


def busted(number: int, shares: int, price: object = 50) -> Word:
    return E.TRADE_CANCEL, {"ref_exec_id": f"r{number}", "last_qty": shares, "last_px": price, "commission": 1}


def corrected(number: int, shares: int, price: object) -> Word:
    return E.TRADE_CORRECT, {"ref_exec_id": f"r{number}", "last_qty": shares, "last_px": price}


def replaced(**terms: object) -> Word:
    return E.REPLACED, terms


End = tuple[S, int, object]
SCENARIOS: dict[str, tuple[tuple[ExecutionReport, ...], End]] = {
    "three partial fills": (said(E.NEW, traded(20), traded(30, 49), traded(50, 48)), (S.FILLED, 100, "48.7")),
    "canceled with a part filled": (
        said(E.NEW, traded(40), E.PENDING_CANCEL, E.CANCELED), (S.CANCELED, 40, 50),
    ),
    "the cancel loses the race": (
        said(E.NEW, traded(40), E.PENDING_CANCEL, traded(60), E.CANCEL_REJECTED), (S.FILLED, 100, 50),
    ),
    "a fill after the cancel": (
        said(E.NEW, traded(40), E.PENDING_CANCEL, E.CANCELED, traded(30, 49)), (S.CANCELED, 70, "49.57142857"),
    ),
    "refused cancel, then another": (
        said(E.NEW, E.PENDING_CANCEL, E.CANCEL_REJECTED, traded(10), E.PENDING_CANCEL), (S.PENDING_CANCEL, 10, 50),
    ),
    "replaced twice while it fills": (
        said(E.NEW, E.PENDING_REPLACE, replaced(stop_price=49), traded(30), E.PENDING_REPLACE,
             replaced(stop_price=50, quantity=80), traded(20)),
        (S.PARTIALLY_FILLED, 50, 50),
    ),
    "a refused replace": (
        said(E.NEW, E.PENDING_REPLACE, traded(30), E.REPLACE_REJECTED), (S.PARTIALLY_FILLED, 30, 50),
    ),
    "replaced down to what is filled": (
        said(E.NEW, traded(30), replaced(quantity=30)), (S.FILLED, 30, 50),
    ),
    "a busted fill, filled again": (
        said(E.NEW, traded(100), busted(1, 100), traded(60, 49)), (S.PARTIALLY_FILLED, 60, 49),
    ),
    "a fill corrected twice, another busted, then canceled": (
        said(E.NEW, traded(50), traded(40), corrected(1, 45, 49), busted(2, 40), corrected(3, 46, 48), E.CANCELED),
        (S.CANCELED, 46, 48),
    ),
    "a corrected fill that is busted after all": (
        said(E.NEW, traded(50), corrected(1, 45, 49), busted(2, 45, 49)), (S.NEW, 0, 0),
    ),
    "expired with a part filled": (said(E.NEW, traded(25), E.DONE_FOR_DAY, E.EXPIRED), (S.EXPIRED, 25, 50)),
    "in doubt, then found and filled": (
        said(E.IN_DOUBT, (E.IN_DOUBT, {}), E.NEW, traded(60), traded(40)), (S.FILLED, 100, 50),
    ),
    "in doubt and refused": (said(E.IN_DOUBT, E.CANCEL_REJECTED, E.REJECTED), (S.REJECTED, 0, 0)),
    "filled at once": (said(traded(100)), (S.FILLED, 100, 50)),
    "overfilled": (said(E.NEW, traded(80), traded(50), E.CANCELED), (S.FILLED, 100, 50)),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_permutation_of_a_scenario_ends_in_the_same_order(name: str) -> None:
    reports, (status, cum_qty, avg_px) = SCENARIOS[name]
    expected = replay(ASKED, reports)

    assert all(replay(ASKED, order) == expected for order in permutations(reports))

    assert (expected.order.status, expected.order.cum_qty) == (status, dec(cum_qty))
    assert expected.order.avg_px.quantize(Decimal("1e-8")) == dec(avg_px).quantize(Decimal("1e-8"))
    assert (expected.refused, expected.waiting) == ((), ())


@pytest.mark.parametrize("name", SCENARIOS)
def test_arriving_one_by_one_in_any_order_ends_where_all_at_once_does(name: str) -> None:
    """As the ledger does it: each arrival replays what is on record, over the order as it was left."""
    reports, _ = SCENARIOS[name]
    for seed in range(20):
        order, known = ASKED, []
        for report in Random(seed).sample(reports * 2, 2 * len(reports)):
            known.append(report)
            order = replay(order, known).order
        assert order == replay(ASKED, reports).order


def test_shuffled_and_duplicated_reports_end_in_the_same_order() -> None:
    dice, stories = Random(7), [(reports, replay(ASKED, reports)) for reports, _ in SCENARIOS.values()]
    for _ in range(SHUFFLES):
        reports, expected = dice.choice(stories)
        heard = [*reports, *dice.choices(reports, k=dice.randrange(6))]
        dice.shuffle(heard)
        assert replay(ASKED, heard) == expected


@st.composite
def lives(draw: st.DrawFn) -> tuple[ExecutionReport, ...]:
    """What a lawful venue may say of an order of 100: partial fills, changes asked, refused and made, an end."""
    words: list[E | Word] = [E.NEW]
    left, pending = 100, False
    for _ in range(draw(st.integers(0, 7))):
        kind = draw(st.sampled_from(["trade", "cancel", "replace", "day"]))
        if kind == "trade" and left:
            shares = draw(st.integers(1, left))
            words.append(traded(shares, draw(st.integers(1, 10**8).map(lambda n: Decimal(n) / 10**4))))
            left -= shares
        elif kind == "cancel" and left:
            words += [E.PENDING_CANCEL, E.CANCEL_REJECTED]
        elif kind == "replace" and left:
            answer: E | Word = E.REPLACE_REJECTED if draw(st.booleans()) else replaced(stop_price=47)
            words += [E.PENDING_REPLACE, answer]
            pending = True
        elif kind == "day" and left and not pending:
            words.append(E.DONE_FOR_DAY)
    end = draw(st.sampled_from([None, E.CANCELED, E.EXPIRED]))
    return said(*words, *([end] if end and left else []))


@given(reports=lives(), shuffle=st.randoms(use_true_random=False))
def test_steps_in_order_and_a_replay_in_any_order_agree(reports: Sequence[ExecutionReport], shuffle: Random) -> None:
    shuffled = list(reports)
    shuffle.shuffle(shuffled)

    stepped = ASKED
    for report in in_order(shuffled):
        stepped = advance(stepped, report)

    assert replayed(ASKED, shuffled) == stepped


reports_at_random = st.lists(
    st.builds(
        lambda exec_type, second, number, shares: a_report(
            exec_type, exec_id=f"r{number}", occurred_at=AT + timedelta(seconds=second),
            last_qty=shares if exec_type in CORRECTIONS | {E.TRADE} else 0, last_px=50,
            ref_exec_id=f"r{(number * 7) % 5}" if exec_type in CORRECTIONS else "",
        ),
        st.sampled_from(list(E)), st.integers(0, 3), st.integers(0, 9), st.integers(1, 60),
    ), max_size=8, unique_by=lambda report: report.exec_id,
)  # fmt: skip


@given(reports=reports_at_random, shuffle=st.randoms(use_true_random=False))
def test_even_nonsense_ends_in_one_lawful_order_whatever_its_order(
    reports: list[ExecutionReport], shuffle: Random
) -> None:
    shuffled = [*reports, *reports]
    shuffle.shuffle(shuffled)

    found = replay(ASKED, shuffled)

    assert found == replay(ASKED, reports)
    assert 0 <= found.order.cum_qty <= found.order.quantity
    assert found.surplus >= 0


def test_a_replay_forgets_how_far_the_order_had_come() -> None:
    reports, _ = SCENARIOS["replaced twice while it fills"]
    half: Order = replay(ASKED, reports[:4]).order

    assert replay(half, reports).order == replay(ASKED, reports).order
    assert replay(replace(half, status=S.NEW), reports).order == replay(ASKED, reports).order
