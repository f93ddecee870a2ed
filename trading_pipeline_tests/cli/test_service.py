"""The unit that systemd gets: what it is told is what is started, whatever letters a path has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.env_file import ENV_FILE_VARIABLE


def unit(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments[:-1], "service", "print", *arguments[-1:]])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_unit_names_home_and_env_file_and_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_FILE_VARIABLE, "")
    keys = tmp_path / "keys.env"
    keys.write_text("TRADING_PIPELINE__BROKER__ALPACA__SECRET_KEY=sesame\n", encoding="utf-8")
    keys.chmod(0o600)

    text = unit("--home", str(tmp_path / "my home 100%"), "--env-file", str(keys), "--port=3100")

    assert f'Environment="TRADING_PIPELINE_HOME={tmp_path}/my home 100%%"' in text
    assert f"Environment=TRADING_PIPELINE_ENV_FILE={keys}" in text
    assert "up --port 3100 --health-port 9464" in text
    assert "Restart=on-failure" in text  # `down` ends it for good
    assert "User=" in text
    assert "sesame" not in text


def test_a_user_s_own_unit_names_no_user(tmp_path: Path) -> None:
    text = unit("--home", str(tmp_path), "--user")

    assert "User=" not in text
    assert "systemctl --user enable --now trading-pipeline" in text
    assert "WantedBy=default.target" in text


def test_settings_that_would_not_start_give_no_unit(tmp_path: Path) -> None:
    profile = tmp_path / "wrong.yaml"
    profile.write_text("execution: {accont: SIM}\n", encoding="utf-8")

    done = CliRunner().invoke(app, ["--profile", str(profile), "service", "print"])

    assert done.exit_code == 1
    assert "[Service]" not in done.output


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "trading-pipeline.service"
    path.write_text(unit("--home", str(tmp_path / 'a "home" \\ 100%; $x'), "--port=3100"), encoding="utf-8")

    checked = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True)

    assert (checked.returncode, str(path) in checked.stderr) == (0, False), checked.stderr
