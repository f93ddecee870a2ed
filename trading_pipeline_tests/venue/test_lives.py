"""How long orders live: at once, whole or not at all, in the auctions; and stops that follow the price."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.orders import ExecType, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline_tests.venue.builders import (
    FREE,
    OPEN,
    SESSION,
    a_bar,
    a_venue,
    an_order,
    at,
    feed,
    flat,
    reports,
    said,
    trades,
)

NEW, TRADE, CANCELED, EXPIRED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED, ExecType.EXPIRED
BUY, SELL = Side.BUY, Side.SELL
LIMIT, STOP, TRAILING = OrderType.LIMIT, OrderType.STOP, OrderType.TRAILING_STOP
LAST = 389


def opened(*, holding: int = 0, venue: SimulatedVenue | None = None) -> SimulatedVenue:
    """A venue that knows the session's hours; shares held were bought the evening before, at 100."""
    venue = venue or a_venue()
    if holding:
        venue.submit(an_order("held", BUY, LIMIT, limit=100, quantity=holding), at(-100))
        feed(venue, flat(-99, 100))
    venue.on_session_open(SESSION, {}, {})
    return venue


def test_ioc_takes_what_the_first_bar_gives_and_no_more() -> None:
    venue = a_venue()
    venue.submit(an_order("i", BUY, LIMIT, limit=100, time_in_force=TimeInForce.IOC), at(0))

    feed(venue, flat(0, 99, volume=300), flat(1, 99))

    assert trades(venue) == [("i", 30, "99")]
    assert said(venue, "i") == [NEW, TRADE, CANCELED]


def test_ioc_that_meets_no_price_is_canceled_after_its_first_whole_bar() -> None:
    venue = a_venue()
    venue.submit(an_order("i", BUY, LIMIT, limit=90, time_in_force=TimeInForce.IOC), at(0) + timedelta(seconds=30))

    feed(venue, flat(0, 80))  # began before the order came
    assert said(venue, "i") == [NEW]
    feed(venue, flat(1, 95), flat(2, 80))

    assert said(venue, "i") == [NEW, CANCELED]


@pytest.mark.parametrize(("volume", "bought"), [(999, []), (1000, [("f", 100, "99")])])
def test_fok_is_filled_whole_or_not_at_all(volume: int, bought: list[tuple[str, int, str]]) -> None:
    venue = a_venue()
    venue.submit(an_order("f", BUY, LIMIT, limit=100, time_in_force=TimeInForce.FOK), at(0))

    feed(venue, flat(0, 99, volume=volume), flat(1, 99))

    assert trades(venue) == bought
    assert venue.open_orders() == ()


def test_fok_that_a_gap_makes_too_dear_buys_nothing() -> None:
    venue = a_venue(FREE.model_copy(update={"initial_cash_usd": Decimal(10_600)}))
    feed(venue, flat(0, 100))
    venue.submit(an_order("f", BUY, time_in_force=TimeInForce.FOK), at(1))

    feed(venue, flat(1, 200))

    assert said(venue, "f") == [NEW, CANCELED]


def test_an_opening_order_trades_at_the_open_of_the_first_bar_only() -> None:
    venue = a_venue()
    venue.on_session_open(SESSION, {}, {})
    for name, limit in (("in", 100), ("out", 98)):
        venue.submit(an_order(name, BUY, LIMIT, limit=limit, time_in_force=TimeInForce.OPG), at(-30))

    feed(venue, a_bar(2, 99, 105, 90, 104), flat(3, 90))

    assert trades(venue) == [("in", 100, "99")]
    assert said(venue, "out") == [NEW, EXPIRED]


def test_an_opening_order_after_the_open_is_refused_and_after_the_close_is_for_tomorrow() -> None:
    venue = opened()

    with pytest.raises(OrderRefused, match=r"opening auction of .* is over"):
        venue.submit(an_order("late", BUY, LIMIT, limit=10, time_in_force=TimeInForce.OPG), at(0))
    venue.submit(an_order("next", BUY, LIMIT, limit=10, time_in_force=TimeInForce.OPG), SESSION.closes_at)

    assert said(venue, "next") == [NEW]


def test_a_closing_order_trades_at_the_close_of_the_last_bar_only() -> None:
    venue = opened()
    for name, limit in (("in", 100), ("out", 98)):
        venue.submit(an_order(name, BUY, LIMIT, limit=limit, time_in_force=TimeInForce.CLS), at(5))

    feed(venue, flat(5, 50), a_bar(LAST, 101, 103, 97, 99))
    venue.on_session_close(SESSION)

    assert trades(venue) == [("in", 100, "99")]
    assert said(venue, "out") == [NEW, EXPIRED]


