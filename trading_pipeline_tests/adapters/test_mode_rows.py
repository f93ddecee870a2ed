"""Modes, approvals and operators on record: as written, once, and never changed; on both databases."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.approvals import ApprovalUse
from trading_pipeline.domain.errors import LedgerConflict, LedgerError
from trading_pipeline.domain.modes import ModeState
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.audit.chain import Chain
from trading_pipeline_tests.adapters import mode_samples as samples
from trading_pipeline_tests.audit_logs import told
from trading_pipeline_tests.memory_ledger import MemoryLedger


def test_what_a_change_of_mode_leaves_is_read_back_as_it_was_written(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_modes(tx)

    with ledger.read() as tx:
        assert tx.operator("kim") == samples.OPERATOR
        assert list(tx.operators()) == [samples.OPERATOR]
        assert tx.gate_report(samples.REPORT.report_id) == samples.REPORT
        assert samples.REPORT.is_genuine
        assert tx.mode_request("request-1") == samples.REQUEST
        assert list(tx.mode_requests(samples.ACCOUNT)) == [samples.REQUEST]
        assert list(tx.approvals("request-1")) == [samples.APPROVAL]
        assert tx.approval_use("approval-1") == samples.USE
        assert list(tx.mode_changes(samples.ACCOUNT)) == [samples.CHANGE]
        assert tx.mode_state(samples.ACCOUNT) == samples.CHANGE.state


def test_a_report_that_was_changed_under_its_name_is_not_genuine() -> None:
    better = replace(samples.REPORT, items=(replace(samples.ITEMS[0], measured="99"), *samples.ITEMS[1:]))

    assert not better.is_genuine
    assert not replace(samples.REPORT, mode=Mode.LIVE_MINIMAL, step=1, symbols=2).is_genuine


def test_an_approval_is_used_up_once_whatever_for(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_modes(tx)
        again = ApprovalUse(approval_id="approval-1", change_id="change-2", used_at=samples.NOW)
        assert not tx.use_approval(again)
        assert tx.approval_use("approval-1") == samples.USE


def test_the_database_itself_refuses_a_second_approval_of_one_person(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_modes(tx)

    with pytest.raises(LedgerConflict), ledger.transaction() as tx:
        tx.add_approval(replace(samples.APPROVAL, approval_id="approval-2"))


def test_an_approval_of_nobody_known_is_refused_by_the_database(ledger: SqlLedger) -> None:
    with ledger.transaction() as tx:
        samples.record_modes(tx)

    with pytest.raises(LedgerError), ledger.transaction() as tx:
        tx.add_approval(replace(samples.APPROVAL, approval_id="approval-2", operator="nobody"))


def test_an_account_without_a_change_is_nowhere_on_record(ledger: SqlLedger) -> None:
    with ledger.read() as tx:
        assert tx.mode_state("NEW") is None
    assert ModeState(account="NEW").mode is Mode.SIMULATION


def test_the_ledger_in_memory_answers_the_same() -> None:
    ledger = MemoryLedger()
    with ledger.transaction() as tx:
        samples.record_modes(tx)
        assert not tx.use_approval(replace(samples.USE, change_id="change-2"))

    with ledger.read() as tx:
        assert tx.mode_state(samples.ACCOUNT) == samples.CHANGE.state
        assert list(tx.approvals("request-1")) == [samples.APPROVAL]
        assert list(tx.mode_changes(samples.ACCOUNT)) == [samples.CHANGE]


def test_entries_about_modes_are_found_whether_they_have_their_number_or_wait(ledger: SqlLedger) -> None:
    wanted, other = ("mode_changed", "operator_added"), "decision"
    made = [replace(told(n), kind=(*wanted, other)[n % 3]) for n in range(1, 13)]
    memory = MemoryLedger()
    for one in (ledger, memory):
        with one.transaction() as tx:
            for entry in made:
                tx.add_audit(entry)
    with ledger.transaction() as tx:
        entries, _ = Chain.empty("log").extended(tx.unlogged(limit=9), samples.NOW)
        tx.append_logged([one for one in entries if one.seq != 4])  # the fourth was committed late

    by_subject = attrgetter("subject")
    expected = [entry for entry in made if entry.kind in wanted]
    with ledger.read() as tx, memory.read() as kept:
        assert sorted(tx.entries_of(wanted), key=by_subject) == sorted(expected, key=by_subject)
        assert list(kept.entries_of(wanted)) == expected
        assert not tx.entries_of(("nothing",))
    with ledger.transaction() as tx:
        tx.add_audit(replace(made[0], kind="operator_added", subject="in this transaction"))
        assert tx.entries_of(wanted)[-1].subject == "in this transaction"


def test_accounts_that_have_to_do_with_modes_are_those_changed_and_those_asked_for(ledger: SqlLedger) -> None:
    memory = MemoryLedger()
    for one in (ledger, memory):
        with one.transaction() as tx:
            samples.record_modes(tx)
            tx.add_mode_change(replace(samples.CHANGE, change_id="other", account="B"))
        with one.read() as tx:
            assert list(tx.mode_accounts()) == sorted({samples.ACCOUNT, "B"})
