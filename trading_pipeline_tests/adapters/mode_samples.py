"""One record of each kind that changes of mode leave behind."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from trading_pipeline.domain.approvals import Approval, ApprovalUse, ModeRequest, Operator
from trading_pipeline.domain.mode_gate import GateItem, GateReport, report_id
from trading_pipeline.domain.modes import ChangeKind, ModeChange
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.ports import LedgerTransaction

ACCOUNT = "A"
NOW = datetime(2025, 6, 10, 14, 0, 0, 123456, tzinfo=UTC)
OPERATOR = Operator(name="kim", password_hash="kept", is_enabled=True, added_at=NOW, added_by="local:root")  # noqa: S106
ITEMS = (
    GateItem(name="sessions", measured="12", threshold="≥ 10", passed=True),
    GateItem(
        name="win_rate", measured="60.0%", threshold="≥ 45%", passed=True, sample=30, interval="42% to 75%", note="é"
    ),
)
UNNAMED = GateReport(
    report_id="", account=ACCOUNT, evidence_account=ACCOUNT, kind=ChangeKind.RAISE, mode=Mode.LIVE_SCALED, step=2,
    symbols=3, since=NOW - timedelta(days=20), made_at=NOW, made_by="kim", config_hash="c", limits_hash="l",
    items=ITEMS,
)  # fmt: skip
REPORT = replace(UNNAMED, report_id=report_id(asdict(UNNAMED)))
REQUEST = ModeRequest(
    request_id="request-1", account=ACCOUNT, kind=ChangeKind.RAISE, mode=Mode.LIVE_SCALED, step=2, symbols=3,
    requested_by="kim",
    reason="it went well", requested_at=NOW, expires_at=NOW + timedelta(hours=24), approvers=2,
    report_id=REPORT.report_id, from_change="before", config_hash="c", limits_hash="l",
)  # fmt: skip
APPROVAL = Approval(
    approval_id="approval-1", request_id="request-1", operator="kim", reason="seen", approved_at=NOW,
    expires_at=NOW + timedelta(hours=24), account=ACCOUNT, mode=Mode.LIVE_SCALED, step=2, symbols=3,
    report_id=REPORT.report_id, config_hash="c", limits_hash="l",
)  # fmt: skip
USE = ApprovalUse(approval_id="approval-1", change_id="change-1", used_at=NOW)
CHANGE = ModeChange(
    change_id="change-1", account=ACCOUNT, at=NOW, kind=ChangeKind.RAISE, from_mode=Mode.LIVE_SCALED, from_step=1,
    from_symbols=3, from_stopped=False, mode=Mode.LIVE_SCALED, step=2, symbols=3, is_stopped=False,
    reason="it went well",
    actor="kim", request_id="request-1", report_id=REPORT.report_id, approvals=("approval-1",), config_hash="c",
    limits_hash="l",
)  # fmt: skip


def record_modes(tx: LedgerTransaction) -> None:
    """One row in every table of modes."""
    tx.save_operator(OPERATOR)
    tx.add_gate_report(REPORT)
    tx.add_mode_request(REQUEST)
    tx.add_approval(APPROVAL)
    tx.use_approval(USE)
    tx.add_mode_change(CHANGE)
    tx.save_mode_state(CHANGE.state)
