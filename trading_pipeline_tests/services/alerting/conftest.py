"""An empty ledger per test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from trading_pipeline.adapters.ledger import SqlLedger, default_url


@pytest.fixture
def ledger(empty_ledger: Path, tmp_path: Path) -> Iterator[SqlLedger]:
    """An empty ledger on disk."""
    shutil.copy(empty_ledger, tmp_path / "ledger.sqlite3")
    opened = SqlLedger(default_url(tmp_path))
    yield opened
    opened.close()
