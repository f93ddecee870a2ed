"""config show: a table for people, whole for machines."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from trading_pipeline.cli.app import app

RUNNER = CliRunner()


def test_a_long_table_of_rules_is_cut_short_for_people_and_whole_for_machines() -> None:
    shown = RUNNER.invoke(app, ["config", "show"]).stdout
    whole = json.loads(RUNNER.invoke(app, ["config", "show", "--json"]).stdout)

    assert max(map(len, shown.splitlines())) < 200
    assert len(str(whole["sabr20"]["phases"])) > 200
