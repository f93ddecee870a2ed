"""The part of the ledger in memory that keeps modes, approvals and operators."""

from __future__ import annotations

from collections.abc import Sequence

from trading_pipeline.adapters import mode_rows as kinds
from trading_pipeline.adapters.ledger_records import AUDIT
from trading_pipeline.domain.approvals import Approval, ApprovalUse, ModeRequest, Operator
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.errors import LedgerConflict
from trading_pipeline.domain.mode_gate import GateReport
from trading_pipeline.domain.modes import ModeChange, ModeState
from trading_pipeline_tests.memory_rows import OrderRows


class ModeRows(OrderRows):
    """Implements ModeRecords over dictionaries."""

    def mode_state(self, account: str) -> ModeState | None:
        return self._one(kinds.STATES, account)  # type: ignore[no-any-return]

    def save_mode_state(self, state: ModeState) -> None:
        self._put(kinds.STATES.table.name, state.account, state)

    def add_mode_change(self, change: ModeChange) -> bool:
        return self._add(kinds.CHANGES, change)

    def mode_changes(self, account: str) -> Sequence[ModeChange]:
        return self._find(kinds.CHANGES, lambda change: change.account == account)

    def add_gate_report(self, report: GateReport) -> bool:
        return self._add(kinds.REPORTS, report)

    def gate_report(self, report_id: str) -> GateReport | None:
        return self._one(kinds.REPORTS, report_id)  # type: ignore[no-any-return]

    def add_mode_request(self, request: ModeRequest) -> bool:
        return self._add(kinds.REQUESTS, request)

    def mode_request(self, request_id: str) -> ModeRequest | None:
        return self._one(kinds.REQUESTS, request_id)  # type: ignore[no-any-return]

    def mode_requests(self, account: str) -> Sequence[ModeRequest]:
        return self._find(kinds.REQUESTS, lambda request: request.account == account)

    def add_approval(self, approval: Approval) -> bool:
        given = (approval.request_id, approval.operator)
        for one in self.approvals(approval.request_id):
            if (one.request_id, one.operator) == given and one.approval_id != approval.approval_id:
                raise LedgerConflict(f"approvals: {approval.operator} has approved {approval.request_id} before")
        return self._add(kinds.APPROVALS, approval)

    def approvals(self, request_id: str) -> Sequence[Approval]:
        return self._find(kinds.APPROVALS, lambda approval: approval.request_id == request_id)

    def use_approval(self, use: ApprovalUse) -> bool:
        if self.approval_use(use.approval_id) is not None:
            return False
        return self._add(kinds.USES, use)

    def approval_use(self, approval_id: str) -> ApprovalUse | None:
        return self._one(kinds.USES, approval_id)  # type: ignore[no-any-return]

    def operator(self, name: str) -> Operator | None:
        return self._one(kinds.OPERATORS, name)  # type: ignore[no-any-return]

    def operators(self) -> Sequence[Operator]:
        return sorted(self._find(kinds.OPERATORS, lambda _: True), key=lambda operator: operator.name)

    def save_operator(self, operator: Operator) -> None:
        self._put(kinds.OPERATORS.table.name, operator.name, operator)

    def entries_of(self, wanted: Sequence[str]) -> Sequence[AuditEntry]:
        told = (entry() for entry in self._rows[AUDIT.table.name].values())
        return [entry for entry in told if entry.kind in wanted]

    def mode_accounts(self) -> Sequence[str]:
        rows = [*self._find(kinds.CHANGES, lambda _: True), *self._find(kinds.REQUESTS, lambda _: True)]
        return sorted({one.account for one in rows})
