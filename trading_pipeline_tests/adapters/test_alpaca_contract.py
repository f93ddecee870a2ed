"""AlpacaBroker keeps the contract, through the vendor's own client and a door that speaks its protocol."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from trading_pipeline_tests.adapters.rehearsed_worlds import at_alpaca
from trading_pipeline_tests.contract_tests.rehearsed import Rehearsed
from trading_pipeline_tests.contract_tests.whole import WholeContract


class TestAlpaca(WholeContract):
    def way(self, folder: Path, timeout_seconds: float) -> AbstractContextManager[Rehearsed]:
        return at_alpaca(folder, timeout_seconds)
