"""The one contract: all that every way to a venue keeps. Subclass it, and say how to open a world.

Counts: pytest trading_pipeline_tests/adapters -k TestAlpaca (TestInProcess, TestAtItsDoor, TestTws). What is skipped is
a stated difference, with its reason.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

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
