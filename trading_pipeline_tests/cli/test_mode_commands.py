"""`mode` and `operators` as they are typed: passwords from a pipe or the environment, exit codes, JSON."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.cli.passwords import NEW_PASSWORD_VARIABLE, PASSWORD_VARIABLE
from trading_pipeline.wiring import open_workspace
from trading_pipeline_tests.services.modes.people import HandClock, earn

KIM, LEE = "rain on the green roof", "seven grey herons wait"
SAY = ("--reason", "it went well", "--operator")


def run(home: Path, *arguments: str, typed: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--home", str(home), *arguments], input=typed)
    return done.exit_code, done.output


def answer(home: Path, *arguments: str, typed: str = "") -> Any:
    code, output = run(home, *arguments, "--json", typed=typed)
    assert code in {0, 3}, output
    return json.loads(output)


@pytest.fixture(scope="module")
def earned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An account that has earned PAPER, and two operators; copied, never written."""
    made = tmp_path_factory.mktemp("earned")
    assert run(made, "operators", "add", "kim", typed=f"{KIM}\n")[0] == 0
    assert run(made, "operators", "add", "lee", "--by", "kim", typed=f"{KIM}\n{LEE}\n")[0] == 0
    ledger = open_workspace(made).ledger
    earn(ledger, HandClock(datetime.now(UTC)), "SIM")
    ledger.close()
    return made


