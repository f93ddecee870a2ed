"""Every command of docs/audit.md works, top to bottom, on a home with a log; the verifier's in a shell of its own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline_tests.audit_homes import AuditHome
from trading_pipeline_tests.docs import DOCS


def commands() -> list[str]:
    """What stands in fenced blocks, top to bottom."""
    found, in_block = [], False
    for line in (DOCS / "audit.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            in_block = not in_block
        elif in_block:
            found.append(line.partition("  #")[0].strip())
    return found


@pytest.mark.slow
def test_every_command_of_the_audit_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = AuditHome.made(tmp_path / "home", 30)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools").symlink_to(DOCS.parent / "tools")
    key = run(home, "audit keys show --json")["present"]
    monkeypatch.setenv("KEY", key)
    monkeypatch.setenv("ALERT", newest_line(home))

    failed = {}
    for command in commands():
        if command.startswith("python "):
            shutil.copy(home.anchors, "anchors.jsonl")
            done = subprocess.run(
                ["bash", "-c", command.replace("python", shlex.quote(sys.executable), 1)],
                capture_output=True, text=True, timeout=60, env=dict(os.environ),
            )  # fmt: skip
            code, output = done.returncode, done.stdout + done.stderr
        else:
            words = shlex.split(command.removeprefix("trading-pipeline "))
            result = CliRunner().invoke(app, ["--home", str(home.home), *words])
            code, output = result.exit_code, result.output
        if code:
            failed[command] = (code, output[-600:])
        if command.startswith("trading-pipeline audit checkpoint"):
            monkeypatch.setenv("ALERT", output.splitlines()[-1])

    assert failed == {}
    assert len(commands()) >= 16


def run(home: AuditHome, command: str) -> dict[str, str]:
    """What it shows as JSON."""
    result = CliRunner().invoke(app, ["--home", str(home.home), *shlex.split(command)])
    shown: dict[str, str] = json.loads(result.output)
    return shown


def newest_line(home: AuditHome) -> str:
    workspace = home.open()
    with closing(workspace.ledger), workspace.ledger.read() as tx:
        return [one.message for one in tx.alerts("SIM") if one.kind == "audit_checkpoint"][-1]
