"""What goes wrong at Alpaca's door when a script says so, as the vendor's own client meets it."""

from __future__ import annotations

import time

import pytest
import requests
from alpaca.common.exceptions import APIError

from trading_pipeline.venue.alpaca.distortion import UNHEARD_OF
from trading_pipeline.venue.faults import Fault, FaultRule, Faults, FaultScript
from trading_pipeline_tests.venue.alpaca.doors import ALPACA, Desk, a_desk, refused

SUBMIT = "orders.submit"


def playing(fault: Fault, op: str = SUBMIT, **more: float) -> Faults:
    return Faults(FaultScript(rules=(FaultRule.model_validate({"fault": fault, "op": op, **more}),)))


def without_retries(desk: Desk) -> Desk:
    """The client library repeats 429 and 504 by itself, submissions included."""
    desk.raw._retry_codes = []
    return desk


def is_known(desk: Desk, client_order_id: str) -> bool:
    return any(order["client_order_id"] == client_order_id for order in desk.listed(status="all"))


@pytest.mark.parametrize(
    ("fault", "is_done"), [(Fault.DROP_REPLY, True), (Fault.DROP_REQUEST, False), (Fault.RESET, False)]
)
def test_a_connection_that_ends_without_a_word(fault: Fault, is_done: bool) -> None:
    with a_desk(faults=playing(fault)) as desk:
        with pytest.raises(requests.ConnectionError):
            desk.post(client_order_id="a")

        assert is_known(desk, "a") is is_done


@pytest.mark.parametrize(
    ("fault", "status", "is_done"),
    [
        (Fault.HTTP_429, 429, False),
        (Fault.HTTP_500, 500, False),
        (Fault.HTTP_504, 504, True),
        (Fault.HTML_BODY, 504, True),
        (Fault.REJECT, 403, False),
    ],
)
def test_an_error_of_the_gateway_does_not_say_what_was_done(fault: Fault, status: int, is_done: bool) -> None:
    with a_desk(faults=playing(fault)) as desk:
        with pytest.raises(APIError) as caught:
            without_retries(desk).post(client_order_id="a")

        assert caught.value.status_code == status
        assert is_known(desk, "a") is is_done


def test_the_clients_own_repeat_after_504_meets_an_order_already_there() -> None:
    """With a client_order_id the repeat is told so; without one it would be a second order."""
    with a_desk(faults=playing(Fault.HTTP_504)) as desk:
        desk.raw._retry_wait = 0
        with refused(422, 40010001, "client_order_id must be unique"):
            desk.post(client_order_id="a")
        assert [order["client_order_id"] for order in desk.listed()] == ["a"]

    with a_desk(faults=playing(Fault.HTTP_504)) as desk:
        desk.raw._retry_wait = 0
        desk.post()
        assert len(desk.listed()) == 2


def test_an_html_page_is_no_json() -> None:
    with a_desk(faults=playing(Fault.HTML_BODY)) as desk:
        with pytest.raises(APIError) as caught:
            without_retries(desk).post()

        assert str(caught.value).startswith("<html>")


def test_an_answer_may_break_off_in_the_middle() -> None:
    with a_desk(faults=playing(Fault.MALFORMED)) as desk:
        with pytest.raises(requests.JSONDecodeError):
            desk.post(client_order_id="a")

        assert is_known(desk, "a")


def test_an_answer_may_come_late() -> None:
    with a_desk(faults=playing(Fault.DELAY, seconds=0.15)) as desk:
        began = time.monotonic()
        desk.post()

        assert time.monotonic() - began >= 0.15


def test_one_unknown_word_makes_the_clients_own_models_refuse_the_whole_list() -> None:
    with a_desk(faults=playing(Fault.UNKNOWN_VALUE, "orders.list", times=0)) as desk:
        desk.post()

        assert desk.listed()[0]["status"] == UNHEARD_OF
        with pytest.raises(ValueError, match=UNHEARD_OF):
            desk.client.get_orders()


def test_a_field_more_harms_nobody() -> None:
    with a_desk(faults=playing(Fault.EXTRA_FIELD, "*", times=0)) as desk:
        desk.bracket()

        (order,) = desk.listed(nested=True)
        assert order["zz_new_field"] == order["legs"][0]["zz_new_field"] == "1"
        assert len(desk.client.get_orders()) == 1


def test_another_clock_shows_in_every_instant() -> None:
    with a_desk(faults=playing(Fault.CLOCK_SKEW, "*", times=0, seconds=120)) as desk:
        assert desk.post()["created_at"] == "2025-06-10T13:32:00Z"
        assert desk.raw.get_clock()["timestamp"] == "2025-06-10T09:32:00-04:00"
        assert desk.raw.get_clock()["is_open"] is True


def test_a_halt_stops_the_symbol_from_trading() -> None:
    with a_desk(faults=playing(Fault.HALT, seconds=90)) as desk:
        order = desk.post()
        for _ in range(2):
            desk.trade(99)
        assert desk.statuses(order["id"]) == ["new"]

        desk.trade(99)
        assert desk.statuses(order["id"]) == ["filled"]


def test_rules_pick_their_calls_by_operation_and_order() -> None:
    rules = (
        FaultRule(fault=Fault.HTTP_500, op="orders.*", client_order_id="b*"),
        FaultRule(fault=Fault.HTTP_500, op="orders.cancel", client_order_id="a"),
        FaultRule(fault=Fault.HTTP_500, op="positions.list"),
    )
    with a_desk(faults=Faults(FaultScript(rules=rules))) as desk:
        order = desk.post(client_order_id="a")
        with refused(500, 50010000):
            desk.post(client_order_id="b")
        with refused(500, 50010000):
            desk.raw.delete(f"/orders/{order['id']}")
        with refused(500, 50010000):
            desk.raw.get_all_positions()
        desk.raw.delete(f"/orders/{order['id']}")

        assert desk.statuses(order["id"]) == ["canceled"]


def test_a_script_given_at_the_control_door_plays_at_this_one() -> None:
    with a_desk() as desk:
        desk.market.play_faults(FaultScript(rules=(FaultRule(fault=Fault.HTTP_500, op="account"),)))

        with refused(500, 50010000, "internal server error"):
            desk.raw.get_account()


def test_too_late_a_cancel_may_be_refused_by_the_news_only() -> None:
    with a_desk(ALPACA.model_copy(update={"refuses_by_report": True})) as desk:
        order = desk.post()
        desk.trade(99)

        desk.raw.delete(f"/orders/{order['id']}")

        assert desk.statuses(order["id"]) == ["filled"]


@pytest.mark.parametrize("seconds", [-1, -0.5])
def test_only_a_clock_may_go_back(seconds: float) -> None:
    FaultRule(fault=Fault.CLOCK_SKEW, seconds=seconds)
    with pytest.raises(ValueError, match="must not be negative for delay"):
        FaultRule(fault=Fault.DELAY, seconds=seconds)
