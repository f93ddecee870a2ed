"""An account taken up the ladder by evidence and approvals in a ledger of its own, and what of it others need."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.ports import Ledger
from trading_pipeline.services.modes.vouching import OF_MODES, OF_PEOPLE
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.services.modes.people import KIM, LEE, Office, prove


def climbed(like: Office, mode: Mode, *, at: datetime | None = None) -> Ledger:
    """A ledger in which the office's account is in the mode; the last approval is of `at`."""
    climber = replace(like, ledger=MemoryLedger())
    climber.climb(tuple(Mode)[tuple(Mode).index(mode) - 1])
    prove(climber)
    climber.clock.instant = at or climber.clock.instant
    request = climber.asked(mode.value)
    for who in (KIM, LEE)[: 2 if mode is Mode.LIVE_SCALED else 1]:
        climber.approve(request, who)
    return climber.ledger


def copy_modes(source: Ledger, target: Ledger, account: str) -> None:
    """Everything that modes rest on, as it was granted elsewhere."""
    with source.read() as read, target.transaction() as write:
        state = read.mode_state(account)
        assert state is not None
        write.save_mode_state(state)
        for operator in read.operators():
            write.save_operator(operator)
        requests = read.mode_requests(account)
        approvals = [approval for one in requests for approval in read.approvals(one.request_id)]
        for request in requests:
            report = read.gate_report(request.report_id)
            assert report is not None
            write.add_gate_report(report)
            write.add_mode_request(request)
        for approval in approvals:
            write.add_approval(approval)
        for change in read.mode_changes(account):
            write.add_mode_change(change)
        for approval in approvals:
            use = read.approval_use(approval.approval_id)
            assert use is not None
            write.use_approval(use)
        for entry in read.entries_of((*OF_MODES, *OF_PEOPLE)):
            write.add_audit(entry)
