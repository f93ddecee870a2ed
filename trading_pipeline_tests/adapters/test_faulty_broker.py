"""Faults in one process: what is lost on the way is unknown, and what is refused is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.faulty import FaultyBroker
from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.domain.errors import DataFileError, OrderRefused, OutcomeUnknown
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Fault, FaultRule, Faults, FaultScript, read_script
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.venue_worlds import StandingClock, TradedWorld
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, BrokerContract, World
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, at


def a_world(*rules: FaultRule) -> TradedWorld:
    venue, clock = SimulatedVenue(None, VenueRules()), StandingClock(SESSION.opens_at)
    faults = Faults(FaultScript(rules=rules))
    return TradedWorld(clock, FaultyBroker(SimulatedBroker(venue, clock), faults), venue)


class TestWithoutFaults(BrokerContract):
    def open_world(self) -> World:
        return a_world()


@pytest.mark.parametrize("fault", ["drop_request", "reset", "http_429", "http_500"])
def test_what_never_arrived_is_unknown(fault: str) -> None:
    world = a_world(FaultRule(fault=Fault(fault)))

    with pytest.raises(OutcomeUnknown, match=fault):
        world.broker.submit(a_bracket())

    assert world.broker.order("b-e") is None


@pytest.mark.parametrize("fault", ["drop_reply", "http_504", "delay"])
def test_what_arrived_unheard_is_unknown_even_if_it_was_refused(fault: str) -> None:
    world = a_world(FaultRule(fault=Fault(fault), times=0))

    with pytest.raises(OutcomeUnknown, match=fault):
        world.broker.submit(a_bracket())
    with pytest.raises(OutcomeUnknown, match=fault):
        world.broker.submit(a_bracket("huge", quantity=1_000_000))

    assert world.broker.order("b-e") is not None
    assert world.broker.order("huge-e") is None


def test_a_rule_is_for_its_operation_its_orders_and_its_turn() -> None:
    world = a_world(
        FaultRule(fault=Fault.REJECT, client_order_id="a-*", nth=2),
        FaultRule(fault=Fault.HTTP_500, op="cancel"),
    )
    world.broker.submit(a_bracket("a"))

    with pytest.raises(OrderRefused):
        world.broker.submit(a_bracket("a"))
    world.broker.submit(a_bracket("b"))
    with pytest.raises(OutcomeUnknown):
        world.broker.cancel("a-e")
    world.broker.cancel("a-e")

    assert {order.client_order_id[0] for order in world.broker.open_orders()} == {"b"}


def test_reports_that_stall_come_later_whole() -> None:
    world = a_world(FaultRule(fault=Fault.STALL, op="execution_reports", times=3))
    world.broker.submit(a_bracket())

    heard = [len(world.broker.execution_reports(LONG_AGO)) for _ in range(4)]

    assert heard == [0, 0, 0, 3]
    assert world.broker.execution_reports(at(1)) == ()


def test_a_script_is_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('{"seed": 3, "rules": [{"fault": "delay", "seconds": 2, "op": "*"}]}')
    assert read_script(path).rules[0].fault is Fault.DELAY

    path.write_text('{"rules": [{"fault": "fire"}]}')
    with pytest.raises(DataFileError, match=r"faults\.json is no fault script"):
        read_script(path)
