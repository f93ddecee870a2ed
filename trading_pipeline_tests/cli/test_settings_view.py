"""config show: a table for people, whole for machines. config check: what could not even be asked is said."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from typer.testing import CliRunner, Result

from trading_pipeline.cli.app import app

RUNNER = CliRunner()


def test_a_long_table_of_rules_is_cut_short_for_people_and_whole_for_machines() -> None:
    shown = RUNNER.invoke(app, ["config", "show"]).stdout
    whole = json.loads(RUNNER.invoke(app, ["config", "show", "--json"]).stdout)

    assert max(map(len, shown.splitlines())) < 200
    assert len(str(whole["sabr20"]["phases"])) > 200


def test_a_table_in_a_setting_is_shown_as_rows_of_its_own_and_never_as_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PIPELINE__ALERTS__CHANNELS__MAIL__URL", "json://u:SECRET@localhost/")
    monkeypatch.setenv("TRADING_PIPELINE__ALERTS__CHANNELS__MAIL__MIN_LEVEL", "CRITICAL")

    shown = RUNNER.invoke(app, ["config", "show"]).stdout

    rows = {line.split()[0]: line.split()[1] for line in shown.splitlines() if line.strip().startswith("alerts.")}
    assert (rows["alerts.channels"], rows["alerts.channels.mail.min_level"]) == ("mail", "CRITICAL")
    assert "SECRET" not in shown
    assert not [sign for sign in ("{", "SecretStr", "AlertLevel", "=<", "='") if sign in shown]


KEYS = {"BROKER__ALPACA__KEY_ID": "PK", "BROKER__ALPACA__SECRET_KEY": "secret"}
LIVE = "https://api.alpaca.markets"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"BROKER__NAME": "alpaca", "EXECUTION__MODE": "paper"}, "no keys of an Alpaca account are set: set TRADING"),
        ({"BROKER__NAME": "alpaca", "EXECUTION__MODE": "simulation", **KEYS}, "may not be spoken to"),
        (
            {"BROKER__NAME": "alpaca", "EXECUTION__MODE": "paper", "BROKER__ALPACA__TRADING_URL": LIVE, **KEYS},
            "api.alpaca.markets may not be spoken to in execution.mode paper",
        ),
        (
            {"BROKER__NAME": "ib", "EXECUTION__MODE": "simulation", "BROKER__IB__HOST": "10.0.0.7"},
            "execution.mode simulation stays on this machine",
        ),
    ],
)
def test_a_broker_that_could_not_be_asked_is_found_without_asking(settings: Mapping[str, str], said: str) -> None:
    checked = check(settings)

    assert checked.exit_code == 1
    assert said in " ".join(checked.stderr.split())


@pytest.mark.parametrize(
    "settings",
    [{}, {"BROKER__NAME": "alpaca", "EXECUTION__MODE": "paper", **KEYS}, {"BROKER__NAME": "ib"}],
)
def test_a_broker_that_could_be_asked_is_not_asked(settings: Mapping[str, str]) -> None:
    checked = check(settings)

    assert checked.exit_code == 0, checked.output
    assert "settings are valid" in checked.stdout


def check(settings: Mapping[str, str]) -> Result:
    environ = {f"TRADING_PIPELINE__{name}": value for name, value in settings.items()}
    return RUNNER.invoke(app, ["config", "check"], env=environ)
