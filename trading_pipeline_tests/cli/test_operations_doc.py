"""Every command of docs/operations.md: the harmless ones are run, top to bottom; the rest is named here."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.env_file import ENV_FILE_VARIABLE
from trading_pipeline_tests.docs import DOCS
from trading_pipeline_tests.test_docs import COMMAND
from trading_pipeline_tests.traded_home import TradedHome

RUN_ELSEWHERE = {
    "up": "test_up.py and test_up_real.py",
    "ui": "test_up_real.py",
    "config check --broker": "test_broker_check.py",
    "doctor --broker": "needs a broker",
    "logs -f": "test_logs.py",
    "kill --flatten": "test_kill_process.py",
    "logs daemon": "test_logs.py",
}
"""By how the command begins."""
CODES = {"doctor": {0, 1}, "status": {0, 3}, "kill": {0, 3}, "audit": {0, 1, 4}}
"""Exit codes that are no failure of the command; all others: 0. Nothing is cut off there, so nothing is accepted."""


def commands() -> list[str]:
    """What stands in fenced blocks, top to bottom."""
    found, in_block = [], False
    for line in (DOCS / "operations.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            in_block = not in_block
        elif in_block and (match := COMMAND.match(line)):
            found.append(match[1].partition("  #")[0].strip().removeprefix("trading-pipeline "))
    return found


def is_run_elsewhere(command: str) -> bool:
    return any(command == one or command.startswith(f"{one} ") for one in RUN_ELSEWHERE)


@pytest.mark.slow
def test_every_harmless_command_of_the_operations_page_works(
    traded_home: TradedHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = traded_home.copied_to(tmp_path)
    monkeypatch.setenv(ENV_FILE_VARIABLE, "")
    monkeypatch.setenv("TRADING_PIPELINE__EXECUTION__BREAKER__COOLDOWN_MINUTES", "0")  # nobody waits half an hour here
    monkeypatch.chdir(tmp_path)
    (made.home / "logs").mkdir(exist_ok=True)
    (made.home / "logs" / "daemon.log").write_text("hello\n", encoding="utf-8")

    failed = {}
    for command in commands():
        if is_run_elsewhere(command):
            continue
        words = ["--home", str(made.home), "--profile", str(made.profile), *shlex.split(command)]
        done = CliRunner().invoke(app, words)
        if done.exit_code not in CODES.get(command.split()[0], {0}):
            failed[command] = (done.exit_code, done.output[-600:])

    assert failed == {}
    assert sum(not is_run_elsewhere(one) for one in commands()) >= 20


def test_what_is_not_run_here_stands_on_the_page() -> None:
    shown = commands()

    for one in RUN_ELSEWHERE:
        assert any(command == one or command.startswith(f"{one} ") for command in shown), one
