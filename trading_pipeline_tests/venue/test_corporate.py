"""Splits, dividends, halts, settlement: what changes an account without an order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from trading_pipeline.domain.corporate import CashActivity, CashKind
from trading_pipeline.domain.errors import InputError, OrderRefused
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import ExecType, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.hours import Halt
from trading_pipeline_tests.venue.builders import (
    FREE,
    SESSION,
    a_bracket,
    a_venue,
    an_oco,
    an_order,
    at,
    feed,
    flat,
    reports,
    said,
    trades,
)

DAY = timedelta(days=1)
NEXT = SessionTimes(SESSION.session + DAY, SESSION.opens_at + DAY, SESSION.closes_at + DAY)
NEXT_OPEN = 1440
GTC, BUY, SELL = TimeInForce.GTC, Side.BUY, Side.SELL
TWO, THIRD = {"AAA": Decimal(2)}, {"AAA": Decimal(1) / 3}


def overnight(quantity: int = 100, *, volume: int = 1_000_000) -> SimulatedVenue:
    """A bracket entered at 100 with GTC legs (95, 110), after the close."""
    venue = a_venue()
    venue.submit(a_bracket(quantity=quantity, legs=GTC), at(0))
    feed(venue, flat(0, 100, volume=volume))
    venue.on_session_close(SESSION)
    return venue


def working(venue: SimulatedVenue) -> list[tuple[str, int, str]]:
    """(order, shares, price) of every open order."""
    return [
        (o.client_order_id, int(o.quantity), plain(o.stop_price or o.limit_price or Decimal(0)))
        for o in venue.open_orders()
    ]


def activities(venue: SimulatedVenue) -> tuple[CashActivity, ...]:
    return venue.cash_activities(at(-100_000))


def test_a_split_rescales_holding_and_resting_legs_and_equity_stays() -> None:
    venue = overnight()
    before = venue.account()

    venue.on_session_open(NEXT, TWO, {})

    (held,) = venue.positions()
    assert (int(held.quantity), plain(held.avg_px)) == (200, "50")
    assert working(venue) == [("b-s", 200, "47.5"), ("b-t", 200, "55")]
    assert venue.account() == before
    feed(venue, flat(NEXT_OPEN, 47))
    assert trades(venue)[-1] == ("b-s", 200, "47")
    assert (venue.open_orders(), venue.positions()) == ((), ())


def test_a_split_is_reported_as_a_replacement_of_each_order() -> None:
    venue = overnight()

    venue.on_session_open(NEXT, TWO, {})

    told = [report for report in reports(venue) if report.exec_type is ExecType.REPLACED]
    assert [(r.client_order_id, r.quantity, r.occurred_at) for r in told] == [
        ("b-s", Decimal(200), NEXT.opens_at), ("b-t", Decimal(200), NEXT.opens_at),
    ]  # fmt: skip
    assert "2 new shares for one" in told[0].text


def test_a_reverse_split_pays_the_part_of_a_share_in_cash() -> None:
    venue = overnight()
    before = venue.account().equity_usd

    venue.on_session_open(NEXT, {"AAA": Decimal("0.03")}, {})
    venue.on_session_open(NEXT, {"AAA": Decimal("0.03")}, {})

    assert [p.quantity for p in venue.positions()] == [3]
    assert activities(venue) == ()
    venue.on_session_open(replace(NEXT, session=NEXT.session + DAY), {"AAA": Decimal("0.5")}, {})
    (paid,) = activities(venue)
    assert (paid.kind, paid.amount_usd) == (CashKind.CASH_IN_LIEU, Decimal("3333.33"))
    assert abs(venue.account().equity_usd - before) <= Decimal("0.01")


def test_shares_a_leg_sold_before_a_split_stay_as_they_were_reported() -> None:
    venue = overnight()
    feed(venue, flat(2, 111, volume=300))  # the target sells 30

    venue.on_session_open(NEXT, TWO, {})

    assert working(venue) == [("b-s", 140, "47.5"), ("b-t", 170, "55")]
    feed(venue, flat(NEXT_OPEN, 60, volume=400))  # and 40 new shares more
    assert working(venue) == [("b-s", 100, "47.5"), ("b-t", 170, "55")]
    feed(venue, flat(NEXT_OPEN + 1, 40))
    assert venue.positions() == ()
    assert said(venue, "b-t")[-1] is ExecType.CANCELED


def test_a_split_rescales_an_oco_a_trailing_stop_and_a_resting_buy() -> None:
    venue = a_venue()
    venue.submit(an_order("buy", BUY, OrderType.LIMIT, limit=100, quantity=200), at(0))
    feed(venue, flat(0, 100))
    venue.submit(an_oco(life=GTC), at(1))
    venue.submit(an_order("t", SELL, OrderType.TRAILING_STOP, trail=4, stop=90, time_in_force=GTC), at(1))
    venue.submit(an_order("low", BUY, OrderType.LIMIT, limit="33.33", quantity=3, time_in_force=GTC), at(1))

    venue.on_session_open(NEXT, TWO, {})

    assert working(venue) == [
        ("o-s", 200, "47.5"), ("o-t", 200, "55"), ("t", 200, "45"),
        ("low", 6, "16.66"),
    ]  # fmt: skip
    feed(venue, flat(NEXT_OPEN, 51))
    assert working(venue)[2] == ("t", 200, "49")


def test_what_a_split_leaves_less_than_one_share_of_is_canceled() -> None:
    venue = a_venue()
    venue.submit(an_order("one", BUY, OrderType.LIMIT, limit=10, quantity=1, time_in_force=GTC), at(1))

    venue.on_session_open(NEXT, THIRD, {})

    assert said(venue, "one") == [ExecType.NEW, ExecType.CANCELED]


def test_a_dividend_is_paid_once_on_shares_held_before_the_open() -> None:
    venue = overnight()
    before = venue.account()

    for _ in range(2):
        venue.on_session_open(NEXT, TWO, {"AAA": Decimal("0.125"), "BBB": Decimal(1)})

    (paid,) = activities(venue)
    assert (paid.amount_usd, paid.session, paid.occurred_at) == (Decimal("12.50"), NEXT.session, NEXT.opens_at)
    assert venue.account().cash_usd == before.cash_usd + Decimal("12.50")
    assert venue.account().equity_usd == before.equity_usd  # the price is marked down by what was paid


@pytest.mark.parametrize("bad", ["0", "-2", "NaN", "Infinity"])
def test_a_split_or_dividend_that_is_none_is_refused_and_changes_nothing(bad: str) -> None:
    venue = overnight()
    before = (venue.account(), venue.positions(), venue.open_orders())

    with pytest.raises(InputError, match="AAA's split or dividend"):
        venue.on_session_open(NEXT, {"AAA": Decimal(bad)}, {})
    with pytest.raises(InputError, match="AAA's split or dividend"):
        venue.on_session_open(NEXT, TWO, {"AAA": Decimal(bad)})

    assert (venue.account(), venue.positions(), venue.open_orders()) == before


def test_a_halted_symbol_does_not_trade_and_its_stop_fills_where_it_reopens() -> None:
    venue = overnight()
    venue.halt(Halt("AAA", at(2), at(5)))
    venue.halt(Halt("AAA", at(2), at(5)))

    feed(venue, *(flat(minute, 90) for minute in range(2, 5)), flat(5, 80))

    assert trades(venue)[-1] == ("b-s", 100, "80")


@pytest.mark.parametrize("rule", ["accept", "refuse"])
def test_orders_in_a_halt_are_accepted_or_refused_by_rule(rule: str) -> None:
    venue = a_venue(FREE.model_copy(update={"orders_in_halt": rule}))
    venue.halt(Halt("AAA", at(0), at(5)))

    if rule == "refuse":
        with pytest.raises(OrderRefused, match="AAA is halted"):
            venue.submit(a_bracket(), at(1))
    else:
        venue.submit(a_bracket(), at(1))
    venue.submit(a_bracket("c", symbol="BBB"), at(1))
    venue.submit(a_bracket("d"), at(5))

    assert venue.order("d-e") is not None


def test_a_cash_account_buys_with_settled_cash_only() -> None:
    venue = a_venue(FREE.model_copy(update={"account_type": "cash", "initial_cash_usd": Decimal(10_000)}))
    venue.on_session_open(SESSION, {}, {})
    venue.submit(an_order("in", BUY, OrderType.LIMIT, limit=100, quantity=60), at(0))
    feed(venue, flat(0, 100))
    venue.submit(an_order("out", SELL, quantity=60), at(1))
    feed(venue, flat(1, 100))

    account = venue.account()
    assert (account.cash_usd, account.settled_cash_usd) == (Decimal(10_000), Decimal(4_000))
    assert account.buying_power_usd == 4_000
    with pytest.raises(OrderRefused, match=r"4000\.00 are free"):
        venue.submit(an_order("again", BUY, OrderType.LIMIT, limit=100, quantity=60), at(2))
    venue.on_session_open(SESSION, {}, {})
    assert venue.account().settled_cash_usd == 4_000
    venue.on_session_open(NEXT, {}, {})

    assert venue.account().settled_cash_usd == 10_000
    venue.submit(an_order("then", BUY, OrderType.LIMIT, limit=100, quantity=60), NEXT.opens_at)


def test_a_margin_account_tells_no_settled_cash() -> None:
    assert a_venue().account().settled_cash_usd is None


def test_an_acceptance_taken_back_ends_the_bracket_and_a_filled_order_stands() -> None:
    venue = a_venue()
    venue.submit(a_bracket("a"), at(0))
    venue.submit(a_bracket("b", symbol="BBB"), at(0))
    venue.reject("a-e", at(0), "no")
    feed(venue, flat(0, 99, symbol="BBB"))

    venue.reject("b-e", at(1), "no")

    assert said(venue, "a-e") == [ExecType.NEW, ExecType.REJECTED]
    assert {order.client_order_id for order in venue.open_orders()} == {"b-s", "b-t"}
    order = venue.order("b-e")
    assert order is not None
    assert order.status is OrdStatus.FILLED
