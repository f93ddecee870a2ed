"""One database transaction of the ledger: ports.LedgerTransaction in SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, select

from trading_pipeline.adapters import ledger_records as kinds
from trading_pipeline.adapters.alert_rows import AlertDeliveryRows
from trading_pipeline.adapters.audit_compared import ComparedRows
from trading_pipeline.adapters.audit_rows import AuditLogRows
from trading_pipeline.adapters.ledger_accounts import PositionRows, ResultRows
from trading_pipeline.adapters.ledger_control import ControlRows, LeaseRows, OutboxRows
from trading_pipeline.adapters.ledger_records import Kind, insert_or_verify_all
from trading_pipeline.adapters.ledger_rounds import RoundRows
from trading_pipeline.adapters.ledger_scans import DecisionRows, ScanRows
from trading_pipeline.adapters.mode_rows import ModeRows
from trading_pipeline.adapters.tables import Base
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.domain.setups import TradePlan
from trading_pipeline.ports import Decidable

CAUSES_FIRST: tuple[Kind[Any], ...] = (
    kinds.PLANS, kinds.DECISIONS, kinds.INTENTS, kinds.ORDERS, kinds.BLOCKS, kinds.RISK_EVENTS,
)  # fmt: skip


class SqlTransaction(
    ScanRows, DecisionRows, RoundRows, PositionRows, ResultRows, LeaseRows, ControlRows, OutboxRows,
    AuditLogRows, ComparedRows, ModeRows, AlertDeliveryRows,
):  # fmt: skip
    """Reads and writes inside one transaction; made by SqlLedger, valid until its block ends."""

    def add_all(self, records: Sequence[Decidable]) -> Sequence[bool]:
        """Each as its add_* would: told in the order given, stored kind by kind so that causes come first."""
        self._require_writable()
        given, new = dict[type, list[Any]](), dict[type, Iterator[bool]]()
        for record in records:
            given.setdefault(type(record), []).append(record)
        for kind in CAUSES_FIRST:
            if kind.record in given:
                new[kind.record] = iter(insert_or_verify_all(self._wire, kind, given[kind.record]))
        answers = [next(new[type(record)]) for record in records]
        self._tell(records, answers)
        return answers

    def _tell(self, records: Sequence[Decidable], answers: Sequence[bool]) -> None:
        for record, is_new in zip(records, answers, strict=True):
            if isinstance(record, TradePlan):
                self._plan_accounts[record.plan_id] = record.account
            elif isinstance(record, RiskDecision) and is_new:
                self._tell_decision(record)
            elif is_new:
                self._outbox.recorded(record)

    def row_counts(self) -> dict[str, int]:
        """Rows per table."""
        self.flush()
        names = sorted(Base.metadata.tables)
        counts = (select(func.count()).select_from(Base.metadata.tables[name]).scalar_subquery() for name in names)
        return dict(zip(names, self._connection.execute(select(*counts)).one(), strict=True))
