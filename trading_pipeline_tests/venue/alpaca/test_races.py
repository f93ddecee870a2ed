"""Cancels that a fill may beat, and stops that come back as another order, where the door's rules say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.alpaca.doors import ALPACA, GENEROUS, Desk, a_desk, an_alpaca_door, leg_ids, refused
from trading_pipeline_tests.venue.alpaca.test_stream import ENTRY_NEWS, an_ear

SLOW = GENEROUS.model_copy(update={"cancels_wait_for_bars": True})
RENEWING = GENEROUS.model_copy(update={"triggered_stops_are_new_orders": True})


@pytest.fixture
def desk() -> Iterator[Desk]:
    with a_desk(rules=SLOW) as desk:
        yield desk


def test_a_cancel_that_was_taken_is_carried_out_after_the_next_bars(desk: Desk) -> None:
    with an_ear(desk) as ear:
        order = desk.post()
        desk.raw.delete(f"/orders/{order['id']}")
        assert desk.statuses(order["id"]) == ["pending_cancel"]

        desk.trade(101)
        ear.has_heard(4)

    assert desk.statuses(order["id"]) == ["canceled"]
    assert ear.events == [*ENTRY_NEWS, "pending_cancel", "canceled"]
    assert desk.doors.door.orders.pending_cancels() == []


def test_a_fill_beats_a_cancel_that_was_taken(desk: Desk) -> None:
    with an_ear(desk) as ear:
        order = desk.post()
        desk.raw.delete(f"/orders/{order['id']}")

        desk.trade(99)
        ear.has_heard(4)

    assert desk.statuses(order["id"]) == ["filled"]
    assert ear.events == [*ENTRY_NEWS, "pending_cancel", "fill"]


def test_what_a_bar_did_not_fill_ends_with_what_it_did(desk: Desk) -> None:
    order = desk.post()
    desk.raw.delete(f"/orders/{order['id']}")

    desk.trade(99, volume=400)

    told = desk.order(order["id"])
    assert (told["status"], told["filled_qty"]) == ("canceled", "40")


def test_an_order_waiting_for_its_cancel_is_open_and_takes_no_change(desk: Desk) -> None:
    order = desk.post()
    for _ in range(2):
        desk.raw.delete(f"/orders/{order['id']}")

    assert [one["status"] for one in desk.listed()] == ["pending_cancel"]
    with refused(422, 42210000, "cannot replace order in pending_cancel status"):
        desk.raw.patch(f"/orders/{order['id']}", {"limit_price": "101"})


def test_a_bracket_waits_for_its_cancel_as_one(desk: Desk) -> None:
    bracket = desk.bracket()
    desk.trade(99)

    desk.raw.delete(f"/orders/{leg_ids(bracket)[1]}")
    assert desk.statuses(*leg_ids(bracket)) == ["new", "pending_cancel"]
    desk.trade(99)

    assert desk.statuses(*leg_ids(bracket)) == ["canceled", "canceled"]


def test_a_cancel_that_was_taken_outlives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "venue.sqlite3"
    with closing(SimulatedVenue(path, ALPACA)) as venue, an_alpaca_door(venue, rules=SLOW) as doors:
        desk = Desk(doors)
        order = desk.post()
        desk.raw.delete(f"/orders/{order['id']}")
        before = desk.order(order["id"])

    with closing(SimulatedVenue(path, ALPACA)) as venue, an_alpaca_door(venue, rules=SLOW) as doors:
        desk = Desk(doors)
        assert desk.order(order["id"]) == before
        desk.trade(101)
        assert desk.statuses(order["id"]) == ["canceled"]


def test_a_stop_that_triggers_may_come_back_as_a_new_order() -> None:
    with a_desk(rules=RENEWING) as desk, an_ear(desk) as ear:
        target, stop = leg_ids(desk.bracket())
        desk.trade(99)
        desk.trade(94)
        ear.has_heard(8)

        old = desk.order(stop)
        new = desk.order(old["replaced_by"])
        assert (old["status"], new["status"], new["replaces"]) == ("replaced", "filled", stop)
        assert desk.statuses(target) == ["canceled"]
        assert ear.events == [*ENTRY_NEWS, "fill", "new", "replaced", "new", "fill", "canceled"]


def test_a_stop_that_came_back_keeps_the_names_of_later_replacements() -> None:
    with a_desk(rules=RENEWING) as desk:
        _, stop = leg_ids(desk.bracket(stop_loss={"stop_price": "95", "limit_price": "90"}))
        desk.trade(99)
        desk.trade(94, volume=400)
        running = desk.order(desk.order(stop)["replaced_by"])

        left = desk.raw.patch(f"/orders/{running['id']}", {"limit_price": "89", "client_order_id": "mine"})

        assert (running["status"], running["filled_qty"]) == ("partially_filled", "40")
        assert (left["client_order_id"], left["replaces"]) == ("mine", running["id"])
