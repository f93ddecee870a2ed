"""Modes, approvals and operators that somebody wrote into the database, and no entry of the audit log tells of."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import yaml
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.passwords import Argon2Passwords
from trading_pipeline.cli.app import app
from trading_pipeline.cli.passwords import PASSWORD_VARIABLE
from trading_pipeline.domain.errors import ModeRefused
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.modes.approvals import Asking
from trading_pipeline.services.modes.targets import target_of
from trading_pipeline.wiring import open_workspace
from trading_pipeline.wiring.audit import audit_desk
from trading_pipeline.wiring.audit_reading import verify
from trading_pipeline.wiring.modes import mode_desk, operators_of
from trading_pipeline.wiring.permission import permission_of
from trading_pipeline_tests.audit_homes import AuditHome
from trading_pipeline_tests.audit_logs import told
from trading_pipeline_tests.services.modes.people import GROUND, KIM, HandClock, Office, QuickPasswords

RISEN = (
    "INSERT INTO mode_changes (change_id, account, at, kind, from_mode, from_step, from_symbols, from_stopped, mode, "
    "step, symbols, is_stopped, reason, actor, request_id, report_id, approvals, config_hash, limits_hash) "
    "SELECT 'risen', account, at, kind, 'PAPER', 1, NULL, 0, 'LIVE_MINIMAL', 1, 2, 0, reason, actor, request_id, "
    "report_id, approvals, config_hash, limits_hash FROM mode_changes"
)
IN_MODE = "UPDATE mode_states SET mode = 'LIVE_MINIMAL', symbols = 2, change_id = 'risen'"
WRITTEN = {
    "a change of mode": (f"{RISEN}; {IN_MODE}", "to LIVE_MINIMAL: in the ledger, and no entry tells of it"),
    "a mode": ("UPDATE mode_states SET mode = 'LIVE_MINIMAL', symbols = 2", "was written by hand: its row says LIVE"),
    "another password": ("UPDATE operators SET password_hash = 'x' WHERE name = 'lee'", "operator lee: another passw"),
    "a disabled operator": ("UPDATE operators SET is_enabled = 0 WHERE name = 'lee'", "operator lee: disabled, and"),
    "an operator": (
        "INSERT INTO operators SELECT 'eve', password_hash, 1, added_at, added_by, 0, NULL FROM operators LIMIT 1",
        "operator eve: in the ledger, and no entry tells of it",
    ),
}


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    """An account that people took to PAPER; copied, never written."""
    home = AuditHome(tmp_path_factory.mktemp("paper") / "home")
    workspace = home.open()
    with closing(workspace.ledger):
        office = Office(workspace.ledger, replace(GROUND, account="SIM"), clock=HandClock())
        office.climb(Mode.PAPER)
        office.operators.set_password("lee", SecretStr("another sentence, of her own"), KIM)
        home.sequence(audit_desk(workspace))
    return home


def differences(home: AuditHome) -> Sequence[str]:
    workspace = home.open()
    with closing(workspace.ledger):
        found = verify(workspace)
    assert found.verdict.is_sound
    return [one.line for one in found.record.new]


def test_what_people_approved_is_what_the_log_tells(paper: AuditHome) -> None:
    assert differences(paper) == []


@pytest.mark.parametrize("written", WRITTEN)
def test_what_nobody_did_is_found(paper: AuditHome, tmp_path: Path, written: str) -> None:
    home = paper.copied_to(tmp_path)
    statements, words = WRITTEN[written]
    for one in statements.split("; "):
        home.change(one)

    assert any(words in one for one in differences(home)), differences(home)


def test_the_last_word_of_the_screen_is_that_the_record_differs(paper: AuditHome, tmp_path: Path) -> None:
    home = paper.copied_to(tmp_path)
    asked = ["--home", str(home.home), "audit", "verify"]
    before = CliRunner().invoke(app, asked)
    home.change(WRITTEN["a mode"][0])
    after = CliRunner().invoke(app, asked)

    assert (before.exit_code, after.exit_code) == (0, 3)
    assert "modes, approvals and operators in the record are those of the log" in before.output
    assert after.output.splitlines()[-1].startswith("DAMAGED (record)")


@pytest.mark.parametrize("written", ["a change of mode", "a mode"])
def test_real_money_is_not_traded_on_a_mode_of_which_the_log_tells_nothing(
    paper: AuditHome, tmp_path: Path, written: str
) -> None:
    home = paper.copied_to(tmp_path)
    before = audit_fault(home)
    for one in WRITTEN[written][0].split("; "):
        home.change(one)

    assert before == ""
    assert "the account's mode is not what the log says of it" in audit_fault(home)


@pytest.mark.parametrize("written", ["a change of mode", "another password", ""])
def test_a_paper_account_is_not_traded_on_a_mode_of_which_no_entry_tells(
    paper: AuditHome, tmp_path: Path, written: str
) -> None:
    home = paper.copied_to(tmp_path)
    for one in WRITTEN[written][0].split("; ") if written else ():
        home.change(one)

    fault, is_of_mode = audit_fault(home, "paper"), written == "a change of mode"

    assert ("risen of account SIM to LIVE_MINIMAL: in the ledger, and no entry" in fault) == is_of_mode
    assert bool(fault) == is_of_mode


def test_of_a_log_that_was_never_signed_a_live_start_says_how_many_entries_wait_and_what_to_do(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    workspace = home.open()
    with closing(workspace.ledger):
        Office(workspace.ledger, replace(GROUND, account="SIM"), clock=HandClock())

    assert audit_fault(home) == (
        "nothing of the audit log is signed yet, and 2 audit entries wait for their number: trading-pipeline relay run "
        "--once, or leave a relay running (up does)"
    )


def test_a_live_start_waits_for_a_relay_that_numbers_what_waits(
    paper: AuditHome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = paper.copied_to(tmp_path)
    workspace = home.open()
    with closing(workspace.ledger):
        with workspace.ledger.transaction() as tx:
            tx.add_audit(told(1))
        permission_of(workspace).catch_up()  # nobody numbers: there is nothing to wait for
        assert not caplog.records

        def number_later() -> None:
            time.sleep(0.3)
            home.sequence(audit_desk(workspace))

        thread = Thread(target=number_later)
        with workspace.ledger.transaction() as tx:
            assert tx.take_lease("audit", "a relay", SystemClock().now(), 30)
        thread.start()
        caplog.set_level(logging.INFO)
        permission_of(workspace).catch_up()
        with workspace.ledger.read() as tx:
            waiting = tx.waiting().entries
        thread.join(20)
    assert waiting == 0
    assert "1 audit entries wait for their number: waiting for the relay, 5 s at most" in caplog.text


def test_real_money_is_not_traded_while_nothing_can_be_signed(paper: AuditHome, tmp_path: Path) -> None:
    home = paper.copied_to(tmp_path)
    (home.keys / "signing.pem").write_text("no key\n")
    garbled = audit_fault(home)
    (home.keys / "signing.pem").unlink()

    assert "is no private key" in garbled
    assert "its signing key is not here" in audit_fault(home)


class FromOfficeToHere(QuickPasswords):
    """Knows passwords as the office keeps them, and keeps new ones as the product does."""

    def hash(self, password: SecretStr) -> str:
        return Argon2Passwords().hash(password)

    def fits(self, kept: str, password: SecretStr) -> bool:
        return QuickPasswords().fits(kept, password)

    def is_outdated(self, kept: str) -> bool:  # noqa: ARG002
        return False


def test_above_simulation_whoever_acts_on_the_log_gives_a_password(paper: AuditHome, tmp_path: Path) -> None:
    home = paper.copied_to(tmp_path)
    workspace = home.open()
    with closing(workspace.ledger):
        people = replace(operators_of(workspace), passwords=FromOfficeToHere())
        people.set_password("lee", SecretStr("a sentence that only lee knows"), KIM)
    by = ["--reason", "yearly", "--operator", "lee"]
    (home.keys / "signing.pem").unlink()

    def renewed(password: str, *words: str) -> Result:
        given = {PASSWORD_VARIABLE: password}
        return CliRunner().invoke(app, ["--home", str(home.home), "audit", *words, *by], env=given)

    for words in (("accept",), ("keys", "rotate"), ("keys", "renew")):
        assert "name or password is wrong" in renewed("a guess of somebody", *words).output
    assert renewed("a sentence that only lee knows", "keys", "renew").output.startswith("REPLACED")


def audit_fault(home: AuditHome, mode: str = "live") -> str:
    """Of the home as one whose account is at a broker."""
    profile = home.home / "profile.yaml"
    profile.write_text(yaml.safe_dump({"execution": {"mode": mode, "account": "SIM"}, "broker": {"name": "alpaca"}}))
    workspace = open_workspace(home.home, profile=profile)
    with closing(workspace.ledger):
        return permission_of(workspace).audit_fault()


@pytest.mark.parametrize("swapped", ["another home's", "an older one", "none"])
def test_in_a_ledger_that_is_not_this_home_s_nobody_asks_or_approves_and_paper_is_not_traded(
    paper: AuditHome, tmp_path: Path, swapped: str
) -> None:
    home = paper.copied_to(tmp_path)
    if swapped == "an older one":
        home.tell([told(1)])
        shutil.copy(paper.database, home.database)
        (home.home / "ledger.sqlite3-wal").unlink(missing_ok=True)
    elif swapped == "another home's":
        AuditHome.made(tmp_path / "other", 200, log_id="theirs").database.replace(home.database)
        (home.home / "ledger.sqlite3-wal").unlink(missing_ok=True)
    words = "this ledger is another one, or an older one, than its anchor file knows"

    assert (words in audit_fault(home, "paper")) == (swapped != "none")
    workspace = home.open()
    with closing(workspace.ledger):
        assert (words in mode_desk(workspace).ledger_fault()) == (swapped != "none")
        office = Office(workspace.ledger, replace(GROUND, account="SIM"), clock=HandClock())
        desk = replace(office.desk, ledger_fault=mode_desk(workspace).ledger_fault)
        for act in (lambda: desk.request(Asking(target=target_of("LIVE_SCALED"), reason="x"), KIM),
                    lambda: desk.approve("0000", KIM, "x")):  # fmt: skip
            with pytest.raises(ModeRefused) as refused:
                act()
            assert (words in str(refused.value)) == (swapped != "none")
