"""An office whose ledger lies in memory: services are tried here, and the databases where rows are kept."""

from __future__ import annotations

import pytest

from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.services.modes.people import HandClock, Office


@pytest.fixture
def office() -> Office:
    """kim and lee, who have done nothing yet."""
    clock = HandClock()
    return Office(MemoryLedger(now=clock.now), clock=clock)
