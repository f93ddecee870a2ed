"""Orders of others at Alpaca, restarts with the file of ids and without, and how often Alpaca is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.alpaca import listing
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import ExecType, OrderType, OrdStatus, Side
from trading_pipeline_tests.adapters.alpaca_worlds import AlpacaWorld, an_alpaca_world, requests_made
from trading_pipeline_tests.contract_tests.broker import held, said, status_of
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, an_order, at, flat

BUY, SELL = Side.BUY, Side.SELL
TRADE = ExecType.TRADE


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AlpacaWorld]:
    with an_alpaca_world(tmp_path / "ids.db") as world:
        yield world


# others


def test_orders_of_others_come_under_their_own_ids(world: AlpacaWorld) -> None:
    client = world.doors.client(raw_data=True)
    theirs = {"symbol": "AAA", "qty": "5", "side": "buy", "type": "limit", "limit_price": "100", "time_in_force": "day"}
    client.post("/orders", {**theirs, "client_order_id": "by-hand"})
    client.post("/orders", theirs)

    names = [order.client_order_id for order in world.broker.open_orders()]
    world.trade(99)

    assert names[0] == "by-hand"
    assert len(names) == 2
    fills = [report for report in world.reports() if report.exec_type is TRADE]
    assert {fill.client_order_id for fill in fills} == set(names)
    assert status_of(world, names[1]) is OrdStatus.FILLED
    assert world.ids.unfinished() == []


def test_an_order_of_others_that_they_replaced_is_over(world: AlpacaWorld) -> None:
    client = world.doors.client(raw_data=True)
    theirs = {"symbol": "AAA", "qty": "5", "side": "buy", "type": "limit", "limit_price": "90", "time_in_force": "day"}
    made = client.post("/orders", {**theirs, "client_order_id": "by-hand"})
    assert isinstance(made, dict)
    world.broker.open_orders()
    client.patch(f"/orders/{made['id']}", {"limit_price": "91"})

    assert [order.limit_price for order in world.broker.open_orders()] == [Decimal(91)]
    assert said(world, "by-hand") == [ExecType.NEW, ExecType.CANCELED]


# restarts


def test_a_restart_with_its_file_tells_the_same_reports(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)
    world.broker.replace("b-s", stop_price=Decimal(98))
    world.broker.submit(an_order("x", BUY, OrderType.LIMIT, limit=90))
    world.broker.cancel("x")
    before = world.reports()

    world.restart(VenueIds(world.ids_path))

    assert world.reports() == before
    assert world.broker.submit(a_bracket()) == venue_id(world, "b-e")
    world.broker.replace("b-s", stop_price=Decimal("98.5"))
    assert said(world, "b-s") == [ExecType.NEW, ExecType.REPLACED, ExecType.REPLACED]


def test_a_lost_file_is_found_again_by_sending_what_was_sent(world: AlpacaWorld) -> None:
    first = world.broker.submit(a_bracket())
    world.trade(99)
    world.restart(VenueIds(None))

    assert world.broker.submit(a_bracket()) == first

    assert {order.client_order_id for order in world.broker.open_orders()} == {"b-s", "b-t"}
    world.trade(99)
    assert held(world) == {"AAA": 100}


def test_a_lost_file_is_found_again_from_the_record(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)
    world.broker.replace("b-s", stop_price=Decimal(98))
    world.broker.submit(an_order("gap", BUY, OrderType.LIMIT, limit=90))
    before = {order.client_order_id: order for order in world.broker.open_orders()}
    world.restart(VenueIds(None))

    world.broker.restore([a_bracket()])

    assert {order.client_order_id: order for order in world.broker.open_orders()} == before
    world.broker.replace("b-s", stop_price=Decimal("98.5"))
    stop = world.broker.order("b-s")
    assert stop is not None
    assert stop.stop_price == Decimal("98.5")


def test_a_lost_file_alone_leaves_legs_under_alpacas_ids_and_their_parent(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)
    world.restart(VenueIds(None))

    legs = world.broker.open_orders()

    assert len(legs) == 1  # a held stop is in no list of Alpaca's; its target is
    assert world.broker.order("b-e") is not None
    assert world.broker.order("b-s") is None


def test_other_content_under_a_used_id_is_refused_also_when_the_file_was_lost(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())
    world.restart(VenueIds(None))

    with pytest.raises(OrderRefused, match="new intent under a new id"):
        world.broker.submit(a_bracket(quantity=99))
    with pytest.raises(OrderRefused, match="new intent under a new id"):
        world.broker.submit(a_bracket(entry=101))


def test_what_never_arrived_may_be_sent_otherwise(world: AlpacaWorld) -> None:
    world.play({"fault": "drop_request", "op": "orders.submit"})
    with pytest.raises(OutcomeUnknown):
        world.broker.submit(a_bracket())

    assert world.broker.submit(a_bracket(quantity=99))

    assert world.broker.order("b-s") is not None


# how often Alpaca is asked


def test_a_look_at_many_positions_is_few_requests(world: AlpacaWorld) -> None:
    symbols = [f"S{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(60)]
    for number, symbol in enumerate(symbols):
        world.broker.submit(a_bracket(f"p{number}", symbol=symbol, quantity=1))
    world.market.on_bars([flat(0, 99, symbol=symbol) for symbol in symbols], at(1))
    world.clock.sleep_until(at(1))
    world.reports()
    before = requests_made(world)

    assert len(world.broker.open_orders()) == 120
    world.broker.positions()
    world.broker.account()
    world.broker.execution_reports(at(1))

    assert requests_made(world) - before <= 7


def test_what_does_not_fit_on_a_page_is_on_the_next_ones(world: AlpacaWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_ORDERS", 3)
    monkeypatch.setattr(listing, "MOST_ACTIVITIES", 2)
    names = [f"n{number}" for number in range(7)]
    for name in names:
        world.broker.submit(an_order(name, BUY, OrderType.LIMIT, limit=100, quantity=1))
    world.restart()
    assert [order.client_order_id for order in world.broker.open_orders()] == names
    world.trade(99)

    trades = [report.client_order_id for report in world.reports() if report.exec_type is TRADE]

    assert sorted(trades) == names
    assert list(world.broker.open_orders()) == []


def test_ended_orders_are_not_asked_for_any_more(world: AlpacaWorld) -> None:
    world.broker.submit(an_order("x", BUY, OrderType.LIMIT, limit=90))
    world.broker.cancel("x")
    world.reports()
    assert [family.first_id for family in world.ids.unfinished()] == ["x"]

    world.clock.sleep_until(SESSION.closes_at + timedelta(days=3))
    world.reports()

    assert world.ids.unfinished() == []


def venue_id(world: AlpacaWorld, client_order_id: str) -> str:
    order = world.broker.order(client_order_id)
    assert order is not None
    return order.venue_order_id
