"""relay show: who carries the outbox on."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.cli.app import app


def show(home: Path) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), "relay", "show", "--json"])


def led(home: Path, *names: str) -> None:
    ledger = SqlLedger.open(default_url(home))
    with ledger.transaction() as tx:
        for name in names:
            assert tx.take_lease(name, f"relay of {name}", SystemClock().now(), 60)
    ledger.close()


def test_a_home_without_a_relay_says_what_nobody_does(tmp_path: Path) -> None:
    found = show(tmp_path)

    assert found.exit_code == 1
    assert "nobody does: audit, alerts. Start: trading-pipeline relay run" in found.output


def test_each_worker_is_shown_with_who_leads_it(tmp_path: Path) -> None:
    led(tmp_path, "audit")
    assert show(tmp_path).exit_code == 1

    led(tmp_path, "alerts")
    found = show(tmp_path)

    assert found.exit_code == 0
    assert {name: one["holder"] for name, one in json.loads(found.output).items()} == {
        "audit": "relay of audit",
        "alerts": "relay of alerts",
    }
