"""Alpaca's broker keeps the contract every broker keeps, through the vendor's own client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trading_pipeline_tests.adapters.alpaca_worlds import AlpacaWorld, an_alpaca_world
from trading_pipeline_tests.contract_tests.broker import BrokerContract


class TestAlpacaBroker(BrokerContract):
    """Over a venue behind Alpaca's protocol."""

    @pytest.fixture
    def world(self) -> Iterator[AlpacaWorld]:
        with an_alpaca_world() as world:
            yield world

    def open_world(self) -> AlpacaWorld:
        raise AssertionError("the fixture above opens and closes it")
