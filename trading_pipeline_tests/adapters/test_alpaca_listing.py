"""One order nobody can read silences no other; fills that are listed out of turn are asked for within seconds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

import pytest

from trading_pipeline.adapters.brokers.alpaca.listing import Listing
from trading_pipeline.adapters.brokers.alpaca.reports import reports_of
from trading_pipeline.adapters.brokers.alpaca.rest import AlpacaRest
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.orders import ExecType
from trading_pipeline_tests.venue.builders import at


def a_row(venue_id: str, **changes: Any) -> dict[str, Any]:
    """An order of others."""
    return {
        "id": venue_id, "client_order_id": f"theirs-{venue_id}", "symbol": "AAA", "side": "buy", "type": "limit",
        "time_in_force": "day", "status": "new", "qty": "10", "filled_qty": "0", "limit_price": "99",
        "submitted_at": at(0).isoformat(), "legs": None,
    } | changes  # fmt: skip


def a_fill(order_id: str, exec_id: str, shares: int) -> dict[str, Any]:
    return {
        "id": f"20250610::{exec_id}", "order_id": order_id, "symbol": "AAA", "qty": str(shares), "price": "99",
        "transaction_time": at(1).isoformat(),
    }  # fmt: skip


class Rest:
    """Answers as Alpaca would. Has the part of AlpacaRest that listing uses."""

    def __init__(self, orders: list[dict[str, Any]], fills: list[dict[str, Any]]) -> None:
        self.orders, self.fills, self.fills_asked = orders, fills, 0

    def rows(self, path: str, what: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:  # noqa: ARG002
        return self.orders

    def activities(self, path: str, what: str, query: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:  # noqa: ARG002
        self.fills_asked += 1
        yield from self.fills

    def found(self, path: str, what: str, query: Mapping[str, Any] | None = None) -> dict[str, Any] | None:  # noqa: ARG002
        return next((row for row in self.orders if path.endswith(str(row["id"]))), None)


def a_listing(rest: Rest, clock: FixedClock) -> Listing:
    return Listing(cast("AlpacaRest", rest), VenueIds(None), clock)


def test_an_order_nobody_can_read_is_said_and_its_fill_comes_under_alpacas_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    many_legs = a_row("M", symbol="", side="", status="filled", filled_qty="1")
    rest, clock = Rest([many_legs, a_row("A", status="filled", filled_qty="10")], []), FixedClock(at(2))
    rest.fills = [a_fill("M", "e1", 1), a_fill("A", "e2", 10)]
    listing = a_listing(rest, clock)

    for _ in range(2):
        listing.look(at(0))
        listing.look_at_fills(at(0))

    said = reports_of(listing.book, listing.fills, VenueIds(None))
    trades = {report.client_order_id: report.last_qty for report in said if report.exec_type is ExecType.TRADE}
    assert trades == {"M": 1, "theirs-A": 10}
    assert any(record.levelno == logging.CRITICAL and "nobody can read" in record.message for record in caplog.records)


def test_a_working_order_that_cannot_be_read_any_more_stays_as_it_was_told() -> None:
    rest, clock = Rest([a_row("A"), a_row("B")], []), FixedClock(at(2))
    listing = a_listing(rest, clock)
    listing.look(at(0))
    rest.orders = [a_row("A", symbol=None), a_row("B", status="canceled")]

    listing.look(at(0))

    words = {order.venue_id: order.word for order in listing.book.orders()}
    assert words == {"A": "new", "B": "canceled"}


def test_a_fill_listed_out_of_turn_is_asked_for_again_within_seconds() -> None:
    rest, clock = Rest([a_row("A", status="filled", filled_qty="10")], []), FixedClock(at(2))
    listing = a_listing(rest, clock)
    asked = []
    for _ in range(4):
        listing.look(at(0))
        listing.look_at_fills(at(0))
        asked.append(rest.fills_asked)
        clock.sleep_until(clock.now() + timedelta(seconds=2.5))

    assert asked == [2, 3, 5, 6]  # what is new each time, and every five seconds all since the order


def test_a_fill_of_an_order_that_was_replaced_is_missed_although_its_replacement_has_had_as_many() -> None:
    chain = [
        a_row("A", status="replaced", filled_qty="4", replaced_by="B"),
        a_row("B", filled_qty="6", replaces="A", status="filled", client_order_id="theirs-A~1"),
    ]
    rest, clock = Rest(chain, [a_fill("B", "e2", 6)]), FixedClock(at(2))
    listing = a_listing(rest, clock)
    listing.look(at(0))
    assert len(listing.book.chain("theirs-A")) == 2
    asked_before = rest.fills_asked

    listing.look_at_fills(at(0))

    assert rest.fills_asked - asked_before == 2
