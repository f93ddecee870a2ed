"""halt and resume: a person's word, on record at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.domain.control import TradingState
from trading_pipeline.wiring import open_workspace


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--home", str(home), *arguments])
    return done.exit_code, done.output


def status(home: Path) -> dict[str, Any]:
    code, output = run(home, "status", "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(output)
    return found


def test_status_names_where_the_record_is_kept(tmp_path: Path) -> None:
    assert status(tmp_path)["ledger"] == str(tmp_path / "ledger.sqlite3")


@pytest.mark.parametrize(("options", "state"), [((), TradingState.HALTED), (("--reducing",), TradingState.REDUCING)])
def test_a_halt_is_on_record_with_reason_name_and_audit_and_shown(
    tmp_path: Path, options: tuple[str, ...], state: TradingState
) -> None:
    code, output = run(tmp_path, "halt", "--reason", "fire drill", "--operator", "Kim", *options)

    assert code == 0
    assert "Stops stay at the venue" in output
    shown = status(tmp_path)
    assert shown["trading"] == state.value
    assert "fire drill (Kim" in shown["trading_because"]
    with open_workspace(tmp_path).ledger.read() as tx:
        told = [entry for _, entry in tx.audit_entries() if "trading_state" in entry.kind]
    assert [entry.actor for entry in told] == ["Kim"]


def test_resuming_needs_a_reason_and_a_name(tmp_path: Path) -> None:
    run(tmp_path, "halt")

    assert run(tmp_path, "resume")[0] == 2
    assert run(tmp_path, "resume", "--reason", "all clear", "--operator", "Kim")[0] == 0
    assert status(tmp_path)["trading"] == "ACTIVE"


def test_a_halt_is_not_loosened_without_a_resume(tmp_path: Path) -> None:
    run(tmp_path, "halt")

    code, output = run(tmp_path, "halt", "--reducing")

    assert code == 1
    assert "is HALTED, which is stricter than REDUCING: it stays so" in " ".join(output.split())
    assert status(tmp_path)["trading"] == "HALTED"
