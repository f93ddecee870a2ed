"""pause, resume, kill and breaker: a person's word, on record and in the latch at once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.wiring import Workspace, open_workspace

NOW = datetime.now(UTC)
WHO = ("--operator", "Kim")
SURE = ("--reason", "all clear", *WHO, "--override-cooldown")


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--home", str(home), *arguments])
    return done.exit_code, " ".join(done.output.split())


def shown(home: Path) -> dict[str, Any]:
    code, output = run(home, "breaker", "show", "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(output)
    return found


def latch_of(home: Path) -> Path:
    return home / "latch-SIM.json"


def workspace(home: Path) -> Workspace:
    return open_workspace(home)


def test_status_names_where_the_record_is_kept(tmp_path: Path) -> None:
    code, output = run(tmp_path, "status", "--json")
    assert code in {0, 1}
    assert json.loads(output)["ledger"] == str(tmp_path / "ledger.sqlite3")


@pytest.mark.parametrize(("verb", "state"), [("pause", "REDUCING"), ("kill", "HALTED")])
def test_a_persons_word_is_in_the_latch_and_on_record_with_name_and_audit(
    tmp_path: Path, verb: str, state: str
) -> None:
    code, output = run(tmp_path, verb, "--reason", "fire drill", *WHO)

    assert code == 0, output
    now = shown(tmp_path)
    assert (now["state"], now["latched"]) == (state, True)
    assert [(one["kind"], one["name"], one["words"]) for one in now["causes"]] == [("person", "Kim", "fire drill")]
    assert json.loads(latch_of(tmp_path).read_text())["by"] == "Kim"
    with workspace(tmp_path).ledger.read() as tx:
        told = [entry for _, entry in tx.audit_entries() if entry.kind == "trading_state"]
    assert [entry.actor for entry in told] == ["Kim"]


def test_resuming_needs_a_reason_and_a_name_and_lifts_a_pause_at_once(tmp_path: Path) -> None:
    run(tmp_path, "pause")

    assert run(tmp_path, "resume")[0] == 2
    assert run(tmp_path, "resume", "--reason", " ", *WHO)[0] == 1
    assert run(tmp_path, "resume", "--reason", "all clear", *WHO)[0] == 0
    assert shown(tmp_path)["state"] == "ACTIVE"
    assert not latch_of(tmp_path).exists()


def test_after_a_kill_nobody_resumes_before_the_cooldown_is_over_but_by_overriding_it_on_record(tmp_path: Path) -> None:
    run(tmp_path, "kill", *WHO)

    code, output = run(tmp_path, "resume", "--reason", "all clear", *WHO)

    assert code == 1
    assert "not resumed: the cooldown ends at" in output
    assert "in 30 min" in output
    assert shown(tmp_path)["state"] == "HALTED"
    assert run(tmp_path, "resume", *SURE)[0] == 0
    with workspace(tmp_path).ledger.read() as tx:
        (told,) = [entry for _, entry in tx.audit_entries() if entry.kind == "breaker_resumed"]
    assert (told.actor, told.data["override_cooldown"], told.data["reason"]) == ("Kim", "yes", "all clear")


def test_a_kill_says_in_which_home_and_at_which_broker_it_was(tmp_path: Path) -> None:
    assert f"in {tmp_path}, broker simulated" in run(tmp_path, "kill", *WHO)[1].replace("\n", "")
    assert json.loads(run(tmp_path, "kill", "--json", *WHO)[1])["where"] == f"{tmp_path}, broker simulated"


def test_a_pause_does_not_loosen_a_kill(tmp_path: Path) -> None:
    run(tmp_path, "kill", *WHO)

    code, output = run(tmp_path, "pause", *WHO)

    assert code == 1
    assert "is HALTED, which is stricter than REDUCING: it stays so" in output
    assert shown(tmp_path)["state"] == "HALTED"


def test_a_condition_cannot_be_resumed_away(tmp_path: Path) -> None:
    with workspace(tmp_path).ledger.transaction() as tx:
        block = Block(
            block_id="latency-SIM-x", account="SIM", symbol="", kind=BlockKind.BREAKER, reason="slow", since=NOW
        )
        tx.add_block(block)

    code, output = run(tmp_path, "resume", *SURE)

    assert code == 1
    assert "latency lifts by itself, 60 s after its cause is gone" in output
    now = shown(tmp_path)
    assert (now["state"], now["latched"]) == ("REDUCING", False)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"account": "OTHER"}', b"null", b"[" * 100_000])
def test_a_garbled_latch_blocks_and_says_how_to_repair_it(tmp_path: Path, content: bytes) -> None:
    latch_of(tmp_path).write_bytes(content)

    now = shown(tmp_path)
    code, output = run(tmp_path, "resume", *SURE)

    assert (now["state"], now["latched"], code) == ("HALTED", True, 1)
    assert f"remove it (rm -r '{latch_of(tmp_path)}'). Entries leave again at once then" in output
    latch_of(tmp_path).unlink()
    assert shown(tmp_path)["state"] == "ACTIVE"


def test_without_a_database_a_pause_and_a_kill_still_block_by_the_file(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"this is no database" * 100)

    code, output = run(tmp_path, "pause", *WHO)
    assert code == 0, output
    assert "is REDUCING" in output
    assert "Not on record yet" in output
    code, output = run(tmp_path, "kill", *WHO)
    assert code == 0, output
    assert "not on record yet" in output
    now = shown(tmp_path)
    assert now["state"] == "HALTED"
    assert {one["kind"] for one in now["causes"]} == {"file", "ledger"}
    assert run(tmp_path, "resume", *SURE)[0] == 1
    assert latch_of(tmp_path).exists()


def test_a_kill_under_settings_that_cannot_be_read_says_how_to_stop_without_them(tmp_path: Path) -> None:
    profile = tmp_path / "broken.yaml"
    profile.write_text("execution: [", encoding="utf-8")

    done = CliRunner().invoke(app, ["--home", str(tmp_path), "--profile", str(profile), "kill"])

    assert done.exit_code == 1
    assert "is not valid YAML" in done.output
    assert f"Nothing was stopped. To hold entries back at once: touch {tmp_path}/latch-ACCOUNT.json" in done.output


def test_that_positions_are_to_be_closed_is_on_record_and_shown_when_the_file_is_lost(tmp_path: Path) -> None:
    run(tmp_path, "kill", "--flatten", "--reason", "drill", *WHO)
    latch_of(tmp_path).unlink()

    with workspace(tmp_path).ledger.read() as tx:
        row = tx.trading_state("SIM")
    assert row is not None
    assert row.flattens
    assert shown(tmp_path)["flattens"] is True
    for command in (("status",), ("breaker", "show")):
        assert "ll positions are to be closed" in run(tmp_path, *command)[1]

    run(tmp_path, "resume", *SURE)
    assert shown(tmp_path)["flattens"] is False
    assert "positions are to be closed" not in run(tmp_path, "status")[1]


def test_a_kill_that_nothing_took_does_not_say_that_entries_are_held_back() -> None:
    code, output = run(Path("/proc/no-such-home"), "kill", *WHO)

    assert code == 4
    assert "NOTHING HOLDS ENTRIES BACK" in output
    assert "No entry leaves until" not in output
    assert "will see to it" not in output


@pytest.mark.parametrize("is_file_lost", [False, True])
def test_a_second_kill_does_not_take_back_that_positions_are_to_be_closed(tmp_path: Path, is_file_lost: bool) -> None:
    run(tmp_path, "kill", "--flatten", "--reason", "drill", *WHO)
    if is_file_lost:
        latch_of(tmp_path).unlink()

    code, output = run(tmp_path, "kill", "--reason", "to be sure", *WHO)

    assert code == 0
    assert ("All positions are still to be closed" in output) is not is_file_lost
    assert [one["words"] for one in shown(tmp_path)["causes"]] == ["to be sure"]
    assert shown(tmp_path)["flattens"] is True
    latch_of(tmp_path).unlink()
    assert shown(tmp_path)["flattens"] is True


def test_a_second_kill_closes_nothing_once_all_was_closed(tmp_path: Path) -> None:
    run(tmp_path, "kill", "--flatten", "--reason", "drill", *WHO)
    with workspace(tmp_path).ledger.transaction() as tx:
        row = tx.trading_state("SIM")
        assert row is not None
        tx.set_trading_state(replace(row, flattens=False))

    run(tmp_path, "kill", "--reason", "to be sure", *WHO)

    assert shown(tmp_path)["flattens"] is False


def test_status_tells_the_state_in_force_where_only_the_file_blocks(tmp_path: Path) -> None:
    latch_of(tmp_path).touch(0o600)

    account = json.loads(run(tmp_path, "status", "--json")[1])

    assert account["trading"] == "HALTED"
    assert "cannot be read" in account["trading_because"]
