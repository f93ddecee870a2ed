"""A rehearsal keeps away from the real ledger and the real broker, whatever the environment says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from trading_pipeline.settings import Settings, load_settings
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.rehearsal import Plan, Rehearsal, fault_script, own_environment
from trading_pipeline.wiring.rehearsed_doors import DOORS


def test_no_process_of_a_rehearsal_sees_what_points_at_the_real_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PIPELINE__STORAGE__DATABASE_URL", "postgresql://real")
    monkeypatch.setenv("TRADING_PIPELINE__BROKER__ALPACA__KEY_ID", "PKREAL")
    monkeypatch.setenv("TRADING_PIPELINE__EXECUTION__RISK__MAX_OPEN_POSITIONS", "3")

    seen = own_environment()

    assert set(os.environ) - set(seen) == {
        "TRADING_PIPELINE__STORAGE__DATABASE_URL", "TRADING_PIPELINE__BROKER__ALPACA__KEY_ID"
    }  # fmt: skip


@pytest.mark.parametrize("broker", DOORS)
def test_its_ledger_is_a_file_of_its_own_wherever_the_home_keeps_its(broker: str, tmp_path: Path) -> None:
    settings = Settings.model_validate({"storage": {"database_url": SecretStr("postgresql://real")}})
    home = Workspace(tmp_path / "home", settings)
    (home.home / "bars").mkdir(parents=True)
    plan = Plan(broker=broker, sessions=(), seed=1, fault_rate=0.0, kills=0)
    rehearsal = Rehearsal(home, plan, tmp_path / "rehearsed", lambda *_: None)

    rehearsal._furnish()

    assert yaml.safe_load(rehearsal.profile.read_text())["storage"]["database_url"] == ""
    assert rehearsal._rehearsed().settings.storage.database_url.get_secret_value() == ""


@pytest.mark.parametrize("broker", DOORS)
def test_faults_come_at_the_rate_asked_for_and_none_at_zero(broker: str) -> None:
    assert fault_script(DOORS[broker], 0.0, 1).rules == ()
    script = fault_script(DOORS[broker], 0.1, 1)

    for op in {rule.op for rule in script.rules}:
        assert sum(rule.probability for rule in script.rules if rule.op == op) == pytest.approx(0.1)


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_rehearsal_is_a_simulation_whatever_mode_the_home_is_in(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING_PIPELINE__EXECUTION__MODE", mode)
    settings = Settings.model_validate({"execution": {"mode": mode}, "broker": {"name": "alpaca"}})
    home = Workspace(tmp_path / "home", settings)
    (home.home / "bars").mkdir(parents=True)
    rehearsal = Rehearsal(
        home, Plan(broker="alpaca", sessions=(), seed=1, fault_rate=0.0, kills=0), tmp_path / "r", print
    )

    rehearsal._furnish()

    assert load_settings(profile=rehearsal.profile, environ=own_environment()).execution.mode == "simulation"
