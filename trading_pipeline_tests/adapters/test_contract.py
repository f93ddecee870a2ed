"""One contract, every way to a venue: what a class here collects is what its broker keeps.

Counts: pytest trading_pipeline_tests/adapters/test_contract.py -k TestAlpaca (or TestTws, with either client library).
What is skipped is a stated difference, with its reason.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from trading_pipeline.domain.orders import TimeInForce
from trading_pipeline_tests.adapters.rehearsed_worlds import at_alpaca, at_its_door, at_tws, in_process
from trading_pipeline_tests.contract_tests.bad_input import BadInputContract
from trading_pipeline_tests.contract_tests.broker import LONG_AGO, BrokerContract, World
from trading_pipeline_tests.contract_tests.care import CareContract
from trading_pipeline_tests.contract_tests.faults import FaultsContract
from trading_pipeline_tests.contract_tests.rehearsed import Rehearsed
from trading_pipeline_tests.contract_tests.restarts import RestartsContract
from trading_pipeline_tests.contract_tests.trades import TradesContract
from trading_pipeline_tests.venue.builders import a_bracket

PATIENT, HASTY = 5.0, 0.8


class WholeContract(BrokerContract, TradesContract, BadInputContract, FaultsContract, RestartsContract, CareContract):
    """All of it, at worlds that one way to a venue leads to."""

    @abstractmethod
    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        """A fresh account, whose broker waits so long for an answer."""

    def open_world(self) -> World:
        raise AssertionError("the fixtures below open and close worlds")

    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[Rehearsed]:
        with self.way(tmp_path, PATIENT) as world:
            yield world

    @pytest.fixture
    def hasty(self, tmp_path: Path) -> Iterator[Rehearsed]:
        with self.way(tmp_path, HASTY) as world:
            yield world


class TestInProcess(WholeContract):
    """The simulated venue, in this process."""

    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        return in_process(folder, timeout_seconds)


class TestDoor(WholeContract):
    """The simulated venue, behind its door."""

    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        return at_its_door(folder, timeout_seconds)


class TestAlpaca(WholeContract):
    """AlpacaBroker, through alpaca-py."""

    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        return at_alpaca(folder, timeout_seconds)


class TestTws(WholeContract):
    """IbBroker, through ib_insync or ib_async, whichever is installed."""

    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        return at_tws(folder, timeout_seconds)

    def test_a_dividend_is_a_cash_activity_and_in_the_cash(self, world: World) -> None:
        """Stated difference: TWS tells no cash activities; the dividend is in the cash, and found there."""
        world.broker.submit(a_bracket(legs=TimeInForce.GTC))
        world.trade(99)
        world.close_session()
        before = world.broker.account().cash_usd

        world.pay_dividend("0.25")

        assert world.broker.account().cash_usd == before + 25
        assert list(world.broker.cash_activities(LONG_AGO)) == []
