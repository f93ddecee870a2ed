"""Every test of the ledger runs on both of its databases; of the contract at a door, the basic part."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline_tests.contract_tests.whole import is_left_to_brokers
from trading_pipeline_tests.postgres import postgres


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-brokers` runs and the other tests leave out."""
    for test in filter(is_left_to_brokers, items):
        test.add_marker(pytest.mark.brokers)


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger on SQLite; copied, never written."""
    home = tmp_path_factory.mktemp("empty")
    SqlLedger.open(default_url(home)).close()
    return home / "ledger.sqlite3"


@pytest.fixture(scope="session")
def empty_database() -> str:
    """The name of an empty ledger on PostgreSQL; copied, never written."""
    url = postgres().database()
    SqlLedger.open(url).close()
    return str(make_url(url).database)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty ledger."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_file"), tmp_path / "ledger.sqlite3")
        yield default_url(tmp_path)
        return
    made = postgres().database(request.getfixturevalue("empty_database"))
    yield made
    postgres().drop(made)


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables."""
    if request.param == "sqlite":
        yield default_url(tmp_path)
        return
    made = postgres().database()
    yield made
    postgres().drop(made)


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    """An empty ledger."""
    opened = SqlLedger(url)
    yield opened
    opened.close()
