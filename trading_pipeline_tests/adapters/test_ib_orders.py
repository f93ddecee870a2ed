"""What leaves for TWS, as TWS reads it, and what is never sent. Mistakes an earlier system made have their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.remote import RemoteBroker
from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.orders import ExecType, OrderType, OrdStatus, Side, TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.tws.orders import WireOrder
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline_tests.adapters.ib_worlds import IbWorld, until
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, bought, held, said, status_of
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, an_oco, an_order
from trading_pipeline_tests.venue.tws.doors import a_tws_door

RULES = TwsDoorRules(messages_per_second=1_000, account="DU1234567", symbols=frozenset({"AAA", "BRK.B"}))


@pytest.fixture
def far(tmp_path: Path) -> Iterator[IbWorld]:
    venue = SimulatedVenue(None, VenueRules())
    with a_tws_door(venue, rules=RULES) as doors:
        world = IbWorld(doors, venue, tmp_path)
        try:
            yield world
        finally:
            world.broker.close()


def wired(world: IbWorld, client_order_id: str) -> WireOrder:
    """An order as TWS read it from the wire."""
    (found,) = (one for one in world.doors.door.desk.orders if one.terms.order_ref == client_order_id)
    return found


def test_e1_a_brackets_entry_is_not_transmitted_before_its_legs(far: IbWorld) -> None:
    far.broker.submit(a_bracket())

    assert [wired(far, name).terms.transmit for name in ("b-e", "b-s", "b-t")] == [False, False, True]


def test_e2_legs_name_the_entry_by_an_id_it_has_before_they_are_built(far: IbWorld) -> None:
    far.broker.submit(a_bracket())

    entry = wired(far, "b-e")
    assert entry.order_id > 0
    assert wired(far, "b-s").terms.parent_id == wired(far, "b-t").terms.parent_id == entry.order_id
    assert wired(far, "b-s").terms.oca_group == wired(far, "b-t").terms.oca_group == "b-e"
    assert {wired(far, name).terms.oca_type for name in ("b-s", "b-t")} == {2}


def test_e3_a_stop_is_in_aux_price_when_sent_and_when_moved(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    assert wired(far, "b-s").terms.aux_price == 95
    far.trade(99)

    far.broker.replace("b-s", stop_price=Decimal("97.5"))

    moved = far.venue.order("b-s")
    assert moved is not None
    assert moved.stop_price == Decimal("97.5")
    shown = far.broker.order("b-s")
    assert shown is not None
    assert shown.stop_price == Decimal("97.5")


def test_e4_a_cancel_reaches_the_order_it_is_meant_for(far: IbWorld) -> None:
    for name in ("x", "y"):
        far.broker.submit(an_order(name, Side.BUY, OrderType.LIMIT, limit=90))

    far.broker.cancel("x")

    assert status_of(far, "x") is OrdStatus.CANCELED
    assert [one.client_order_id for one in far.venue.open_orders()] == ["y"]


def test_e21_a_moved_stop_is_the_same_order_in_the_same_group(far: IbWorld) -> None:
    bought(far)
    far.broker.submit(an_oco())
    before = (wired(far, "o-s").order_id, wired(far, "o-s").perm_id)

    for level in ("96", "97", "98"):
        far.broker.replace("o-s", stop_price=Decimal(level))

    assert (wired(far, "o-s").order_id, wired(far, "o-s").perm_id) == before
    assert [one.client_order_id for one in far.venue.open_orders()] == ["o-s", "o-t"]
    far.trade(97)
    assert held(far) == {}
    assert far.venue.open_orders() == ()


def test_e24_a_good_till_cancelled_stop_outlives_the_close(far: IbWorld) -> None:
    far.broker.submit(a_bracket(legs=TimeInForce.GTC))
    far.trade(99)

    far.close_session()

    assert wired(far, "b-s").terms.tif == "GTC"
    assert [one.client_order_id for one in far.broker.open_orders()] == ["b-s", "b-t"]


@pytest.mark.parametrize("life", [TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK])
def test_time_in_force_and_account_are_always_said(far: IbWorld, life: TimeInForce) -> None:
    far.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=90, time_in_force=life))

    terms = wired(far, "x").terms
    assert (terms.tif, terms.account, terms.outside_rth) == (life.value, "DU1234567", False)
    assert not far.broker.health().remarks


def test_an_order_for_the_closing_auction_is_of_its_own_type(far: IbWorld) -> None:
    far.market.on_session_open(SESSION, {}, {})
    far.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=90, time_in_force=TimeInForce.CLS))

    shown = far.broker.order("x")
    assert (wired(far, "x").terms.order_type, wired(far, "x").terms.tif) == ("LOC", "DAY")
    assert shown is not None
    assert (shown.order_type, shown.time_in_force) == (OrderType.LIMIT, TimeInForce.CLS)


def test_a_trailing_stop_says_its_distance(far: IbWorld) -> None:
    bought(far)

    far.broker.submit(an_order("x", Side.SELL, OrderType.TRAILING_STOP, trail="2.5"))
    far.trade(101)

    assert (wired(far, "x").terms.order_type, wired(far, "x").terms.aux_price) == ("TRAIL", Decimal("2.5"))
    assert said(far, "x") == [ExecType.NEW]


def test_a_changed_quantity_is_told_of_both_exits(far: IbWorld) -> None:
    far.broker.submit(a_bracket())
    far.trade(99)

    far.broker.replace("b-t", quantity=Decimal(60))

    for leg in ("b-s", "b-t"):
        (change,) = [r for r in far.broker.execution_reports(LONG_AGO) if r.exec_id.endswith("replaced-1")
                     and r.client_order_id == leg]  # fmt: skip
        assert (change.quantity, change.client_order_id) == (Decimal(60), leg)


def test_a_change_that_changes_nothing_sends_nothing(far: IbWorld) -> None:
    far.broker.submit(a_bracket())

    far.broker.replace("b-s", stop_price=Decimal(95))

    assert said(far, "b-s") == [ExecType.NEW]


def test_a_class_of_shares_goes_there_and_back(far: IbWorld) -> None:
    far.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=90, symbol="BRK.B"))

    shown, there = far.broker.order("x"), far.venue.order("x")
    assert shown is not None
    assert there is not None
    assert shown.symbol == there.symbol == "BRK.B"


def test_a_symbol_nobody_knows_is_refused_before_anything_is_sent(far: IbWorld) -> None:
    with pytest.raises(OrderRefused, match="no stocks under ZZZ"):
        far.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=90, symbol="ZZZ"))

    assert list(far.doors.door.desk.orders) == []


def test_a_price_finer_than_the_market_rule_is_refused_before_anything_is_sent(far: IbWorld) -> None:
    with pytest.raises(OrderRefused, match="tick of"):
        far.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit="90.001"))

    far.broker.submit(an_order("y", Side.BUY, OrderType.LIMIT, limit="0.9501"))
    assert [one.terms.order_ref for one in far.doors.door.desk.orders] == ["y"]


def test_an_order_by_hand_is_seen_and_cannot_be_changed_from_here(far: IbWorld) -> None:
    by_hand = RemoteBroker(far.doors.control_url, far.clock)
    by_hand.submit(an_order("by-hand", Side.BUY, OrderType.LIMIT, limit=90))

    (seen,) = far.broker.open_orders()

    assert (seen.symbol, seen.side, seen.quantity, seen.limit_price) == ("AAA", Side.BUY, Decimal(100), Decimal(90))
    assert seen.client_order_id == f"ib-{seen.venue_order_id}"
    with pytest.raises(OrderRefused, match="do it in TWS"):
        far.broker.cancel(seen.client_order_id)
    with pytest.raises(OrderRefused, match="in TWS"):
        far.broker.replace(seen.client_order_id, limit_price=Decimal(91))


def test_the_messages_of_a_busy_minute_keep_within_the_rate(tmp_path: Path) -> None:
    venue = SimulatedVenue(None, VenueRules(initial_cash_usd=Decimal(10_000_000)))
    with a_tws_door(venue, rules=TwsDoorRules(messages_per_second=50, strikes=1)) as doors:
        world = IbWorld(doors, venue, tmp_path)
        world.broker.close()
        slow = world.rules.model_copy(update={"messages_per_second": 25})
        world.broker = world.another(slow)
        until(lambda: world.broker.health().connections == 1)
        for number in range(12):
            world.broker.submit(a_bracket(f"x{number}"))
        assert len(world.broker.open_orders()) == 36
        assert world.broker.health().connections == 1
        world.broker.close()


def test_what_was_never_handed_over_is_known_by_a_file_older_than_the_order(far: IbWorld) -> None:
    created_at = far.clock.now()
    far.broker.restore(())
    assert far.broker.never_left("b-e", created_at)
    far.broker.submit(a_bracket())

    assert not any(far.broker.never_left(name, created_at) for name in ("b-e", "b-s", "b-t"))
    far.restart()
    assert not far.broker.never_left("b-e", created_at)


def test_a_file_younger_than_the_order_proves_nothing(far: IbWorld) -> None:
    created_at = far.clock.now()
    far.broker.submit(a_bracket())
    far.trade(99)

    far.restart(forget=True)

    assert not far.broker.never_left("b-e", created_at)


def test_a_file_begun_anew_takes_over_what_is_open_on_record(far: IbWorld) -> None:
    """Though the clock still shows the instant the order was created, as a stepped one does in its first step."""
    created_at = far.clock.now()
    far.broker.restore(())
    far.broker.submit(a_bracket())
    far.restart(forget=True)

    far.broker.restore([a_bracket()])

    assert not any(far.broker.never_left(name, created_at) for name in ("b-e", "b-s", "b-t"))
    assert far.broker.never_left("later", created_at)
    assert len(far.venue.open_orders()) == 3
    far.broker.replace("b-e", limit_price=Decimal("98.5"))


def test_a_file_that_was_kept_takes_nothing_over_that_never_left(far: IbWorld) -> None:
    created_at = far.clock.now()
    far.broker.restore(())

    far.broker.restore([a_bracket()])  # claimed by a process that died before the socket

    assert far.broker.never_left("b-e", created_at)
