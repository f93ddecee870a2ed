"""What may be asked again is asked again until it is answered; what may not is never repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import pytest

from trading_pipeline.adapters.brokers.patient import PatientBroker
from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.ports import Broker
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.venue_worlds import StandingClock, TradedWorld
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, BrokerContract, World
from trading_pipeline_tests.fakes import Wrapped, losing_broker
from trading_pipeline_tests.venue.builders import SESSION, a_bracket


def a_world() -> TradedWorld:
    venue, clock = SimulatedVenue(None, VenueRules()), StandingClock(SESSION.opens_at)
    return TradedWorld(clock, PatientBroker(SimulatedBroker(venue, clock), 0.2), venue)


class TestPatient(BrokerContract):
    def open_world(self) -> World:
        return a_world()


class SilentAtFirst(Wrapped):
    """Gives no answer to the first questions about reports."""

    silences = 0
    asked = 0

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        self.asked += 1
        if self.asked <= self.silences:
            raise OutcomeUnknown("no answer")
        return self.broker.execution_reports(since)


def silent(broker: Broker, silences: int) -> SilentAtFirst:
    def plainly(_name: str, call: Callable[[], object]) -> object:
        return call()

    made = SilentAtFirst(broker, plainly)
    made.silences = silences
    return made


def test_a_question_is_repeated_until_it_is_answered() -> None:
    world = a_world()
    world.broker.submit(a_bracket())
    asked = silent(world.broker, silences=2)

    reports = PatientBroker(asked, 5.0).execution_reports(LONG_AGO)

    assert len(reports) == 3
    assert asked.asked == 3


def test_patience_ends() -> None:
    asked = silent(a_world().broker, silences=1_000)

    with pytest.raises(OutcomeUnknown):
        PatientBroker(asked, 0.2).execution_reports(LONG_AGO)

    assert 2 <= asked.asked <= 6


@pytest.mark.parametrize("loss", ["request", "reply"])
def test_an_order_is_never_repeated(loss: str) -> None:
    lossy = losing_broker(a_world().broker, loss)

    with pytest.raises(OutcomeUnknown):
        PatientBroker(lossy, 5.0).submit(a_bracket())

    assert lossy.sent == ["b-e"]
