"""Every command of docs/progression.md, run top to bottom by two operators on an account that has earned it."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.cli.passwords import NEW_PASSWORD_VARIABLE, PASSWORD_VARIABLE
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.ports import Ledger
from trading_pipeline.services.modes.transitions import present_mode
from trading_pipeline.wiring import open_workspace
from trading_pipeline_tests.docs import DOCS
from trading_pipeline_tests.services.modes.people import HandClock, earn
from trading_pipeline_tests.test_docs import COMMAND

SENTENCE = "seven grey herons wait"


def commands() -> list[str]:
    """What stands in fenced blocks, top to bottom."""
    found, in_block = [], False
    for line in (DOCS / "progression.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            in_block = not in_block
        elif in_block and (match := COMMAND.match(line)):
            found.append(match[1].removeprefix("trading-pipeline "))
    return found


def run(home: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--home", str(home), *words])
    return done.exit_code, done.output


def newest_request(ledger: Ledger) -> str:
    with ledger.read() as tx:
        return tx.mode_requests("SIM")[-1].request_id


def mode_of(ledger: Ledger) -> Mode:
    with ledger.read() as tx:
        return present_mode(tx, "SIM").mode


def test_the_commands_of_the_guide_lead_from_simulation_to_live_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, SENTENCE)
    monkeypatch.setenv(NEW_PASSWORD_VARIABLE, SENTENCE)
    clock, failed, modes = HandClock(datetime.now(UTC)), dict[str, str](), list[Mode]()
    ledger = open_workspace(tmp_path).ledger

    for command in commands():
        if command.startswith("mode request"):  # what weeks of trading leave
            earn(ledger, clock, "SIM")
        words = shlex.split(command)
        code, output = run(tmp_path, *[newest_request(ledger) if word == "REQUEST" else word for word in words])
        if code:
            failed[command] = output[-600:]
        modes.append(mode_of(ledger))

    assert failed == {}
    assert len(modes) >= 10
    assert (modes[0], Mode.PAPER in modes, modes[-1]) == (Mode.SIMULATION, True, Mode.SIMULATION)
    with ledger.read() as tx:  # its gate passed with what the guide states
        assert [one.mode for one in tx.mode_requests("SIM")] == [Mode.PAPER, Mode.LIVE_MINIMAL]
