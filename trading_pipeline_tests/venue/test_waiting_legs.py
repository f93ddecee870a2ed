"""A house where a bracket's legs work once the whole entry is filled, and not before."""

from __future__ import annotations

from decimal import Decimal

from trading_pipeline.domain.orders import ExecType, OrdStatus
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.builders import (
    FREE,
    SESSION,
    a_bar,
    a_bracket,
    an_oco,
    at,
    feed,
    flat,
    said,
    trades,
)

WAITING = FREE.model_copy(update={"legs_wait_for_whole_entry": True})


def entered(*, volume: int) -> SimulatedVenue:
    """A bracket of 100 at 100, stop 95, target 110, entered in minute 0 as far as the volume goes."""
    venue = SimulatedVenue(None, WAITING)
    venue.submit(a_bracket(), at(0))
    feed(venue, flat(0, 99, volume=volume))
    return venue


def test_e23_a_partly_filled_entry_is_not_protected_by_its_legs() -> None:
    venue = entered(volume=400)

    feed(venue, a_bar(1, 94, 94, 93, 94, volume=0), a_bar(2, 94, 120, 93, 94, volume=400))

    assert trades(venue) == [("b-e", 40, "99"), ("b-e", 40, "94")]


def test_legs_work_from_the_bar_that_fills_the_last_share() -> None:
    venue = entered(volume=400)

    feed(venue, a_bar(1, 99, 99, 94, 96))

    assert trades(venue) == [("b-e", 40, "99"), ("b-e", 60, "99"), ("b-s", 100, "95")]


def test_a_target_waits_one_bar_longer() -> None:
    venue = entered(volume=400)

    feed(venue, a_bar(1, 99, 120, 99, 115), flat(2, 115))

    assert trades(venue)[-1] == ("b-t", 100, "115")
    assert len(trades(venue)) == 3


def test_e23_legs_end_with_an_entry_that_ends_partly_filled_and_its_shares_are_free() -> None:
    canceled, expired = entered(volume=400), entered(volume=400)

    canceled.cancel("b-e", at(1))
    expired.on_session_close(SESSION)

    for venue in (canceled, expired):
        assert said(venue, "b-s") == said(venue, "b-t") == [ExecType.NEW, ExecType.CANCELED]
        assert venue.book().sellable("AAA") == Decimal(40)
    canceled.submit(an_oco(quantity=40), at(1))
    assert [order.client_order_id for order in canceled.open_orders()] == ["o-s", "o-t"]


def test_a_whole_entry_protects_as_everywhere() -> None:
    venue = entered(volume=1_000_000)

    feed(venue, flat(1, 94))

    assert trades(venue) == [("b-e", 100, "99"), ("b-s", 100, "94")]
    order = venue.order("b-t")
    assert order is not None
    assert order.status is OrdStatus.CANCELED
