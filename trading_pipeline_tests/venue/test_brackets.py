"""Brackets: legs live with the entry's fills, one cancels the other, and nothing oversells."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.orders import BracketRequest, ExecType, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.builders import (
    SESSION,
    a_bar,
    a_bracket,
    a_venue,
    an_order,
    at,
    feed,
    flat,
    reports,
    said,
    trades,
)

NEW, TRADE, CANCELED, REPLACED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED, ExecType.REPLACED


def entered(*, volume: int = 1_000_000, legs: TimeInForce = TimeInForce.DAY) -> SimulatedVenue:
    """A bracket of 100 at 100, stop 95, target 110, entered in minute 0 as far as the volume goes."""
    venue = a_venue()
    venue.submit(a_bracket(legs=legs), at(0))
    feed(venue, flat(0, 100, volume=volume))
    return venue


def status(venue: SimulatedVenue, client_order_id: str) -> OrdStatus:
    order = venue.order(client_order_id)
    assert order is not None
    return order.status


def test_e01_legs_are_on_the_book_before_the_entry_can_fill() -> None:
    venue = a_venue()
    venue.submit(a_bracket(), at(0))

    assert [order.client_order_id for order in venue.open_orders()] == ["b-e", "b-s", "b-t"]
    feed(venue, flat(0, 95))  # fills the entry, touches the stop, in the same bar
    assert [name for name, _, _ in trades(venue)] == ["b-e", "b-s"]


def test_the_stop_comes_before_the_target_inside_a_bar() -> None:
    venue = entered()

    feed(venue, a_bar(1, 100, 111, 94, 110))

    assert trades(venue) == [("b-e", 100, "100"), ("b-s", 100, "95")]
    assert said(venue, "b-t") == [NEW, CANCELED]


def test_the_bar_that_fills_the_entry_never_reaches_the_target() -> None:
    venue = a_venue()
    venue.submit(a_bracket(), at(0))

    feed(venue, a_bar(0, 100, 120, 99, 115))
    assert trades(venue) == [("b-e", 100, "100")]
    feed(venue, flat(1, 115))
    assert trades(venue)[1:] == [("b-t", 100, "115")]


def test_legs_do_nothing_before_the_entry_fills() -> None:
    venue = a_venue()
    venue.submit(a_bracket(entry=100), at(0))

    feed(venue, flat(0, 112), flat(1, 120))

    assert trades(venue) == []


def test_a_stop_that_is_gapped_through_fills_at_the_open() -> None:
    venue = entered()

    feed(venue, a_bar(1, 90, 96, 89, 95))

    assert trades(venue)[-1] == ("b-s", 100, "90")


def test_e23_legs_cover_what_the_entry_filled_and_follow_it_when_it_is_canceled() -> None:
    venue = entered(volume=400)

    venue.cancel("b-e", at(1))
    feed(venue, flat(1, 94))

    assert said(venue, "b-s") == [NEW, REPLACED, TRADE]
    assert [r.quantity for r in reports(venue) if r.exec_type is REPLACED] == [40, 40]
    assert trades(venue) == [("b-e", 40, "100"), ("b-s", 40, "94")]
    assert (status(venue, "b-s"), status(venue, "b-t")) == (OrdStatus.FILLED, OrdStatus.CANCELED)


def test_e23_an_entry_that_ends_unfilled_takes_its_legs_along() -> None:
    canceled, expired = a_venue(), a_venue()
    for venue in (canceled, expired):
        venue.submit(a_bracket(entry=90, stop=80, legs=TimeInForce.GTC), at(0))

    canceled.cancel("b-e", at(1))
    expired.on_session_close(SESSION)

    assert said(expired, "b-e") == [NEW, ExecType.EXPIRED]
    for venue in (canceled, expired):
        assert said(venue, "b-s") == said(venue, "b-t") == [NEW, CANCELED]
        assert venue.open_orders() == ()


def test_a_stop_that_triggers_cancels_the_rest_of_the_entry() -> None:
    venue = entered(volume=400)

    feed(venue, a_bar(1, 101, 102, 94, 99, volume=100), flat(2, 99))

    assert trades(venue) == [("b-e", 40, "100"), ("b-e", 10, "100"), ("b-s", 10, "95"), ("b-s", 40, "99")]
    assert (status(venue, "b-e"), status(venue, "b-s")) == (OrdStatus.CANCELED, OrdStatus.FILLED)
    assert venue.positions() == ()


def test_a_stop_that_triggers_without_volume_still_ends_the_buying() -> None:
    venue = entered(volume=400)

    feed(venue, a_bar(1, 101, 102, 94, 99, volume=9))
    assert said(venue, "b-e") == [NEW, TRADE, CANCELED]
    feed(venue, flat(2, 99))

    assert trades(venue) == [("b-e", 40, "100"), ("b-s", 40, "99")]


def test_a_partly_filled_leg_reduces_the_other() -> None:
    venue = entered()

    feed(venue, flat(1, 111, volume=300))
    stop = venue.order("b-s")
    assert stop is not None
    assert stop.quantity == 70
    feed(venue, flat(2, 94))

    assert trades(venue) == [("b-e", 100, "100"), ("b-t", 30, "111"), ("b-s", 70, "94")]
    assert (status(venue, "b-s"), status(venue, "b-t")) == (OrdStatus.FILLED, OrdStatus.CANCELED)


def test_e20_a_time_exit_replaces_the_target_while_the_stop_stays() -> None:
    venue = entered()

    with pytest.raises(OrderRefused, match="0 shares are free to sell"):
        venue.submit(an_order("exit", Side.SELL), at(1))
    venue.replace("b-t", at(1), None, Decimal(90))
    feed(venue, flat(1, 101))

    assert trades(venue)[-1] == ("b-t", 100, "101")  # the open, being better than 90
    assert said(venue, "b-s") == [NEW, CANCELED]
    assert venue.positions() == ()


def test_e21_a_trailed_stop_is_replaced_atomically_and_leaves_one_stop() -> None:
    venue = entered()

    venue.replace("b-s", at(1), Decimal(99), None)
    feed(venue, a_bar(1, 100, 100, "98.5", 99))

    assert said(venue, "b-s") == [NEW, REPLACED, TRADE]
    assert trades(venue)[-1] == ("b-s", 100, "99")
    assert said(venue, "b-t") == [NEW, CANCELED]


def test_e24_a_day_stop_expires_with_the_session_and_a_gtc_stop_protects_overnight() -> None:
    day, gtc = entered(), entered(legs=TimeInForce.GTC)

    for venue in (day, gtc):
        venue.on_session_close(SESSION)
        feed(venue, flat(1440, 80))

    assert said(day, "b-s") == [NEW, ExecType.EXPIRED]
    assert [position.quantity for position in day.positions()] == [100]
    assert trades(gtc)[-1] == ("b-s", 100, "80")


def broken_brackets() -> list[tuple[str, BracketRequest]]:
    whole = a_bracket()
    assert whole.target is not None
    return [
        ("three different ids", replace(whole, target=replace(whole.target, client_order_id="b-s"))),
        ("long only", replace(whole, entry=replace(whole.entry, side=Side.SELL))),
        ("symbol and quantity", replace(whole, stop=replace(whole.stop, quantity=Decimal(99)))),
        ("symbol and quantity", replace(whole, stop=replace(whole.stop, symbol="BBB"))),
        ("target a LIMIT", replace(whole, target=replace(whole.stop, client_order_id="b-t"))),
        ("rise from stop", a_bracket(stop=100)),
        ("rise from stop", a_bracket(target=100)),
        ("unprotected", replace(whole, entry=replace(whole.entry, time_in_force=TimeInForce.GTC))),
        ("b-s: .*needs a stop price", replace(whole, stop=replace(whole.stop, stop_price=None))),
    ]


@pytest.mark.parametrize(("reason", "bracket"), broken_brackets())
def test_a_bracket_that_does_not_protect_is_refused(reason: str, bracket: BracketRequest) -> None:
    venue = a_venue()

    with pytest.raises(OrderRefused, match=reason):
        venue.submit(bracket, at(0))

    assert venue.open_orders() == ()


def test_a_bracket_cannot_take_the_ids_of_another_order() -> None:
    venue = a_venue()
    venue.submit(an_order("b-s", Side.BUY, OrderType.LIMIT, limit=10), at(0))

    with pytest.raises(OrderRefused, match="leg id b-s is already in use"):
        venue.submit(a_bracket(), at(0))
