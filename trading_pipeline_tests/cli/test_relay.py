"""relay run as a process, a single pass, the sensor that stands in for it, and who says that nobody does it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import dagster as dg
import pytest
from typer.testing import CliRunner

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.cli.app import app
from trading_pipeline.cli.programs import MEANING, Plan
from trading_pipeline.defs.relay import audit_job, relay_sensor
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.health import Level
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import open_workspace
from trading_pipeline.wiring.health import read_health
from trading_pipeline_tests.audit_worlds import entry


def tell(home: Path, count: int = 3) -> None:
    ledger = SqlLedger.open(default_url(home))
    with ledger.transaction() as tx:
        for number in range(count):
            tx.add_audit(entry(f"e{number}"))
    ledger.close()


def waiting(home: Path) -> int:
    ledger = SqlLedger(default_url(home))
    with ledger.read() as tx:
        found = tx.waiting().entries
    ledger.close()
    return found


def test_a_pass_numbers_and_signs_what_waits(tmp_path: Path) -> None:
    tell(tmp_path)

    done = CliRunner().invoke(app, ["--home", str(tmp_path), "relay", "run", "--once", "--json"])

    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["audit"] == {"ok": True, "trouble": None}
    assert len((tmp_path / "audit" / "anchors.jsonl").read_text().splitlines()) == 2
    verified = CliRunner().invoke(app, ["--home", str(tmp_path), "audit", "verify", "--json"])
    assert verified.exit_code == 0, verified.output


def test_a_pass_that_cannot_sign_says_why_and_fails(tmp_path: Path) -> None:
    tell(tmp_path)
    CliRunner().invoke(app, ["--home", str(tmp_path), "relay", "run", "--once"])
    (tmp_path / "audit" / "keys" / "signing.pem").chmod(0o644)
    tell(tmp_path)

    done = CliRunner().invoke(app, ["--home", str(tmp_path), "relay", "run", "--once"])

    assert done.exit_code == 1
    assert "chmod 600" in done.output.replace("\n", "")


def test_the_process_numbers_until_it_is_told_to_end_and_ends_in_order(tmp_path: Path) -> None:
    tell(tmp_path)
    command = [sys.executable, "-m", "trading_pipeline.cli", "--home", str(tmp_path), "relay", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        give_up = monotonic() + 60
        while waiting(tmp_path) or not (tmp_path / "audit" / "anchors.jsonl").exists():
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert monotonic() < give_up, "nothing was numbered"
            sleep(0.2)
        tell(tmp_path, 2)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)

    assert process.returncode == 0, said
    assert "what was told until now is on record" in said
    assert waiting(tmp_path) == 0
    last = json.loads((tmp_path / "audit" / "anchors.jsonl").read_text().splitlines()[-1])
    assert json.loads(last["text"])["why"] == "stop"


@pytest.mark.parametrize("automation", [True, False])
def test_up_runs_it_before_and_stops_it_after_whoever_has_something_to_tell(tmp_path: Path, automation: bool) -> None:
    settings = Settings.model_validate({"monitor": {"host": "service"}})

    names = [one.name for one in Plan(home=tmp_path, settings=settings, port=1, automation=automation).programs()]

    assert names.index("relay") < names.index("daemon")
    assert "loop" not in names or names.index("relay") < names.index("loop")
    assert "relay" in MEANING


def test_where_nobody_runs_it_a_sensor_makes_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PIPELINE_HOME", str(tmp_path))
    tell(tmp_path)

    found = relay_sensor(workspace=WorkspaceResource(home=str(tmp_path)))

    assert isinstance(found, dg.SkipReason)
    assert "audit: done" in str(found.skip_message)
    assert waiting(tmp_path) == 0


BY_HAND = {
    "log": "UPDATE audit_log SET body = replace(body, 'e1', 'e9') WHERE seq = 2",
    "record": "INSERT INTO operators VALUES ('eve', 'x', 1, '2025-06-10 14:00:00.000000', 'us', 0, NULL)",
}


@pytest.mark.parametrize("changed", BY_HAND)
def test_the_hourly_job_signs_and_verifies_and_fails_when_something_was_changed(tmp_path: Path, changed: str) -> None:
    tell(tmp_path)
    resources = {"workspace": WorkspaceResource(home=str(tmp_path))}
    assert audit_job.execute_in_process(resources=resources).success
    ledger = SqlLedger(default_url(tmp_path))
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_log_refuses_update")
        connection.exec_driver_sql(BY_HAND[changed])
    ledger.close()

    failed = audit_job.execute_in_process(resources=resources, raise_on_error=False)

    assert not failed.success


def test_health_says_that_entries_wait_and_nobody_numbers_them(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    assert read_health(workspace).find("audit").level is Level.OK
    tell(tmp_path)

    found = read_health(workspace).find("audit")

    assert found.level is Level.WARN
    assert "3 entries wait; nobody numbers them" in found.says
    assert "relay run" in found.advice
    assert read_health(workspace).find("queues").measured["audit"] == 3
    CliRunner().invoke(app, ["--home", str(tmp_path), "relay", "run", "--once"])
    found = read_health(workspace).find("audit")
    assert (found.level, found.measured["waiting"], found.measured["checkpoint"]) == (Level.OK, 0, 2)
