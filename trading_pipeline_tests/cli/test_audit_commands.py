"""`audit` on the command line: what it says, and the code it ends with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trading_pipeline.cli.app import app
from trading_pipeline_tests.audit_homes import AuditHome


@pytest.fixture(scope="module")
def kept_home(tmp_path_factory: pytest.TempPathFactory) -> AuditHome:
    return AuditHome.made(tmp_path_factory.mktemp("audit") / "home")


@pytest.fixture
def home(kept_home: AuditHome, tmp_path: Path) -> AuditHome:
    return kept_home.copied_to(tmp_path)


def command(home: AuditHome, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["--home", str(home.home), *words])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["prove", "999999"], r"no entry 999999: the audit log has entries 1 to 12\d, .* covers 1 to 12\d"),
        (["prove", "60", "--checkpoint", "99"], r"no checkpoint 99: there are 1 to \d"),
        (["prove", "60", "--checkpoint", "2"], r"checkpoint 2 does not cover entry 60: it covers entries 1 to 50, and"),
        (["export", "--from", "999999"], r"from 999999 to the last: it has entries 1 to 12\d, of 20.* \(UTC\)"),
        (["export", "--from", "80", "--to", "30"], r"--from 80 comes after --to 30: it has entries 1 to 12\d"),
        (["export", "--from", "2025-06-11", "--to", "2025-06-10"], "comes after --to 2025-06-10"),
        (["export", "--from", "10-20"], "'10-20': write the number of one entry, from 1, or a day"),
        (["export", "--from", "0"], "'0': write the number of one entry, from 1"),
        (["export", "--to", "9" * 30 + "x"], "write the number of one entry"),
        (["export", "--from", "9" * 5000, "--to", "9" * 5000], "it has entries 1 to"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(kept_home: AuditHome, asked: list[str], said: str) -> None:
    shown = command(kept_home, "audit", *asked, code=1).output

    assert re.search(said, " ".join(shown.split())), shown


def test_an_entry_without_a_checkpoint_yet_is_told_apart_from_one_that_is_not_there(home: AuditHome) -> None:
    home.change("DELETE FROM audit_checkpoints WHERE seq > 100")

    assert "no checkpoint covers entry 110 yet: the audit log has entries 1 to" in command(
        home, "audit", "prove", "110", code=1
    ).output.replace("\n", " ")


def test_the_command_line_verifies_and_tells_by_its_exit_code(home: AuditHome) -> None:
    whole = command(home, "audit", "verify", "--ledger")
    home.change("UPDATE audit_log SET subject = 'x' WHERE seq = 60")
    damaged = command(home, "audit", "verify", code=3)
    told = json.loads(command(home, "audit", "verify", "--json", code=3).output)

    assert whole.output.strip().splitlines()[-1].startswith("OK: log our-log")
    assert "the first bad entry is 60" in damaged.output
    assert (told["ok"], told["damages"][0]["kind"], told["damages"][0]["first_bad"]) == (False, "column", 60)


def test_a_log_that_holds_but_cannot_be_signed_any_more_ends_with_a_code_of_its_own(home: AuditHome) -> None:
    (home.keys / "signing.pem").unlink()
    shown = command(home, "audit", "verify", code=4)
    told = json.loads(command(home, "audit", "verify", "--json", code=4).output)

    assert "OK, BUT NOTHING CAN BE SIGNED: log our-log" in shown.output
    assert "audit keys renew --reason TEXT --operator NAME" in shown.output
    assert (told["ok"], told["can_sign"], told["but"]) == (True, False, ["NOTHING CAN BE SIGNED"])


def test_renewing_says_whether_the_key_before_signed_it(home: AuditHome) -> None:
    words = ("audit", "keys", "renew", "--reason", "yearly", "--operator", "ann")
    there = command(home, *words)
    home.tell([])
    (home.keys / "signing.pem").unlink()
    lost = command(home, *words)

    assert there.output.startswith("ROTATED")
    assert lost.output.startswith("REPLACED")
    assert "Tell everybody who verifies" in lost.output


def test_the_newest_entries_are_shown(home: AuditHome) -> None:
    assert "order-120" in command(home, "audit", "tail").output
    assert len(json.loads(command(home, "audit", "tail", "-n", "3", "--json").output)) == 3
