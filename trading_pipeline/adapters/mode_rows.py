"""The ledger's section of modes: states, changes, gate reports, requests, approvals, operators."""

from __future__ import annotations

from collections.abc import Sequence

from trading_pipeline.adapters.ledger_records import Kind, insert_new, insert_or_verify
from trading_pipeline.adapters.ledger_rows import R, Rows
from trading_pipeline.adapters.tables import modes as tables
from trading_pipeline.domain.approvals import Approval, ApprovalUse, ModeRequest, Operator
from trading_pipeline.domain.mode_gate import GateReport
from trading_pipeline.domain.modes import ModeChange, ModeState

OPERATORS = Kind(Operator, tables.OperatorRow, (("name",),))
STATES = Kind(ModeState, tables.ModeStateRow, (("account",),))
CHANGES = Kind(ModeChange, tables.ModeChangeRow, (("change_id",),))
REPORTS = Kind(GateReport, tables.GateReportRow, (("report_id",),))
REQUESTS = Kind(ModeRequest, tables.ModeRequestRow, (("request_id",),))
APPROVALS = Kind(Approval, tables.ApprovalRow, (("approval_id",), ("request_id", "operator")))
USES = Kind(ApprovalUse, tables.ApprovalUseRow, (("approval_id",),))


class ModeRows(Rows):
    """Implements ports.ModeRecords."""

    def mode_state(self, account: str) -> ModeState | None:
        """None: never changed, which means SIMULATION."""
        return self._one(STATES, account)

    def save_mode_state(self, state: ModeState) -> None:
        self._put(STATES, state)

    def add_mode_change(self, change: ModeChange) -> bool:
        return self._record(CHANGES, change)

    def mode_changes(self, account: str) -> Sequence[ModeChange]:
        """In the order in which they were made."""
        return self._equal(CHANGES, (CHANGES.table.c.record_no,), account=account)

    def add_gate_report(self, report: GateReport) -> bool:
        return self._record(REPORTS, report)

    def gate_report(self, report_id: str) -> GateReport | None:
        return self._one(REPORTS, report_id)

    def add_mode_request(self, request: ModeRequest) -> bool:
        return self._record(REQUESTS, request)

    def mode_request(self, request_id: str) -> ModeRequest | None:
        return self._one(REQUESTS, request_id)

    def mode_requests(self, account: str) -> Sequence[ModeRequest]:
        """In the order in which they were made."""
        return self._equal(REQUESTS, (REQUESTS.table.c.record_no,), account=account)

    def add_approval(self, approval: Approval) -> bool:
        """Raises LedgerConflict when the operator has approved the request before."""
        return self._record(APPROVALS, approval)

    def approvals(self, request_id: str) -> Sequence[Approval]:
        """In the order in which they were given."""
        return self._equal(APPROVALS, (APPROVALS.table.c.record_no,), request_id=request_id)

    def use_approval(self, use: ApprovalUse) -> bool:
        """True when it is used up now; False when it was used up before."""
        self._require_writable()
        return insert_new(self._wire, USES, use)

    def approval_use(self, approval_id: str) -> ApprovalUse | None:
        return self._one(USES, approval_id)

    def operator(self, name: str) -> Operator | None:
        return self._one(OPERATORS, name)

    def operators(self) -> Sequence[Operator]:
        """By name."""
        return self._all(OPERATORS, order=(OPERATORS.table.c.name,))

    def save_operator(self, operator: Operator) -> None:
        self._put(OPERATORS, operator)

    def _record(self, kind: Kind[R], record: R) -> bool:
        self._require_writable()
        return insert_or_verify(self._wire, kind, record)
