"""What spares all tests time: bytecode that is kept, and a ledger that is made once. No example fails for being slow.

Where the environment forbids to keep bytecode, as containers do, a run keeps it aside. Otherwise each of the hundred
processes that the tests start would compile all that it imports, for seconds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("however-slow", deadline=None)  # a busy machine is no finding
settings.load_profile("however-slow")
FORBIDDEN = "PYTHONDONTWRITEBYTECODE"
ASIDE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "bytecode"

if os.environ.pop(FORBIDDEN, ""):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(ASIDE)


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger on SQLite; copied, never written: making one takes a tenth of a second and more."""
    from trading_pipeline.adapters.ledger import SqlLedger, default_url

    home = tmp_path_factory.mktemp("empty")
    SqlLedger.open(default_url(home)).close()
    return home / "ledger.sqlite3"