@pytest.fixture
def home(earned: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    for name in ("ledger.sqlite3", "ledger.sqlite3-wal"):  # the second: commands here share a process that lives on
        if (earned / name).exists():
            shutil.copy(earned / name, tmp_path / name)
    return tmp_path


def test_an_operator_asks_another_approves_and_the_mode_is_in_force(home: Path) -> None:
    asked = answer(home, "mode", "request", "paper", *SAY, "kim", typed=f"{KIM}\n")
    request = asked["request"]["request_id"]
    done = answer(home, "mode", "approve", request, *SAY, "lee", typed=f"{LEE}\n")

    assert asked["gate"]["passed"]
    assert (done["mode"], done["missing"]) == ("PAPER", 0)
    shown = answer(home, "mode", "show")
    assert (shown["mode"], shown["stopped"], shown["next"][0]["target"]) == ("PAPER", False, "LIVE_MINIMAL")
    assert {one["limit"]: one["in force"] for one in shown["limits"]}["max_total_exposure_fraction"] == "0.2"
    told = answer(home, "mode", "history")
    assert [(one["kind"], one["actor"], one["mode"]) for one in told["changes"]] == [("raise", "lee", "PAPER")]
    code, output = run(home, "mode", "approve", request, *SAY, "kim", typed=f"{KIM}\n")
    assert code == 1
    assert "used up" in output


def test_what_is_missing_is_shown_and_nothing_is_asked_for(home: Path) -> None:
    request = answer(home, "mode", "request", "paper", *SAY, "kim", typed=f"{KIM}\n")["request"]["request_id"]
    run(home, "mode", "approve", request, *SAY, "kim", typed=f"{KIM}\n")

    code, output = run(
        home, "mode", "request", "live_minimal", "--state", "stops_verified", *SAY, "kim", typed=f"{KIM}\n"
    )

    assert code == 3
    assert "Not asked for: " in output
    for words in ("closed_trades", "stated by kim", "not stated", "--state alerts_received"):
        assert words in output
    code, output = run(home, "mode", "show")
    assert code == 0
    assert "next: LIVE_MINIMAL" in output


def test_passwords_come_from_the_environment_as_well_and_are_shown_nowhere(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = "a heron more than before"
    monkeypatch.setenv(PASSWORD_VARIABLE, LEE)
    monkeypatch.setenv(NEW_PASSWORD_VARIABLE, new)

    code, output = run(home, "operators", "passwd", "lee")
    assert (code, output.strip()) == (0, "operator lee is enabled")

    said = output
    for words in (("mode", "request", "paper", *SAY, "lee"), ("operators", "passwd", "lee")):
        code, output = run(home, *words)
        assert code == 1
        said += output
    files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    for secret in (KIM, LEE, new):
        assert secret not in said
        assert not any(secret.encode() in one for one in files)


def test_without_a_password_or_with_a_wrong_one_nothing_happens(home: Path) -> None:
    for typed, words in (("", "no password"), ("guess the password\n", "is wrong")):
        code, output = run(home, "mode", "request", "paper", *SAY, "kim", typed=typed)
        assert code == 1
        assert words in output
    code, output = run(home, "operators", "list")
    assert output.splitlines()[1].split()[-1] == "1"


def test_what_a_person_is_refused_makes_the_machine_no_less_healthy(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(home, "mode", "request", "paper", *SAY, "kim", typed="guess the password\n")[0] == 1

    assert [one.levelname for one in caplog.records if one.name == "trading_pipeline.cli.app"] == ["WARNING"]


def test_operators_are_listed_disabled_and_enabled(home: Path) -> None:
    assert answer(home, "operators", "disable", "lee", "--by", "kim", "--reason", "left", typed=f"{KIM}\n") == {
        "operator": "lee", "enabled": False, "added_at": answer(home, "operators", "list")[1]["added_at"],
        "added_by": "kim", "wrong_passwords": 0,
    }  # fmt: skip
    assert run(home, "mode", "request", "paper", *SAY, "lee", typed=f"{LEE}\n")[0] == 1
    assert run(home, "operators", "enable", "lee", "--by", "kim", "--reason", "is back", typed=f"{KIM}\n")[0] == 0
    assert [one["enabled"] for one in answer(home, "operators", "list")] == [True, True]
    code, output = run(home, "operators", "enable", "ada", "--by", "kim", "--reason", "new", typed=f"{KIM}\n")
    assert code == 1
    assert "there is no operator 'ada'; there are: kim, lee" in output


def test_downwards_it_takes_no_password_but_a_known_name(home: Path) -> None:
    request = answer(home, "mode", "request", "paper", *SAY, "kim", typed=f"{KIM}\n")["request"]["request_id"]
    run(home, "mode", "approve", request, *SAY, "kim", typed=f"{KIM}\n")

    assert run(home, "mode", "step-down", "simulation", *SAY, "somebody")[0] == 1
    assert run(home, "mode", "step-down", "paper", *SAY, "kim")[0] == 1
    assert answer(home, "mode", "step-down", "simulation", *SAY, "kim")["mode"] == "SIMULATION"


NONSENSE = {
    "cannot be asked for": ("request", "moon"),
    "nobody can state all_is_well": ("request", "paper", "--state", "all_is_well"),
    "no amount of USD": ("request", "live_minimal", "--equity", "much"),
    "above zero": ("request", "live_minimal", "--equity", "NaN"),
    "steps 1 to 3": ("request", "live_scaled", "--step", "9"),
    "not stopped": ("request", "resume"),
    "no request '0000'": ("approve", "0000"),
    "is no mode": ("step-down", "moon"),
}


def test_what_makes_no_sense_is_refused_in_words(home: Path) -> None:
    for says, words in NONSENSE.items():
        code, output = run(home, "mode", *words, *SAY, "kim", typed=f"{KIM}\n")

        assert code == 1
        assert says in " ".join(output.split())


def test_of_a_halt_that_was_lifted_by_hand_it_is_said_what_is_the_case_and_what_to_do(home: Path) -> None:
    assert run(home, "kill", "--operator", "kim")[0] == 0
    (home / "latch-SIM.json").unlink()
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as database:
        database.execute("UPDATE trading_states SET state = 'ACTIVE'")
        database.commit()

    _, shown = run(home, "mode", "show")
    _, status = run(home, "status")

    for words in ("EMERGENCY_STOP", "was set by hand", "trading-pipeline pause, then trading-pipeline resume"):
        assert words in " ".join(shown.split())
        assert words in " ".join(status.split())
    assert "mode request RESUME" not in shown
    assert run(home, "pause", "--operator", "kim")[0] == 0
    code, output = run(home, "resume", "--reason", "it was me", "--operator", "kim")
    assert code == 0, output
    assert answer(home, "mode", "show")["stopped"] is False


def test_who_forgot_the_password_comes_back_with_the_audit_key_of_the_home_alone(home: Path) -> None:
    asked = ("operators", "recover", "kim", "--reason", "forgot it")
    new = "a heron more than before"
    request = answer(home, "mode", "request", "paper", *SAY, "kim", typed=f"{KIM}\n")["request"]["request_id"]
    assert answer(home, "mode", "approve", request, *SAY, "kim", typed=f"{KIM}\n")["mode"] == "PAPER"

    code, output = run(home, *asked, typed=f"{new}\n")
    assert code == 1
    assert "not recovered: the audit key is not in" in " ".join(output.split())
    assert run(home, "relay", "run", "--once")[0] == 0
    done = answer(home, *asked, typed=f"{new}\n")

    assert (done["operator"], done["enabled"], done["stopped"]) == ("kim", True, ["SIM"])
    shown = answer(home, "mode", "show")
    assert (shown["mode"], shown["stopped"]) == ("SIMULATION", True)
    assert run(home, "operators", "add", "ada", "--by", "kim", typed=f"{new}\nseven red herons wait\n")[0] == 0
    (home / "audit" / "keys" / "signing.pem").chmod(0o644)
    code, output = run(home, *asked, typed=f"{new}\n")
    assert code == 1
    assert "may be read or written by other users" in " ".join(output.split())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_in_the_home_of_somebody_else_nobody_is_recovered(home: Path) -> None:
    assert run(home, "relay", "run", "--once")[0] == 0
    os.chown(home, 12_345, -1)

    code, output = run(home, "operators", "recover", "kim", "--reason", "forgot it", typed="a heron more than before\n")

    assert code == 1
    assert "belongs to another user of this machine" in " ".join(output.split())
    assert refusals(home) == ["not_owner"]


def refusals(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as database:
        found = database.execute("SELECT data FROM audit_outbox WHERE kind = 'operator_refused'").fetchall()
    return [json.loads(data)["refusal"] for (data,) in found]


BROKEN = os.fsdecode(b"n\xe3o")
"""As a terminal of another encoding types it."""


def test_words_of_another_encoding_are_kept_as_escapes_and_keep_nobody_from_acting(home: Path) -> None:
    code, output = run(home, "kill", "--operator", "kim", "--reason", BROKEN)
    assert code == 0, output
    assert json.loads((home / "latch-SIM.json").read_text())
    shown = answer(home, "mode", "show")
    assert shown["stopped"] is True
    assert answer(home, "mode", "history")["changes"][-1]["reason"] == "n\\udce3o"
    asked = ("request", "resume", "--reason", BROKEN, "--operator", BROKEN)
    for words in (asked, ("approve", BROKEN, *SAY, "kim")):
        code, output = run(home, "mode", *words, typed=f"{KIM}\n")
        assert (code, "Traceback" in output) == (1, False), output
    code, output = run(home, "operators", "disable", "lee", "--by", "kim", "--reason", BROKEN, typed=f"{KIM}\n")
    assert code == 0, output
