"""Orders that join others on the book, what doors remember with them, and fills at another price."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.domain.errors import InputError, OrderRefused
from trading_pipeline.domain.orders import ExecType, Leg, OrderRequest, OrderType, OrdStatus, Side
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.builders import FREE, a_bracket, a_venue, an_order, at, feed, flat, trades

BUY = an_order("e", Side.BUY, OrderType.LIMIT, limit=100)
STOP = an_order("s", Side.SELL, OrderType.STOP, stop=95, leg=Leg.STOP)
TARGET = an_order("t", Side.SELL, OrderType.LIMIT, limit=110, leg=Leg.TARGET)


def at_100() -> SimulatedVenue:
    venue = a_venue()
    feed(venue, flat(0, 100))
    return venue


def holding(shares: int = 100) -> SimulatedVenue:
    """A venue that holds so many."""
    venue = at_100()
    venue.submit(an_order("before", Side.BUY, quantity=shares), at(1))
    feed(venue, flat(1, 100))
    return venue


def test_legs_that_join_an_entry_are_its_bracket() -> None:
    venue, whole = at_100(), at_100()
    venue.submit(BUY, at(1))
    venue.join("e", STOP, at(1))
    venue.join("e", TARGET, at(1))
    bracket = a_bracket()
    whole.submit(bracket, at(1))

    for each in (venue, whole):
        feed(each, flat(1, 99), flat(2, 111))

    assert [fill[1:] for fill in trades(venue)] == [fill[1:] for fill in trades(whole)] == [(100, "99"), (100, "111")]
    assert venue.open_orders() == whole.open_orders() == ()


def test_a_leg_that_joins_a_filled_entry_covers_what_it_bought() -> None:
    venue = at_100()
    venue.submit(BUY, at(1))
    feed(venue, flat(1, 99, volume=400))
    venue.cancel("e", at(2))

    venue.join("e", STOP, at(2))

    (stop,) = venue.open_orders()
    assert (int(stop.quantity), stop.parent_id) == (40, "e")


def test_two_sells_that_join_end_one_another() -> None:
    venue = holding()
    venue.submit(TARGET, at(2))
    venue.join("t", STOP, at(2))

    feed(venue, flat(2, 94))

    assert trades(venue)[1:] == [("s", 100, "94")]
    assert venue.open_orders() == ()


@pytest.mark.parametrize(
    ("reason", "prepare"),
    [
        ("no order", lambda venue: venue.join("nobody", STOP, at(2))),
        ("a stop, or a stop and a target", lambda venue: _after(venue, BUY, "e", TARGET)),
        ("a stop, or a stop and a target", lambda venue: _after(venue, STOP, "s", _renamed("s2"))),
        ("agree in symbol", lambda venue: _after(venue, TARGET, "t", _renamed("s3", quantity=50))),
        ("rise from stop", lambda venue: _after(venue, TARGET, "t", _renamed("s4", stop=120))),
        ("agree in symbol", lambda venue: _after(venue, BUY, "e", _renamed("s5", quantity=50))),
        ("has ended", lambda venue: _after(venue, BUY, "e", STOP, cancelled=True)),
    ],
)
def test_what_makes_no_family_is_refused_and_the_other_stays(
    reason: str, prepare: Callable[[SimulatedVenue], None]
) -> None:
    venue = holding()

    with pytest.raises(OrderRefused, match=reason):
        prepare(venue)

    assert len(venue.open_orders()) <= 1


def _after(
    venue: SimulatedVenue, first: OrderRequest, name: str, second: OrderRequest, *, cancelled: bool = False
) -> None:
    venue.submit(first, at(2))
    if cancelled:
        venue.cancel(name, at(2))
    venue.join(name, second, at(2))


def _renamed(name: str, *, stop: int = 95, quantity: int = 100) -> OrderRequest:
    return an_order(name, Side.SELL, OrderType.STOP, stop=stop, quantity=quantity, leg=Leg.STOP)


def test_a_leg_finds_no_shares_where_its_entrys_are_for_sale_already() -> None:
    venue = at_100()
    venue.submit(BUY, at(1))
    feed(venue, flat(1, 99))
    venue.submit(an_order("x", Side.SELL, quantity=100, leg=Leg.EXIT), at(2))

    with pytest.raises(OrderRefused, match="0 shares are free"):
        venue.join("e", STOP, at(2))


def test_what_a_door_remembers_is_on_disk_with_the_order(tmp_path: Path) -> None:
    path = tmp_path / "venue.db"
    venue = SimulatedVenue(path, FREE)
    feed(venue, flat(0, 100))
    venue.submit(BUY, at(1), {"x:1": {"ref": "one"}})
    venue.join("e", STOP, at(1), {"x:2": ["two"]})
    venue.note({"x:3": 3})
    with pytest.raises(OrderRefused):
        venue.submit(an_order("big", Side.BUY, quantity=10**6), at(1), {"x:4": "refused"})

    again = SimulatedVenue(path, FREE)  # nobody closed the first: what a kill leaves

    facts = again.book().facts
    assert [facts[f"x:{number}"] for number in (1, 2, 3, 4)] == [{"ref": "one"}, ["two"], 3, "refused"]
    assert again.open_orders() == venue.open_orders()


def test_a_corrected_fill_moves_cash_and_cost_by_the_difference() -> None:
    venue = holding()
    (filled,) = (report for report in venue.reports if report.exec_type is ExecType.TRADE)

    venue.correct(filled.exec_id, Decimal(101), at(3))
    venue.correct(filled.exec_id, Decimal("100.5"), at(3))

    last = venue.reports[-1]
    assert (last.exec_type, last.last_px, last.ref_exec_id) == (
        ExecType.TRADE_CORRECT,
        Decimal("100.5"),
        filled.exec_id,
    )
    assert venue.account().cash_usd == 100_000 - 10_050
    assert [held.avg_px for held in venue.positions()] == [Decimal("100.5")]


def test_a_corrected_sale_moves_cash_only() -> None:
    venue = holding()
    venue.submit(an_order("x", Side.SELL, quantity=60, leg=Leg.EXIT), at(2))
    feed(venue, flat(2, 110))

    venue.correct(venue.reports[-1].exec_id, Decimal(109), at(3))

    assert venue.account().cash_usd == 100_000 - 10_000 + 60 * 109
    assert [held.avg_px for held in venue.positions()] == [Decimal(100)]
    order = venue.order("x")
    assert order is not None
    assert order.status is OrdStatus.FILLED


@pytest.mark.parametrize(("exec_id", "price"), [("nobody", 1), ("before-1", 1), ("before-2", 0), ("before-2", "NaN")])
def test_what_was_no_fill_cannot_be_corrected(exec_id: str, price: str | int) -> None:
    venue = holding()
    before = venue.account()

    with pytest.raises(InputError):
        venue.correct(exec_id, Decimal(price), at(3))

    assert venue.account() == before
