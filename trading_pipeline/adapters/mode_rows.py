"""The ledger's section of modes: states, changes, gate reports, requests, approvals, operators."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, func, select

from trading_pipeline.adapters import ledger_records
from trading_pipeline.adapters.audit_rows import LOGGED, TAKEN
from trading_pipeline.adapters.ledger_records import Kind, insert_new, insert_or_verify
from trading_pipeline.adapters.ledger_rows import R, Rows
from trading_pipeline.adapters.tables import modes as tables
from trading_pipeline.domain.approvals import Approval, ApprovalUse, ModeRequest, Operator
from trading_pipeline.domain.audit import LoggedEntry, instant_of, read_body
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.mode_gate import GateReport
from trading_pipeline.domain.modes import ModeChange, ModeState

OPERATORS = Kind(Operator, tables.OperatorRow, (("name",),))
STATES = Kind(ModeState, tables.ModeStateRow, (("account",),))
CHANGES = Kind(ModeChange, tables.ModeChangeRow, (("change_id",),))
REPORTS = Kind(GateReport, tables.GateReportRow, (("report_id",),))
REQUESTS = Kind(ModeRequest, tables.ModeRequestRow, (("request_id",),))
APPROVALS = Kind(Approval, tables.ApprovalRow, (("approval_id",), ("request_id", "operator")))
USES = Kind(ApprovalUse, tables.ApprovalUseRow, (("approval_id",),))

LOG, OUTBOX = LOGGED.table, ledger_records.AUDIT.table
LATE = 10_000
"""Outbox numbers below the newest of the log that are looked at as well: PostgreSQL may commit them later."""
IN_LOG = LOGGED.select().where(LOG.c.kind.in_(bindparam("kinds", expanding=True))).order_by(LOG.c.seq)
NEWEST = select(func.coalesce(func.max(LOG.c.outbox_no), 0))
WAITING = (
    ledger_records.AUDIT.select()
    .where(OUTBOX.c.record_no > bindparam("after"), OUTBOX.c.kind.in_(bindparam("kinds", expanding=True)), ~TAKEN)
    .order_by(OUTBOX.c.record_no)
)


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

    def entries_of(self, kinds: Sequence[str]) -> Sequence[AuditEntry]:
        """Audit entries of these kinds, oldest first: those of the log, and those that wait to be numbered."""
        self.flush()
        asked = {"kinds": list(kinds)}
        logged = [_entry(one) for one in LOGGED.records(self._connection, IN_LOG.params(asked))]
        after = int(self._connection.execute(NEWEST).scalar_one()) - LATE
        return [*logged, *ledger_records.AUDIT.records(self._connection, WAITING.params({**asked, "after": after}))]

    def mode_accounts(self) -> Sequence[str]:
        """Accounts whose mode was ever changed or asked for, by name."""
        changed, requested = (select(one.table.c.account) for one in (CHANGES, REQUESTS))
        return sorted(self._connection.execute(changed.union(requested)).scalars())

    def _record(self, kind: Kind[R], record: R) -> bool:
        self._require_writable()
        return insert_or_verify(self._wire, kind, record)


def _entry(logged: LoggedEntry) -> AuditEntry:
    """As its outbox row told it; raises AuditFormatError for what is none. Whether the log is sound is not judged."""
    said = read_body(logged.body)
    return AuditEntry(
        occurred_at=instant_of(said["occurred_at"]), kind=said["kind"], account=said["account"],
        subject=said["subject"], actor=said["actor"], data=said["data"],
    )  # fmt: skip
