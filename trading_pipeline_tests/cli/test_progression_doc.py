"""Every command of docs/progression.md, run top to bottom by two operators on an account that has earned it."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.cli.passwords import NEW_PASSWORD_VARIABLE, PASSWORD_VARIABLE
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


def newest_request(home: Path) -> str:
    found = json.loads(run(home, "mode", "history", "--json")[1])["requests"]
    return str(found[-1]["request_id"])


def test_the_commands_of_the_guide_lead_from_simulation_to_live_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, SENTENCE)
    monkeypatch.setenv(NEW_PASSWORD_VARIABLE, SENTENCE)
    clock, failed, modes = HandClock(datetime.now(UTC)), {}, list[str]()

    for command in commands():
        if command.startswith("mode request"):  # what weeks of trading leave
            earn(open_workspace(tmp_path).ledger, clock, "SIM")
        words = shlex.split(command)
        code, output = run(tmp_path, *[newest_request(tmp_path) if word == "REQUEST" else word for word in words])
        if code:
            failed[command] = output[-600:]
        modes.append(json.loads(run(tmp_path, "mode", "show", "--json")[1])["mode"])

    assert failed == {}
    assert len(modes) >= 10
    assert (modes[0], "PAPER" in modes, modes[-1]) == ("SIMULATION", True, "SIMULATION")
    assert newest_request(tmp_path)  # of LIVE_MINIMAL, whose gate passed with what the guide states
