"""Doors of one process share a time that never goes back, hear every report once, and protection is watched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from trading_pipeline.domain.orders import ExecutionReport, OrderType, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.hub import Hub, VenueTime
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, an_order, flat


def a_hub() -> Hub:
    return Hub(SimulatedVenue(None, VenueRules()), VenueTime(SESSION.opens_at))


def trade(hub: Hub, minute: int, price: int) -> None:
    bar = flat(minute, price)
    hub.on_bars([bar], bar.end_at)


def test_time_moves_with_the_bars_and_never_goes_back() -> None:
    hub = a_hub()
    trade(hub, 0, 99)

    hub.time.advance(SESSION.opens_at)

    assert hub.time.now() == flat(0, 99).end_at


def test_a_running_clock_drives_the_time_and_a_step_back_of_it_does_not() -> None:
    instants = iter([SESSION.opens_at + timedelta(seconds=s) for s in (5, 1, 6)])
    time = VenueTime(SESSION.opens_at, lambda: next(instants))

    assert [(time.now() - SESSION.opens_at).seconds for _ in range(3)] == [5, 5, 6]


def test_each_listener_hears_each_report_once_in_order() -> None:
    hub, heard = a_hub(), list[ExecutionReport]()
    end = hub.hear_reports(heard.extend)

    hub.call(lambda venue, now: venue.submit(a_bracket(), now))
    trade(hub, 0, 99)
    assert heard == list(hub.venue.execution_reports(SESSION.opens_at))
    end()
    trade(hub, 1, 94)

    assert len(heard) < len(hub.venue.execution_reports(SESSION.opens_at))


def test_a_venue_opened_again_goes_on_from_its_last_instant() -> None:
    hub = a_hub()
    trade(hub, 3, 99)

    assert Hub(hub.venue).time.now() == flat(3, 99).end_at


def test_a_bracket_leaves_no_gap_and_a_bare_buy_does() -> None:
    covered, bare = a_hub(), a_hub()
    covered.call(lambda venue, now: venue.submit(a_bracket(), now))
    bare.call(lambda venue, now: venue.submit(an_order("buy", Side.BUY, OrderType.LIMIT, limit=100), now))
    for hub in (covered, bare):
        trade(hub, 0, 99)
        trade(hub, 1, 99)

    assert covered.cover.gaps == ()
    (gap,) = bare.cover.gaps
    assert (gap.symbol, gap.shares, gap.since, gap.until) == ("AAA", Decimal(100), flat(0, 99).end_at, None)


def test_a_gap_ends_when_the_shares_are_sold_and_lasts_as_long_as_it_did() -> None:
    hub = a_hub()
    hub.call(lambda venue, now: venue.submit(an_order("buy", Side.BUY, OrderType.LIMIT, limit=100), now))
    trade(hub, 0, 99)
    hub.call(lambda venue, now: venue.submit(an_order("sell", Side.SELL, OrderType.LIMIT, limit=98), now))

    trade(hub, 1, 99)

    (gap,) = hub.cover.gaps
    assert gap.until == flat(1, 99).end_at
    assert gap.seconds(hub.time.now()) == 60


def test_shares_that_are_sold_at_the_next_price_are_covered_and_those_that_wait_for_an_auction_are_not() -> None:
    assert gaps_while_sold(TimeInForce.DAY) == 0
    assert gaps_while_sold(TimeInForce.CLS) == 1


def gaps_while_sold(life: TimeInForce) -> int:
    hub, sale = a_hub(), replace(an_order("sell", Side.SELL), time_in_force=life)
    hub.call(lambda venue, _: venue.on_session_open(SESSION, {}, {}))
    hub.call(lambda venue, now: venue.submit(an_order("buy", Side.BUY, OrderType.LIMIT, limit=100), now))
    trade(hub, 0, 99)
    hub.call(lambda venue, now: venue.submit(sale, now))
    trade(hub, 1, 99)
    return len(hub.cover.gaps)
