"""The simulated broker keeps the contract every broker must keep, in memory and on disk."""

from __future__ import annotations

from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path

from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.ports import VenueAccount
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.rehearsed_worlds import in_process
from trading_pipeline_tests.adapters.venue_worlds import StandingClock, TradedWorld
from trading_pipeline_tests.contract_tests.broker import BrokerContract, World
from trading_pipeline_tests.contract_tests.rehearsed import Rehearsed
from trading_pipeline_tests.contract_tests.whole import WholeContract
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, at


class SimulatedWorld(TradedWorld):
    """A venue in this process."""

    def __init__(self) -> None:
        self.venue = SimulatedVenue(None, VenueRules())
        clock = StandingClock(SESSION.opens_at)
        super().__init__(clock, SimulatedBroker(self.venue, clock), self.venue)


class TestInMemory(BrokerContract):
    def open_world(self) -> World:
        return SimulatedWorld()


class TestInProcess(WholeContract):
    at_a_door = False

    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        return in_process(folder, timeout_seconds)


def test_reports_carry_the_time_of_the_clock_and_of_the_bar() -> None:
    world = SimulatedWorld()
    world.clock.sleep_until(at(2))
    world.minute = 2
    world.broker.submit(a_bracket())
    world.trade(99)

    reports = world.broker.execution_reports(SESSION.opens_at)
    assert [report.occurred_at for report in reports] == [at(2), at(2), at(2), at(3)]


def test_the_account_is_marked_at_the_last_price() -> None:
    world = SimulatedWorld()
    world.broker.submit(a_bracket())
    world.trade(99)
    world.trade(108)

    account = world.broker.account()
    assert account == VenueAccount(
        account="SIM", cash_usd=Decimal("90094.05"), equity_usd=Decimal("100894.05"),
        buying_power_usd=Decimal("90094.05"),
    )  # fmt: skip
