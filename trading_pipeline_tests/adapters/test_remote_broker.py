"""The broker behind a door keeps the same contract; what goes wrong on the way is never taken for a refusal."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path

import pytest
import requests

from trading_pipeline.adapters.brokers.remote import RemoteBroker, RemoteMarket
from trading_pipeline.domain.errors import InputError, LeaseLost, OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import ExecType, OrdStatus, Side
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import FaultRule, Faults, FaultScript
from trading_pipeline.venue.hours import Halt
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.rehearsed_worlds import at_its_door
from trading_pipeline_tests.adapters.venue_worlds import StandingClock, TradedWorld, a_door
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, held
from trading_pipeline_tests.contract_tests.rehearsed import Rehearsed
from trading_pipeline_tests.contract_tests.whole import WholeContract
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, an_order, at, flat


class RemoteWorld(TradedWorld):
    """A venue behind its door; `venue` looks at it from inside."""

    broker: RemoteBroker
    market: RemoteMarket

    def __init__(self, url: str, venue: SimulatedVenue, timeout_seconds: float = 5.0) -> None:
        clock = StandingClock(SESSION.opens_at)
        self.url, self.venue = url, venue
        super().__init__(clock, RemoteBroker(url, clock, timeout_seconds), RemoteMarket(url))

    def play(self, *rules: FaultRule) -> None:
        self.market.play_faults(FaultScript(rules=rules))


class TestAtItsDoor(WholeContract):
    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        return at_its_door(folder, timeout_seconds)


@pytest.fixture
def far() -> Iterator[RemoteWorld]:
    venue = SimulatedVenue(None, VenueRules())
    with a_door(venue, Faults()) as url:
        yield RemoteWorld(url, venue, timeout_seconds=0.3)


@pytest.mark.parametrize("fault", ["drop_request", "reset", "http_429", "http_500"])
def test_what_the_venue_never_did_is_unknown_and_can_be_sent_again(far: RemoteWorld, fault: str) -> None:
    far.play(FaultRule.model_validate({"fault": fault}))

    with pytest.raises(OutcomeUnknown):
        far.broker.submit(a_bracket())

    assert far.broker.order("b-e") is None
    assert far.broker.submit(a_bracket())


@pytest.mark.parametrize("fault", ["drop_reply", "http_504"])
def test_what_the_venue_did_unheard_is_unknown_and_the_same_id_is_the_same_order(far: RemoteWorld, fault: str) -> None:
    far.play(FaultRule.model_validate({"fault": fault, "client_order_id": "b-*"}))

    with pytest.raises(OutcomeUnknown):
        far.broker.submit(a_bracket())

    found = far.broker.order("b-e")
    assert found is not None
    assert far.broker.submit(a_bracket()) == found.venue_order_id
    assert len(far.broker.open_orders()) == 3


def test_a_late_answer_is_unknown_and_the_order_may_come_after_the_query(far: RemoteWorld) -> None:
    far.play(FaultRule.model_validate({"fault": "delay", "seconds": 0.6}))

    with pytest.raises(OutcomeUnknown):
        far.broker.submit(a_bracket())
    early = far.broker.order("b-e")
    for _ in range(100):
        if far.broker.order("b-e"):
            break
        threading.Event().wait(0.02)

    assert early is None
    assert far.broker.order("b-e") is not None


def test_too_many_requests_tell_when_to_ask_again(far: RemoteWorld) -> None:
    far.play(FaultRule.model_validate({"op": "account", "fault": "http_429", "seconds": 7}))

    with pytest.raises(OutcomeUnknown, match="after 7 seconds"):
        far.broker.account()


def test_reports_stall_double_and_shuffle_by_script_and_none_is_lost(far: RemoteWorld) -> None:
    far.broker.submit(a_bracket())
    plain = far.broker.execution_reports(LONG_AGO)
    far.play(
        *(
            FaultRule.model_validate({"op": "execution_reports", "fault": fault, "nth": nth})
            for nth, fault in enumerate(("stall", "duplicate", "reorder"), start=1)
        )
    )

    assert far.broker.execution_reports(LONG_AGO) == ()
    assert sorted(far.broker.execution_reports(LONG_AGO), key=str) == sorted([*plain, *plain], key=str)
    shuffled = far.broker.execution_reports(LONG_AGO)
    assert sorted(shuffled, key=str) == sorted(plain, key=str)
    assert far.broker.execution_reports(LONG_AGO) == plain


def test_a_scripted_refusal_is_definite_and_a_late_one_is_a_report(far: RemoteWorld) -> None:
    far.play(
        FaultRule.model_validate({"fault": "reject", "client_order_id": "a-*"}),
        FaultRule.model_validate({"fault": "reject_later", "client_order_id": "b-*"}),
    )

    with pytest.raises(OrderRefused, match="by script"):
        far.broker.submit(a_bracket("a"))
    far.broker.submit(a_bracket("b"))

    assert far.broker.order("a-e") is None
    said = [r.exec_type for r in far.broker.execution_reports(LONG_AGO) if r.client_order_id == "b-e"]
    assert said == [ExecType.NEW, ExecType.REJECTED]
    rejected = far.broker.order("b-e")
    assert rejected is not None
    assert rejected.status is OrdStatus.REJECTED
    assert far.broker.open_orders() == ()


def test_a_halt_stops_matching_for_its_time(far: RemoteWorld) -> None:
    far.play(FaultRule.model_validate({"fault": "halt", "seconds": 60}))
    far.broker.submit(a_bracket())

    far.trade(99)
    assert held(far) == {}
    far.trade(99)
    assert held(far) == {"AAA": 100}


def test_a_halt_can_be_set_through_the_market(far: RemoteWorld) -> None:
    far.market.halt(Halt("AAA", at(0), at(1)))
    far.broker.submit(a_bracket())

    far.trade(99)

    assert held(far) == {}


def test_a_stale_leader_can_place_change_and_cancel_nothing(far: RemoteWorld) -> None:
    old = RemoteBroker(far.url, far.clock, fence=lambda: 1)
    new = RemoteBroker(far.url, far.clock, fence=lambda: 2)
    old.submit(a_bracket("a"))
    new.submit(a_bracket("b"))

    with pytest.raises(LeaseLost, match="token 2"):
        old.submit(a_bracket("c"))
    with pytest.raises(LeaseLost):
        old.cancel("b-e")
    with pytest.raises(LeaseLost):
        old.replace("b-s", stop_price=Decimal(96))

    assert {order.client_order_id[0] for order in new.open_orders()} == {"a", "b"}
    assert old.open_orders() == new.open_orders()  # looking is free


def test_a_fencing_token_is_remembered_on_disk(tmp_path: Path) -> None:
    first = SimulatedVenue(tmp_path / "venue.db", VenueRules())
    first.fence(7)
    first.close()

    with pytest.raises(LeaseLost):
        SimulatedVenue(tmp_path / "venue.db", VenueRules()).fence(6)


def test_nobody_listening_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    broker = RemoteBroker(f"http://127.0.0.1:{port}", StandingClock(SESSION.opens_at))

    with pytest.raises(OutcomeUnknown, match="ConnectionError"):
        broker.submit(a_bracket())
    with pytest.raises(OutcomeUnknown):
        broker.account()


def test_one_that_never_answers_is_unknown_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OutcomeUnknown, match="Timeout"):
            RemoteBroker(url, StandingClock(SESSION.opens_at), 0.1).positions()


def test_a_door_that_is_not_a_venues_is_unknown_not_a_refusal(far: RemoteWorld) -> None:
    elsewhere = RemoteBroker(f"{far.url}/elsewhere", far.clock)

    with pytest.raises(OutcomeUnknown, match="HTTP 404"):
        elsewhere.submit(an_order("x", Side.BUY))


def test_bars_no_market_had_are_refused_by_name(far: RemoteWorld) -> None:
    with pytest.raises(InputError, match="ends"):
        far.market.on_bars([flat(5, 100)], at(0))


@pytest.mark.parametrize("body", [b"", b"{", b'{"request": 1}', b'{"client_order_id": "x", "now": "yesterday"}'])
def test_an_unreadable_message_changes_nothing_and_says_so(far: RemoteWorld, body: bytes) -> None:
    answer = requests.post(f"{far.url}/submit", data=body, timeout=5)

    assert (answer.status_code, answer.json()["error"]) == (400, "InputError")
    assert far.venue.open_orders() == ()


def test_a_fence_that_is_no_number_is_an_error_and_so_is_a_broken_script(far: RemoteWorld) -> None:
    fenced = requests.post(f"{far.url}/cancel", json={}, headers={"X-Fence": "x"}, timeout=5)
    script = requests.post(f"{far.url}/faults", json={"rules": [{"fault": "fire"}]}, timeout=5)

    assert (fenced.status_code, script.status_code) == (400, 400)


def test_random_faults_repeat_with_their_seed() -> None:
    def played(seed: int) -> list[bool]:
        rule = FaultRule.model_validate({"op": "*", "fault": "http_500", "times": 0, "probability": 0.5})
        faults = Faults(FaultScript(rules=(rule,), seed=seed))
        return [faults.next("submit", "x") is not None for _ in range(50)]

    assert played(1) == played(1) != played(2)
    assert 10 < sum(played(1)) < 40
