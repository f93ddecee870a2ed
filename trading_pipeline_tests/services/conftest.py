"""A traded market, built once for the tests that read its record."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.latch_file import FileLatch
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.services.latch import Latch
from trading_pipeline_tests.services.scripted import OPENS, Stage
from trading_pipeline_tests.services.traded_market import TradedMarket, trade_a_market


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> TradedMarket:
    """Two sessions with closed, canceled and undecided candidates; read only."""
    return trade_a_market(tmp_path_factory.mktemp("home"), count=2)


@pytest.fixture
def ledger(empty_ledger: Path, tmp_path: Path) -> SqlLedger:
    """An empty ledger on disk."""
    shutil.copy(empty_ledger, tmp_path / "ledger.sqlite3")
    return SqlLedger(default_url(tmp_path))


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Scenes of hand-written trading days."""
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture
def latch(tmp_path: Path) -> Latch:
    """The latch of a home of its own."""
    return Latch(FileLatch(tmp_path, "A"), FixedClock(OPENS))
