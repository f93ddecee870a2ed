"""What Alpaca's door refuses, with Alpaca's status, code and words; nothing refused leaves a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.faults import Fault, FaultRule, Faults, FaultScript
from trading_pipeline_tests.venue.alpaca.doors import GENEROUS, Desk, a_desk, refused
from trading_pipeline_tests.venue.builders import SESSION

LEGS = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"}}


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """AAA at 100, 100 shares held, 60 of them promised to a resting sale. Tests leave it as it is."""
    with a_desk(rules=GENEROUS.model_copy(update={"untradable": frozenset({"HALT"})})) as desk:
        desk.post(client_order_id="bought")
        desk.trade(99)
        desk.post(side="sell", qty="60", limit_price="120", client_order_id="resting", time_in_force="gtc")
        desk.trade(100)
        yield desk


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        ({"type": None}, 422, 40010001, "type is required"),
        ({"type": "iceberg"}, 422, 40010001, "invalid type 'iceberg'"),
        ({"side": "hold"}, 422, 40010001, "invalid side"),
        ({"time_in_force": "gtd"}, 422, 40010001, "invalid time_in_force"),
        ({"symbol": None}, 422, 40010001, "symbol is required"),
        ({"qty": None}, 422, 40010001, "qty or notional is required"),
        ({"qty": "0"}, 422, 40010001, "qty must be > 0"),
        ({"qty": "-5"}, 422, 40010001, "qty must be > 0"),
        ({"qty": "many"}, 422, 40010001, "qty must be a number"),
        ({"qty": True}, 422, 40010001, "qty must be a number"),
        ({"qty": "NaN"}, 422, 40010001, "qty must be a number"),
        ({"limit_price": "Infinity"}, 422, 40010001, "limit_price must be a number"),
        ({"qty": "1e300"}, 422, 40010001, "qty must be > 0 and <"),
        ({"qty": "0.5"}, 403, 40310000, 'asset "AAA" is not fractionable'),
        ({"qty": None, "notional": "500"}, 403, 40310000, 'asset "AAA" is not fractionable'),
        ({"client_order_id": "x" * 129}, 422, 40010001, "no more than 128 characters"),
        ({"client_order_id": "bought"}, 422, 40010001, "client_order_id must be unique"),
        ({"limit_price": None}, 422, 40010001, "limit orders require limit price"),
        ({"type": "stop"}, 422, 40010001, "stop orders require stop price"),
        ({"type": "market", "limit_price": "9"}, 422, 40010001, "market orders must not have limit price"),
        ({"type": "trailing_stop"}, 422, 40010001, "trail_price or trail_percent"),
        ({"limit_price": "100.001"}, 422, 42210000, "invalid limit_price 100.001. sub-penny increment"),
        ({"limit_price": 0.1 + 0.2}, 422, 42210000, r"invalid limit_price 0\.30000000000000004\. sub-penny"),
        ({"limit_price": "0.12345"}, 422, 42210000, "sub-penny"),
        ({"symbol": "nosuch"}, 422, 42210000, 'asset "nosuch" not found'),
        ({"symbol": "HALT"}, 422, 42210000, 'asset "HALT" is not tradable'),
        ({"type": "market", "symbol": "NEVER"}, 422, 42210000, "no price of NEVER is known"),
        ({"extended_hours": True}, 422, 42210000, "extended hours"),
        ({"qty": "100000"}, 403, 40310000, "insufficient buying power"),
        ({"side": "sell", "symbol": "BBB"}, 403, 40310000, "account is not allowed to short"),
        ({"side": "sell", "qty": "41", "limit_price": "130"}, 403, 40310000, r"requested: 41, available: 40\)"),
        ({"limit_price": "120"}, 403, 40310000, "potential wash trade detected. use complex orders"),
        ({"order_class": "mleg"}, 422, 40010001, "invalid order_class"),
        (LEGS, 422, 40010001, "simple orders must not have take_profit or stop_loss"),
    ],
)
def test_what_is_wrong_with_an_order_is_told(
    desk: Desk, fields: dict[str, object], status: int, code: int, message: str
) -> None:
    before = desk.listed(status="all")

    with refused(status, code, message):
        desk.post(**fields)

    assert desk.listed(status="all") == before


@pytest.mark.parametrize(
    ("fields", "code", "message", "base_price"),
    [
        ({"type": "stop", "stop_price": "101", "limit_price": None}, 40010001, "must be market or limit", None),
        ({"side": "sell"}, 40010001, "bracket orders must be entry orders", None),
        ({"time_in_force": "ioc"}, 42210000, "invalid time_in_force", None),
        ({"take_profit": None}, 40010001, "bracket orders require", None),
        ({"stop_loss": {"limit_price": "94"}}, 40010001, "bracket orders require", None),
        ({"stop_loss": "95"}, 40010001, "stop_loss must be an object", None),
        ({"take_profit": {"limit_price": "110.001"}}, 42210000, "invalid take_profit.limit_price 110.001", None),
        ({"stop_loss": {"stop_price": "95.001"}}, 42210000, "invalid stop_loss.stop_price 95.001", None),
        ({"take_profit": {"limit_price": "99"}}, 42210000, "take_profit.limit_price must be >= base_price", "100"),
        ({"stop_loss": {"stop_price": "100"}}, 42210000, "stop_loss.stop_price must be <= base_price - 0.01", "100"),
        (
            {"limit_price": "105", "stop_loss": {"stop_price": "102"}},
            42210000, "stop_loss.stop_price must be <= base_price - 0.01", "100",
        ),
        ({"type": "market", "limit_price": None, "stop_loss": {"stop_price": "101"}}, 42210000, "base_price", "100"),
    ],
)  # fmt: skip
def test_a_bracket_lies_around_its_base_price(
    desk: Desk, fields: dict[str, Any], code: int, message: str, base_price: str | None
) -> None:
    with refused(422, code, message) as body:
        desk.bracket(**fields)

    assert body[0].get("base_price") == base_price


def test_an_oco_over_more_than_is_free_tells_what_holds_the_shares(desk: Desk) -> None:
    with refused(403, 40310000, "insufficient qty available") as body:
        desk.bracket(order_class="oco", side="sell", qty="100")

    told = {name: body[0][name] for name in ("symbol", "available", "existing_qty", "held_for_orders")}
    assert told == {"symbol": "AAA", "available": "40", "existing_qty": "100", "held_for_orders": "60"}


@pytest.mark.parametrize("body", ["", "[]", "{", "null", '"order"'])
def test_a_body_that_is_no_object_is_told(desk: Desk, body: str) -> None:
    answer = requests.post(f"{desk.doors.url}/v2/orders", data=body, headers=headers_of(desk), timeout=5)

    assert (answer.status_code, answer.json()["code"]) == (400, 40010001)


def test_a_complex_order_is_no_wash_trade(desk: Desk) -> None:
    order = desk.bracket("exempt", limit_price="120", take_profit={"limit_price": "130"}, qty="1")

    assert order["status"] == "pending_new"
    desk.raw.delete(f"/orders/{order['id']}")


def test_a_refused_id_may_be_sent_again() -> None:
    with a_desk() as desk:
        with refused(403, 40310000, "insufficient buying power"):
            desk.post(client_order_id="a", qty="100000")
        assert desk.post(client_order_id="a")["client_order_id"] == "a"


def test_an_id_the_engine_refused_may_be_sent_again() -> None:
    with a_desk() as desk:
        desk.market.on_session_open(SESSION, {}, {})
        with refused(422, 42210000, "the opening auction of .* is over"):
            desk.post(client_order_id="a", time_in_force="opg")
        assert desk.post(client_order_id="a")["client_order_id"] == "a"


def test_an_id_cannot_be_that_of_a_leg_or_of_a_replacement() -> None:
    with a_desk() as desk:
        leg = desk.bracket()["legs"][0]
        entry = desk.raw.get("/orders:by_client_order_id", {"client_order_id": "b"})
        desk.raw.patch(f"/orders/{entry['id']}", {"limit_price": "99", "client_order_id": "b-2"})

        for taken in (leg["client_order_id"], "b", "b-2"):
            with refused(422, 40010001, "client_order_id must be unique"):
                desk.post(client_order_id=taken)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"trading_blocked": True}, "account is restricted"),
        ({"account_blocked": True}, "account is restricted"),
        ({"trade_suspended_by_user": True}, "new orders are rejected by user request"),
    ],
)
def test_a_blocked_account_says_so_and_takes_no_order(rules: dict[str, bool], message: str) -> None:
    with a_desk(rules=GENEROUS.model_copy(update=rules)) as desk:
        account = desk.raw.get_account()
        assert {name: account[name] for name in rules} == rules
        with refused(403, 40310000, message):
            desk.post()


def test_a_rejection_after_acceptance_is_told_on_the_order() -> None:
    script = FaultScript(rules=(FaultRule(fault=Fault.REJECT_LATER, op="orders.submit"),))
    with a_desk(faults=Faults(script)) as desk:
        order = desk.bracket()

        assert desk.statuses(order["id"]) == ["rejected"]
        assert desk.order(order["id"])["failed_at"]


# who may come in


@pytest.mark.parametrize(
    ("keys", "status", "body"),
    [
        ({}, 401, {"code": 40110000, "message": "request is not authorized"}),
        ({"KEY-ID": "PKOTHER", "SECRET-KEY": "s"}, 401, {"code": 40110000, "message": "request is not authorized"}),
        ({"KEY-ID": "PKVENUE", "SECRET-KEY": "wrong"}, 403, {"message": "forbidden."}),
    ],
)
def test_keys_are_asked_for(desk: Desk, keys: dict[str, str], status: int, body: dict[str, object]) -> None:
    headers = {f"APCA-API-{name}": value for name, value in keys.items()}

    answer = requests.get(f"{desk.doors.url}/v2/account", headers=headers, timeout=5)

    assert (answer.status_code, answer.json()) == (status, body)


def test_a_key_can_be_swapped_while_the_door_serves() -> None:
    with a_desk() as desk:
        desk.doors.door.context.keys = {"PKNEXT": "next"}
        with refused(401, 40110000, "not authorized"):
            desk.raw.get_account()


def test_the_quota_is_told_with_each_answer_and_kept() -> None:
    with a_desk(rules=AlpacaDoorRules(requests_per_minute=3)) as desk:
        answers = [requests.get(f"{desk.doors.url}/v2/clock", headers=headers_of(desk), timeout=5) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[0].headers["X-RateLimit-Limit"] == "3"
    assert int(answers[0].headers["X-RateLimit-Reset"]) == pytest.approx(1749562200 + 60, abs=2)
    assert answers[3].json() == {"code": 42910000, "message": "rate limit exceeded"}


def test_an_endpoint_that_is_none_is_not_found(desk: Desk) -> None:
    with refused(404, 40410000, "endpoint not found"):
        desk.raw.get("/watchlists")


def headers_of(desk: Desk) -> dict[str, str]:
    return dict(zip(("APCA-API-KEY-ID", "APCA-API-SECRET-KEY"), desk.doors.keys, strict=True))
