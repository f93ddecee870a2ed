"""What changes of mode leave on record, inside a ledger transaction; and how passwords are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import SecretStr

from trading_pipeline.domain.approvals import Approval, ApprovalUse, ModeRequest, Operator
from trading_pipeline.domain.control import AuditEntry
from trading_pipeline.domain.mode_gate import GateReport
from trading_pipeline.domain.modes import ModeChange, ModeState


class ModeRecords(Protocol):
    """The part of a ledger transaction that keeps modes, approvals and operators."""

    def mode_state(self, account: str) -> ModeState | None:
        """None: never changed, which means SIMULATION."""

    def save_mode_state(self, state: ModeState) -> None: ...
    def add_mode_change(self, change: ModeChange) -> bool: ...
    def mode_changes(self, account: str) -> Sequence[ModeChange]:
        """In the order in which they were made."""

    def add_gate_report(self, report: GateReport) -> bool: ...
    def gate_report(self, report_id: str) -> GateReport | None: ...
    def add_mode_request(self, request: ModeRequest) -> bool: ...
    def mode_request(self, request_id: str) -> ModeRequest | None: ...
    def mode_requests(self, account: str) -> Sequence[ModeRequest]:
        """In the order in which they were made."""

    def add_approval(self, approval: Approval) -> bool:
        """Raises LedgerConflict when the operator has approved the request before."""

    def approvals(self, request_id: str) -> Sequence[Approval]:
        """In the order in which they were given."""

    def use_approval(self, use: ApprovalUse) -> bool:
        """True when it is used up now; False when it was used up before."""

    def approval_use(self, approval_id: str) -> ApprovalUse | None: ...

    def operator(self, name: str) -> Operator | None: ...
    def operators(self) -> Sequence[Operator]:
        """By name."""

    def save_operator(self, operator: Operator) -> None: ...

    def entries_of(self, kinds: Sequence[str]) -> Sequence[AuditEntry]:
        """Audit entries of these kinds, oldest first: those of the log, and those that wait to be numbered.

        Raises AuditFormatError for an entry of the log that is none.
        """

    def mode_accounts(self) -> Sequence[str]:
        """Accounts whose mode was ever changed or asked for, by name."""


class PasswordHasher(Protocol):
    """One-way, slow and salted."""

    def hash(self, password: SecretStr) -> str:
        """What is kept of a password; never the same twice."""

    def fits(self, kept: str, password: SecretStr) -> bool:
        """True when the password is the one that was kept."""

    def is_outdated(self, kept: str) -> bool:
        """True when it was kept by weaker parameters than those of today."""
