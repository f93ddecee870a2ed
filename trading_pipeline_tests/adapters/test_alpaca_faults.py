"""What goes wrong between us and Alpaca: nothing is sent twice, nothing that traded is lost, and doubt is said."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.alpaca import AlpacaBroker
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.orders import ExecType, OrderType, OrdStatus, Side
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.faults import Fault
from trading_pipeline_tests.adapters.alpaca_worlds import AlpacaWorld, an_alpaca_world
from trading_pipeline_tests.adapters.venue_worlds import StandingClock
from trading_pipeline_tests.contract_tests.broker import held, said, status_of
from trading_pipeline_tests.venue.builders import a_bracket, an_oco, an_order, at

TRADE = ExecType.TRADE
LOST_ANSWERS = [Fault.HTTP_504, Fault.HTML_BODY, Fault.MALFORMED, Fault.DROP_REPLY]
NEVER_DONE = [Fault.HTTP_429, Fault.HTTP_500, Fault.DROP_REQUEST, Fault.RESET]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AlpacaWorld]:
    with an_alpaca_world(tmp_path / "ids.db") as world:
        yield world


# sending


@pytest.mark.parametrize("fault", LOST_ANSWERS)
@pytest.mark.parametrize("is_lost", [False, True], ids=["file kept", "file lost"])
def test_an_order_whose_answer_was_lost_is_in_doubt_and_then_one_order(
    world: AlpacaWorld, fault: Fault, *, is_lost: bool
) -> None:
    world.play({"fault": fault, "op": "orders.submit"})

    with pytest.raises(OutcomeUnknown, match="Query the venue"):
        world.broker.submit(a_bracket())
    world.restart(VenueIds(None) if is_lost else None)

    found = world.broker.order("b-e")
    assert found is not None
    assert world.broker.submit(a_bracket()) == found.venue_order_id
    assert said(world, "b-e") == said(world, "b-s") == said(world, "b-t") == [ExecType.NEW]
    world.trade(99)
    assert held(world) == {"AAA": 100}


@pytest.mark.parametrize("fault", LOST_ANSWERS)
def test_an_oco_whose_answer_was_lost_is_found_by_its_stop(world: AlpacaWorld, fault: Fault) -> None:
    world.broker.submit(an_order("buy", Side.BUY, OrderType.LIMIT, limit=100))
    world.trade(99)
    world.play({"fault": fault, "op": "orders.submit"})

    with pytest.raises(OutcomeUnknown):
        world.broker.submit(an_oco())
    world.restart()

    stop, target = world.broker.order("o-s"), world.broker.order("o-t")
    assert stop is not None
    assert target is not None
    assert stop.stop_price == 95
    assert target.limit_price == 110
    assert world.broker.submit(an_oco()) == stop.venue_order_id


@pytest.mark.parametrize("fault", NEVER_DONE)
def test_an_order_that_was_not_taken_is_in_doubt_until_it_is_looked_up(world: AlpacaWorld, fault: Fault) -> None:
    world.play({"fault": fault, "op": "orders.submit"})

    with pytest.raises(OutcomeUnknown):
        world.broker.submit(a_bracket())

    assert world.broker.order("b-e") is None
    assert world.broker.order("b-s") is None
    assert world.broker.submit(a_bracket())


@pytest.mark.parametrize("fault", [*LOST_ANSWERS, *NEVER_DONE])
def test_no_order_is_ever_repeated_by_itself(world: AlpacaWorld, fault: Fault) -> None:
    world.broker.submit(a_bracket())
    world.play({"fault": fault, "op": "orders.*", "times": 0})
    asks: list[Callable[[], object]] = [
        lambda: world.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=90)),
        lambda: world.broker.replace("b-s", stop_price=Decimal(96)),
    ]
    for number, ask in enumerate(asks):
        with pytest.raises(OutcomeUnknown):
            ask()
        assert world.faults.played[fault] == number + 1


@pytest.mark.parametrize("fault", [fault for fault in (*LOST_ANSWERS, *NEVER_DONE) if fault is not Fault.HTTP_429])
def test_a_read_whose_answer_broke_off_is_made_once_more(world: AlpacaWorld, fault: Fault) -> None:
    world.broker.submit(a_bracket())
    world.play({"fault": fault, "op": "orders.get"})

    assert world.broker.order("b-s") is not None

    world.play({"fault": fault, "op": "orders.get", "times": 0})
    with pytest.raises(OutcomeUnknown):
        world.broker.order("b-s")
    assert world.faults.played[fault] == 2


def test_a_venue_that_answers_later_than_anybody_waits_is_in_doubt() -> None:
    with an_alpaca_world(timeout_seconds=0.3) as world:
        world.play({"fault": "delay", "op": "orders.submit", "seconds": 0.6})

        with pytest.raises(OutcomeUnknown, match="Timeout"):
            world.broker.submit(a_bracket())
        world.play()
        threading.Event().wait(0.5)

        assert world.broker.order("b-e") is not None
        world.broker.submit(a_bracket())
        assert len(world.broker.open_orders()) == 3


def test_one_that_never_answers_is_in_doubt_after_the_timeout(world: AlpacaWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        rules = world.rules.model_copy(
            update={"trading_url": f"http://127.0.0.1:{server.getsockname()[1]}", "timeout_seconds": 0.1}
        )
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="Timeout"):
            AlpacaBroker(rules, world.clock, VenueIds(None), account="demo").submit(a_bracket())
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "TooManyRedirects"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "no object"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "nobody can read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "no object"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "no answer"),
        (b"HTTP/1.1 422 No\r\nContent-Length: 4\r\n\r\nfire", "HTTP 422: fire"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\n<html>", "HTTP 404"),
        (b"HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\n[]", "HTTP 422"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 16\r\n\r\n{\"message\": \"x\"}", "HTTP 503"),
        (b"no http at all\r\n\r\n", "no answer"),
    ],
)  # fmt: skip
def test_an_answer_nobody_can_read_is_doubt_and_no_refusal(world: AlpacaWorld, answer: bytes, words: str) -> None:
    with a_server_that_says(answer) as url:
        rules = world.rules.model_copy(update={"trading_url": url})
        broker = AlpacaBroker(rules, world.clock, VenueIds(None), account="demo")
        with pytest.raises(OutcomeUnknown, match=words):
            broker.submit(a_bracket())


# changing


@pytest.mark.parametrize("fault", LOST_ANSWERS)
@pytest.mark.parametrize("again", ["98", "97"], ids=["same price", "other price"])
def test_a_replacement_whose_answer_was_lost_is_found_when_asked_again(
    world: AlpacaWorld, fault: Fault, again: str
) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)
    world.play({"fault": fault, "op": "orders.replace"})
    with pytest.raises(OutcomeUnknown):
        world.broker.replace("b-s", stop_price=Decimal(98))
    world.restart()

    world.broker.replace("b-s", stop_price=Decimal(again))

    stop = world.broker.order("b-s")
    assert stop is not None
    assert stop.stop_price == Decimal(again)
    prices = [r.stop_price for r in world.reports() if r.exec_type is ExecType.REPLACED]
    assert prices == list(dict.fromkeys([Decimal(98), Decimal(again)]))


@pytest.mark.parametrize("fault", [*LOST_ANSWERS, *NEVER_DONE])
def test_a_cancel_in_doubt_may_be_asked_again(world: AlpacaWorld, fault: Fault) -> None:
    world.broker.submit(a_bracket())
    world.play({"fault": fault, "op": "orders.cancel"})

    if fault in LOST_ANSWERS and fault is Fault.MALFORMED:
        world.broker.cancel("b-e")  # an answer without a body cannot be torn
    else:
        with pytest.raises(OutcomeUnknown):
            world.broker.cancel("b-e")
    world.broker.cancel("b-e")

    assert said(world, "b-e") == [ExecType.NEW, ExecType.CANCELED]


def test_a_cancel_that_loses_the_race_against_a_fill_does_nothing(world: AlpacaWorld) -> None:
    world.broker.submit(a_bracket())
    world.broker.open_orders()
    world.trade(99)

    world.broker.cancel("b-e")

    assert said(world, "b-e") == [ExecType.NEW, TRADE]
    assert {order.client_order_id for order in world.broker.open_orders()} == {"b-s", "b-t"}


# listening


def test_words_nobody_has_heard_of_are_in_doubt_and_an_alarm_and_no_error(
    world: AlpacaWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)
    world.play({"fault": "unknown_value", "op": "*", "times": 0})

    orders = world.broker.open_orders()
    reports = world.reports()

    assert {order.client_order_id: order.status for order in orders}["b-s"] is OrdStatus.IN_DOUBT
    assert any(report.exec_type is ExecType.IN_DOUBT and "zz_unheard_of" in report.text for report in reports)
    assert [report.last_qty for report in reports if report.exec_type is TRADE] == [100]
    assert any(record.levelno == logging.CRITICAL and "zz_unheard_of" in record.message for record in caplog.records)
    world.play()
    assert status_of(world, "b-s") is OrdStatus.NEW
    world.trade(94)
    assert held(world) == {}
    assert status_of(world, "b-s") is OrdStatus.FILLED


def test_fields_nobody_has_heard_of_are_passed_over(world: AlpacaWorld) -> None:
    world.play({"fault": "extra_field", "op": "*", "times": 0})
    world.broker.submit(a_bracket())
    world.trade(99)

    assert said(world, "b-e") == [ExecType.NEW, TRADE]
    assert world.broker.account().cash_usd > 0


@pytest.mark.parametrize("seconds", [-7200, -30, 30, 7200])
def test_a_venue_whose_clock_is_off_loses_and_doubles_nothing(world: AlpacaWorld, seconds: int) -> None:
    world.play({"fault": "clock_skew", "op": "*", "times": 0, "seconds": seconds})
    world.broker.submit(a_bracket())
    world.reports()
    since = at(0)
    told: dict[str, Decimal] = {}
    for price in (99, 111):
        world.trade(price)
        for report in world.broker.execution_reports(since):
            told[report.exec_id] = report.last_qty
        since = world.clock.now()

    assert sorted(shares for shares in told.values() if shares) == [100, 100]
    assert held(world) == {}
    assert status_of(world, "b-t") is OrdStatus.FILLED


@pytest.mark.parametrize("fault", [Fault.HTTP_500, Fault.HTTP_429, Fault.MALFORMED, Fault.RESET])
def test_a_look_that_fails_is_unknown_and_the_next_one_tells_all(world: AlpacaWorld, fault: Fault) -> None:
    world.broker.submit(a_bracket())
    world.trade(99)
    asks: dict[str, Callable[[], object]] = {
        "orders.list": world.broker.open_orders, "activities": world.reports,
        "positions.list": world.broker.positions, "account": world.broker.account,
        "orders.get": lambda: world.broker.order("b-s"),
    }  # fmt: skip
    for op, ask in asks.items():
        world.play({"fault": fault, "op": op, "times": 2})
        with pytest.raises(OutcomeUnknown):
            ask()
        world.clock.sleep_until(world.clock.now() + timedelta(minutes=2))

    assert [report.last_qty for report in world.reports() if report.exec_type is TRADE] == [100]


def test_after_a_429_nothing_is_read_as_long_as_it_says_and_orders_leave_all_the_same() -> None:
    with an_alpaca_world(door_rules=AlpacaDoorRules(requests_per_minute=1)) as world:
        world.broker.positions()
        before = world.clock.now()
        with pytest.raises(OutcomeUnknown, match="too many requests"):
            world.broker.positions()

        with pytest.raises(OutcomeUnknown, match="was not asked to list positions"):
            world.broker.positions()
        with pytest.raises(OutcomeUnknown, match="too many requests"):
            world.broker.submit(a_bracket())

        assert world.clock.now() == before
        world.clock.sleep_until(before + timedelta(seconds=61))
        with pytest.raises(OutcomeUnknown, match="too many requests"):  # the door counts by another clock
            world.broker.positions()


def test_our_own_budget_keeps_room_for_orders_which_never_wait() -> None:
    with an_alpaca_world(requests_per_minute=10) as world:
        before = world.clock.now()
        for _ in range(7):
            world.broker.positions()

        with pytest.raises(OutcomeUnknown, match="60 s to go"):
            world.broker.positions()
        for name in range(5):
            world.broker.submit(an_order(str(name), Side.BUY, OrderType.LIMIT, limit=90))

        assert world.clock.now() == before


def test_a_read_waits_by_the_clock_when_its_turn_is_near() -> None:
    with an_alpaca_world(requests_per_minute=10) as world:
        for _ in range(7):
            world.broker.positions()
        world.clock.sleep_until(at(1) - timedelta(seconds=3))

        world.broker.positions()

        assert timedelta(0) <= world.clock.now() - at(1) < timedelta(seconds=1)


def test_a_fill_known_late_is_told_for_a_while_though_dated_before_what_is_asked_for(world: AlpacaWorld) -> None:
    world.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=90))
    world.clock.sleep_until(at(10))
    assert list(world.broker.execution_reports(at(10))) == []
    world.broker._listing.fills.put([a_fill(world.ids.latest("x"), "7")])

    assert [report.last_qty for report in world.broker.execution_reports(at(10))] == [7]

    assert [report.last_qty for report in world.broker.execution_reports(at(10))] == [7]
    world.clock.sleep_until(at(12))
    assert list(world.broker.execution_reports(at(10))) == []


def test_more_shares_than_ordered_are_told_as_they_are(world: AlpacaWorld) -> None:
    world.broker.submit(an_order("x", Side.BUY, OrderType.LIMIT, limit=100))
    world.trade(99)
    more = a_fill(world.ids.latest("x"), "7")
    world.broker._listing.fills.put([more, more])

    fills = [report for report in world.reports() if report.exec_type is TRADE]

    assert sorted(fill.last_qty for fill in fills) == [7, 100]
    assert world.broker._listing.fills.shares([world.ids.latest("x") or ""]) == 107
    assert {fill.client_order_id for fill in fills} == {"x"}


def test_a_fill_of_an_order_nobody_knows_comes_under_alpacas_id(world: AlpacaWorld) -> None:
    unknown = "99999999-2222-3333-4444-555555555555"
    world.broker._listing.fills.put([a_fill(unknown, "7", price="not a price"), {"id": "x", "qty": "1"}])

    (report,) = world.reports()

    assert report.client_order_id == unknown
    assert report.last_px.is_nan()


def test_an_id_that_is_used_and_nowhere_found_stays_in_doubt(world: AlpacaWorld) -> None:
    body = b'{"code": 40010001, "message": "client_order_id must be unique"}'
    answer = b"HTTP/1.1 422 No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
    with a_server_that_says(answer) as url:
        rules = world.rules.model_copy(update={"trading_url": url})
        broker = AlpacaBroker(rules, StandingClock(at(0)), VenueIds(None), account="demo")
        with pytest.raises(OutcomeUnknown):
            broker.submit(a_bracket())


def a_fill(order_id: str | None, shares: str, price: str = "99") -> dict[str, str | None]:
    """A FILL activity of AAA, one minute into the session."""
    return {
        "id": "20250610093100000::11111111-2222-3333-4444-555555555555", "activity_type": "FILL", "type": "fill",
        "order_id": order_id, "symbol": "AAA", "qty": shares, "price": price, "side": "buy",
        "transaction_time": "2025-06-10T13:31:00Z",
    }  # fmt: skip


@contextmanager
def a_server_that_says(answer: bytes) -> Iterator[str]:
    """The same bytes to everybody who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
