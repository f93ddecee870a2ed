"""Laws of what Alpaca's door tells of orders, over random days at the venue."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.domain.orders import ExecType, OrdStatus
from trading_pipeline.venue.alpaca.model import CANCELED, EXPIRED, FILLED, HELD, PARTLY, REJECTED, News
from trading_pipeline.venue.alpaca.orders import Orders
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.venue.alpaca.doors import new_york
from trading_pipeline_tests.venue.random_days import Step, days, play

HOUSES = [VenueRules(), VenueRules(legs_wait_for_whole_entry=True)]
STATUSES = {
    FILLED: {OrdStatus.FILLED}, PARTLY: {OrdStatus.PARTIALLY_FILLED}, CANCELED: {OrdStatus.CANCELED},
    EXPIRED: {OrdStatus.EXPIRED}, REJECTED: {OrdStatus.REJECTED}, HELD: {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED},
    "new": {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED}, "accepted": {OrdStatus.NEW},
}  # fmt: skip
on_random_days = given(steps=days(acts=True), house=st.sampled_from(HOUSES))
quick = settings(deadline=None, max_examples=25)


def heard(steps: list[Step], house: VenueRules) -> tuple[SimulatedVenue, Orders, list[News]]:
    """A day heard as it happened."""
    start = SimulatedVenue(None, house)
    orders, news, count = Orders(start, new_york()), list[News](), [0]

    def listen(venue: SimulatedVenue) -> SimulatedVenue:
        news.extend(orders.hear(venue.reports[count[0] :]))
        count[0] = len(venue.reports)
        return venue

    return play(start, steps, listen), orders, news


@on_random_days
@quick
def test_who_reads_the_record_later_knows_what_was_heard_at_the_time(steps: list[Step], house: VenueRules) -> None:
    venue, orders, _ = heard(steps, house)

    again = Orders(venue, new_york())

    assert again.all() == orders.all()
    assert again.executions == orders.executions


@on_random_days
@quick
def test_the_newest_of_each_chain_stands_as_the_engines_order(steps: list[Step], house: VenueRules) -> None:
    venue, orders, _ = heard(steps, house)

    for name, ticket in venue.book().tickets.items():
        if ticket.was_on_book:
            told = orders.current(name)
            assert ticket.status in STATUSES[told.status], (told, ticket.status)
            assert (told.quantity, told.filled) == (ticket.quantity, ticket.cum_qty)
            if ticket.trail_amount is None:
                terms = ticket.terms[-1]
                assert (told.limit_price, told.stop_price) == (terms.limit_price, terms.stop_price)


@on_random_days
@quick
def test_ids_are_unique_and_chains_are_linked_both_ways(steps: list[Step], house: VenueRules) -> None:
    _, orders, _ = heard(steps, house)

    told = orders.all()
    assert len({order.id for order in told}) == len({order.client_order_id for order in told}) == len(told)
    for order in told:
        after = orders.get(order.replaced_by or "")
        assert (order.status == "replaced") == (after is not None)
        assert after is None or after.replaces == order.id


@on_random_days
@quick
def test_every_fill_is_told_once_and_every_end_unless_the_order_was_held(steps: list[Step], house: VenueRules) -> None:
    venue, orders, news = heard(steps, house)

    events = Counter(one.event for one in news)
    kinds = Counter(report.exec_type for report in venue.reports)
    assert events["fill"] + events["partial_fill"] == kinds[ExecType.TRADE] == len(orders.executions)
    assert events["canceled"] <= kinds[ExecType.CANCELED]
    ids = [one.execution["execution_id"] for one in news if one.execution]
    assert len(set(ids)) == len(ids)
    assert [one.at for one in news] == sorted(one.at for one in news)


@given(steps=days(acts=True))
@quick
def test_where_legs_wait_none_sells_before_its_entry_is_whole(steps: list[Step]) -> None:
    venue, orders, _ = heard(steps, HOUSES[1])

    book = venue.book()
    for done in orders.executions:
        ticket = book.tickets[done.order.engine_id]
        if ticket.entry_id is not None:
            assert book.tickets[ticket.entry_id].status is OrdStatus.FILLED


@pytest.mark.parametrize("house", HOUSES)
def test_nothing_sent_is_nothing_told(house: VenueRules) -> None:
    assert Orders(SimulatedVenue(None, house), new_york()).all() == ()
