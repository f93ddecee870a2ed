"""The one contract: all that every way to a venue keeps. Subclass it, and say how to open a world.

In process all of it runs with the other tests; at the three doors only BrokerContract does, and `make test-brokers`
runs the rest. Counts: pytest -m "not soak" trading_pipeline_tests/adapters -k TestAlpaca (TestInProcess, TestAtItsDoor,
TestTws). What is skipped is a stated difference, with its reason.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest

from trading_pipeline_tests.contract_tests.bad_input import BadInputContract
from trading_pipeline_tests.contract_tests.broker import BrokerContract, World
from trading_pipeline_tests.contract_tests.care import CareContract
from trading_pipeline_tests.contract_tests.faults import FaultsContract
from trading_pipeline_tests.contract_tests.rehearsed import Rehearsed
from trading_pipeline_tests.contract_tests.restarts import RestartsContract
from trading_pipeline_tests.contract_tests.trades import TradesContract

PATIENT, HASTY = 5.0, 1.0


class WholeContract(BrokerContract, TradesContract, BadInputContract, FaultsContract, RestartsContract, CareContract):
    """All of it, at worlds that one way to a venue leads to. at_a_door: the client talks to another process."""

    at_a_door: ClassVar[bool] = True

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


def is_left_to_brokers(test: pytest.Item) -> bool:
    """True for a test of the contract at a door, but for the basic ones."""
    if not isinstance(test, pytest.Function) or test.cls is None or not issubclass(test.cls, WholeContract):
        return False
    return test.cls.at_a_door and not hasattr(BrokerContract, test.originalname)