def test_an_auction_pays_slippage_but_never_beyond_the_limit() -> None:
    venue = opened(venue=a_venue(FREE.model_copy(update={"slippage_fraction": Decimal("0.01")})))
    venue.submit(an_order("m", BUY, LIMIT, limit=200, time_in_force=TimeInForce.CLS), at(0))
    venue.submit(an_order("l", BUY, LIMIT, limit="100.5", time_in_force=TimeInForce.CLS), at(0))

    feed(venue, flat(LAST, 100))

    assert trades(venue) == [("m", 100, "101"), ("l", 100, "100.5")]


@pytest.mark.parametrize("life", [TimeInForce.OPG, TimeInForce.CLS])
def test_an_auction_takes_no_stops(life: TimeInForce) -> None:
    with pytest.raises(OrderRefused, match="an auction takes MARKET and LIMIT"):
        opened().submit(an_order("s", BUY, STOP, stop=110, time_in_force=life), at(-1))


def test_what_is_not_gtc_ends_with_the_session() -> None:
    venue = opened(holding=10)
    lives = [life for life in TimeInForce if life is not TimeInForce.OPG]
    for life in lives:
        venue.submit(an_order(life, BUY, LIMIT, limit=10, quantity=1, time_in_force=life), at(1))

    venue.on_session_close(SESSION)

    assert [order.client_order_id for order in venue.open_orders()] == [TimeInForce.GTC]


def test_a_trailing_stop_follows_closes_up_never_down_and_takes_effect_in_the_next_bar() -> None:
    venue = opened(holding=100)
    venue.submit(an_order("t", SELL, TRAILING, trail=2, stop=98), at(0))

    feed(venue, a_bar(0, 100, 120, "98.01", 105))  # the high is no close, and its own low meets the old stop
    assert stop_of(venue) == 103
    feed(venue, flat(1, "103.5"))
    assert stop_of(venue) == 103
    feed(venue, a_bar(2, 104, 104, 102, 102))

    assert trades(venue)[1:] == [("t", 100, "103")]


def test_a_trailing_stop_without_a_stop_starts_at_the_last_price_else_at_the_first_close() -> None:
    known, unknown = opened(holding=100), a_venue()
    known.submit(an_order("t", SELL, TRAILING, trail="1.005"), at(0))
    unknown.submit(an_order("t", BUY, TRAILING, trail=2, stop=120), at(0))

    assert stop_of(known) == Decimal("98.99")  # on the tick, away from the price
    feed(unknown, flat(0, 110))
    assert stop_of(unknown) == 112


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("needs a trail amount", {"order_type": TRAILING}),
        ("takes no trail amount", {"order_type": STOP, "stop": 90, "trail": 1}),
        ("must be above zero", {"order_type": TRAILING, "trail": "NaN"}),
        ("must be above zero", {"order_type": TRAILING, "trail": 0}),
        ("takes no limit", {"order_type": TRAILING, "trail": 1, "limit": 90}),
    ],
)
def test_a_trailing_stop_without_a_true_distance_is_refused(reason: str, changes: dict[str, object]) -> None:
    with pytest.raises(OrderRefused, match=reason):
        opened(holding=100).submit(an_order("t", SELL, **changes), at(0))  # type: ignore[arg-type]


def test_a_cancel_or_replace_that_came_too_late_may_be_refused_by_a_report() -> None:
    venue = a_venue(FREE.model_copy(update={"refuses_by_report": True}))
    venue.submit(an_order("o", BUY, LIMIT, limit=100), at(0))
    feed(venue, flat(0, 99))

    venue.cancel("o", at(1))
    venue.replace("o", at(1), None, Decimal(98))

    assert said(venue, "o") == [NEW, TRADE, ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED]
    assert [report.text for report in reports(venue)][2:] == ["it has ended (Filled)"] * 2
    order = venue.order("o")
    assert order is not None
    assert order.status is OrdStatus.FILLED


def test_the_open_is_the_sessions_own() -> None:
    half = type(SESSION)(SESSION.session, OPEN, at(210))
    venue = a_venue()
    venue.on_session_open(half, {}, {})
    venue.submit(an_order("c", BUY, LIMIT, limit=100, time_in_force=TimeInForce.CLS), at(0))

    feed(venue, flat(209, 99))

    assert trades(venue) == [("c", 100, "99")]


def stop_of(venue: SimulatedVenue) -> Decimal | None:
    order = venue.order("t")
    assert order is not None
    return order.stop_price
