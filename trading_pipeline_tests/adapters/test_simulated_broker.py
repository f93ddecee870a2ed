"""The simulated broker keeps the contract every broker must keep, in memory and on disk."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.ports import Broker, VenueAccount
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.contract_tests.broker import BrokerContract, World
from trading_pipeline_tests.venue.builders import SESSION, a_bracket, at, flat


class StandingClock:
    """Time stands until the market moves it."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant

    def sleep_until(self, instant: datetime) -> None:
        self.instant = max(self.instant, instant)


class SimulatedWorld:
    """A venue whose market trades one minute per call."""

    def __init__(self, path: Path | None) -> None:
        self.clock = StandingClock(SESSION.opens_at)
        self.venue = SimulatedVenue(path, VenueRules())
        self.minute = 0
        self.broker: Broker = SimulatedBroker(self.venue, self.clock)

    def trade(self, price: int) -> None:
        bar = flat(self.minute, price)
        self.minute += 1
        self.clock.sleep_until(bar.end_at)
        self.venue.on_bars([bar], self.clock.now())

    def close_session(self) -> None:
        self.clock.sleep_until(SESSION.closes_at)
        self.venue.on_session_close(SESSION)


class TestInMemory(BrokerContract):
    def open_world(self) -> World:
        return SimulatedWorld(None)


class TestOnDisk(BrokerContract):
    @pytest.fixture(autouse=True)
    def _home(self, tmp_path: Path) -> None:
        self.path = tmp_path / "venue.db"

    def open_world(self) -> World:
        return SimulatedWorld(self.path)


def test_reports_carry_the_time_of_the_clock_and_of_the_bar() -> None:
    world = SimulatedWorld(None)
    world.clock.sleep_until(at(2))
    world.minute = 2
    world.broker.submit(a_bracket())
    world.trade(99)

    reports = world.broker.execution_reports(SESSION.opens_at)
    assert [report.occurred_at for report in reports] == [at(2), at(2), at(2), at(3)]


def test_the_account_is_marked_at_the_last_price() -> None:
    world = SimulatedWorld(None)
    world.broker.submit(a_bracket())
    world.trade(99)
    world.trade(108)

    account = world.broker.account()
    assert account == VenueAccount(
        account="SIM", cash_usd=Decimal("90094.05"), equity_usd=Decimal("100894.05"),
        buying_power_usd=Decimal("90094.05"),
    )  # fmt: skip
