"""doctor on this machine: really looks, changes nothing, shows no key."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.env_file import ENV_FILE_VARIABLE

KEYS = "TRADING_PIPELINE__BROKER__ALPACA__KEY_ID=sesame\nTRADING_PIPELINE__BROKER__ALPACA__SECRET_KEY=sesame\n"


def findings(home: Path, *arguments: object) -> tuple[int, dict[str, dict[str, Any]]]:
    done = CliRunner().invoke(app, ["--home", str(home), "doctor", "--json", *map(str, arguments)])
    assert "sesame" not in done.output
    told = json.loads(done.output)["findings"]
    return done.exit_code, {one["name"]: one for one in told}


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def test_on_a_new_machine_nothing_fails_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_FILE_VARIABLE, raising=False)
    ui, health = free_ports(2)

    code, found = findings(tmp_path / "home", "--port", ui, "--health-port", health)

    assert code == 0, found
    assert not (tmp_path / "home").exists()
    assert {one["level"] for one in found.values()} <= {"ok", "warn"}
    assert all(one["fix"] for one in found.values() if one["level"] != "ok")


def test_what_is_wrong_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    (home / "latch-SIM.json").write_text("{", encoding="utf-8")
    keys = tmp_path / "keys.env"
    keys.write_text(KEYS, encoding="utf-8")
    keys.chmod(0o644)
    monkeypatch.setenv(ENV_FILE_VARIABLE, str(keys))

    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, found = findings(home, "--port", taken.getsockname()[1])

    failing = {name for name, one in found.items() if one["level"] == "fail"}
    assert code == 1
    assert failing >= {"settings", "env file", "home", "ports", "latch"}
    assert found["home"]["fix"] == f"chmod 700 {home}"
    assert "chmod 600" in found["env file"]["says"]


def test_missing_keys_and_a_database_that_is_not_there_are_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    monkeypatch.delenv(ENV_FILE_VARIABLE, raising=False)
    monkeypatch.setenv("TRADING_PIPELINE__BROKER__NAME", "alpaca")
    monkeypatch.setenv("TRADING_PIPELINE__STORAGE__DATABASE_URL", f"postgresql://ann:sesame@127.0.0.1:{port}/trading")

    code, found = findings(tmp_path / "home")

    assert code == 1
    assert "SECRET_KEY" in found["keys"]["says"]
    assert found["database"]["level"] == "fail"
    assert str(port) in found["database"]["says"]


def test_keys_of_a_private_file_are_seen_and_one_in_a_repository_is_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys.env"
    keys.write_text(KEYS, encoding="utf-8")
    keys.chmod(0o600)
    monkeypatch.setenv(ENV_FILE_VARIABLE, str(keys))
    monkeypatch.setenv("TRADING_PIPELINE__BROKER__NAME", "alpaca")

    _, outside = findings(tmp_path / "home")
    (tmp_path / ".git").mkdir()
    _, inside = findings(tmp_path / "home")

    assert (outside["keys"]["level"], outside["env file"]["level"]) == ("ok", "ok")
    assert inside["env file"]["level"] == "fail"


def test_for_people_each_finding_is_a_line_and_each_fault_its_fix(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)

    done = CliRunner().invoke(app, ["--home", str(home), "doctor"])

    assert f"fix: chmod 700 {home}" in done.output
    assert " ok    python" in done.output
