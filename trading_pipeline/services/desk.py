"""What every trading use case works with: one account, its rules, its record, its venue, its clock."""

from __future__ import annotations

from dataclasses import dataclass

from trading_pipeline.ports import Broker, Clock, Ledger
from trading_pipeline.settings import ExecutionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Which code and configuration decided, in which run."""

    code_version: str
    config_hash: str
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One account of one strategy at one venue."""

    ledger: Ledger
    broker: Broker
    clock: Clock
    rules: ExecutionSettings
    provenance: Provenance
    base_bar_minutes: int = 0

    @property
    def account(self) -> str:
        """Account the desk trades."""
        return self.rules.account

    @property
    def strategy(self) -> str:
        """Name under which the desk's orders are kept apart from other strategies'."""
        return self.rules.strategy
