"""One database transaction of the ledger: ports.LedgerTransaction in SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import func, select

from trading_pipeline.adapters.ledger_accounts import PositionRows, ResultRows
from trading_pipeline.adapters.ledger_control import ControlRows, LeaseRows, OutboxRows
from trading_pipeline.adapters.ledger_orders import OrderRows
from trading_pipeline.adapters.ledger_scans import DecisionRows, ScanRows
from trading_pipeline.adapters.tables import Base


class SqlTransaction(
    ScanRows, DecisionRows, OrderRows, PositionRows, ResultRows, LeaseRows, ControlRows, OutboxRows
):  # fmt: skip
    """Reads and writes inside one transaction; made by SqlLedger, valid until its block ends."""

    def row_counts(self) -> dict[str, int]:
        """Rows per table."""
        self.flush()
        names = sorted(Base.metadata.tables)
        counts = (select(func.count()).select_from(Base.metadata.tables[name]).scalar_subquery() for name in names)
        return dict(zip(names, self._connection.execute(select(*counts)).one(), strict=True))
