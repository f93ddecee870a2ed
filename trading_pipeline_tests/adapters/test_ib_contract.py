"""Interactive Brokers keeps the broker contract, through the real client library and a TWS door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trading_pipeline.domain.orders import TimeInForce
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.adapters.ib_worlds import IbWorld
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, BrokerContract, World
from trading_pipeline_tests.venue.builders import a_bracket
from trading_pipeline_tests.venue.tws.doors import a_tws_door


class TestAtATwsDoor(BrokerContract):
    @pytest.fixture(autouse=True)
    def _door(self, tmp_path: Path) -> Iterator[None]:
        self.venue = SimulatedVenue(tmp_path / "venue.db", VenueRules())
        self.files = tmp_path
        self.opened: list[IbWorld] = []
        with a_tws_door(self.venue) as self.doors:
            yield
            for world in self.opened:
                world.broker.close()

    def open_world(self) -> World:
        self.opened.append(IbWorld(self.doors, self.venue, self.files))
        return self.opened[-1]

    def test_a_dividend_is_a_cash_activity_and_in_the_cash(self, world: World) -> None:
        """TWS tells no cash activities: the dividend is in the cash only, and reconciliation finds it there."""
        world.broker.submit(a_bracket(legs=TimeInForce.GTC))
        world.trade(99)
        world.close_session()
        before = world.broker.account().cash_usd

        world.pay_dividend("0.25")

        assert world.broker.account().cash_usd == before + 25
        assert list(world.broker.cash_activities(LONG_AGO)) == []
