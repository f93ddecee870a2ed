"""resume above SIMULATION: an operator's password, and where it takes two people, another one's as well."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr
from typer.testing import CliRunner

from trading_pipeline.cli.app import app
from trading_pipeline.cli.passwords import PASSWORD_VARIABLE
from trading_pipeline.domain.reconciliation import Reconciliation
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.services.modes.transitions import present_mode
from trading_pipeline.services.modes.vouching import MARK, PASSWORD_SET, mark_of
from trading_pipeline.wiring import Workspace, open_workspace
from trading_pipeline.wiring.modes import ground_of, operators_of
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.services.modes.climbing import climbed, copy_modes
from trading_pipeline_tests.services.modes.people import Office, a_session, self_test

WORDS = {"kim": "a sentence that only kim knows", "lee": "a sentence that only lee knows"}
RESUME = ("resume", "--reason", "understood", "--operator")


@pytest.fixture(params=[1])
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """An account in PAPER with a clean record, killed by a person; request.param: how many people it takes."""
    (tmp_path / "profile.yaml").write_text(
        yaml.safe_dump({"modes": {"approvers": request.param}, "execution": {"breaker": {"cooldown_minutes": 0}}})
    )
    workspace = opened(tmp_path)
    rules = workspace.settings.modes.model_copy(update={"approvers": 1})
    copy_modes(climbed(Office(MemoryLedger(), replace(ground_of(workspace.settings), rules=rules)), Mode.PAPER),
               workspace.ledger, "SIM")  # fmt: skip
    people = operators_of(workspace)
    for operator in people.all():  # those of January have passwords that are kept in another way
        with workspace.ledger.transaction() as tx:
            here = replace(operator, password_hash=people.passwords.hash(SecretStr(WORDS[operator.name])))
            tx.save_operator(here)
            people.tell(tx, PASSWORD_SET, here.name, here.name, **{MARK: mark_of(here)})
    past = datetime.now(UTC) - timedelta(days=1)
    with workspace.ledger.transaction() as tx:
        tx.save_session_record(a_session("SIM", past, dec(100_000)))
        tx.add_risk_event(self_test("SIM", past, ok=True))
        tx.add_reconciliation(
            Reconciliation(account="SIM", session=past.date(), at=past, breaks=(), suspected=())
        )  # fmt: skip
    code, output = run(tmp_path, "kill", "--operator", "kim")
    assert code == 0, output
    return tmp_path


def opened(home: Path) -> Workspace:
    return open_workspace(home, profile=home / "profile.yaml")


def run(home: Path, *arguments: str, password: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["--home", str(home), "--profile", str(home / "profile.yaml"), *arguments],
        env={PASSWORD_VARIABLE: password or None},
    )  # fmt: skip
    return done.exit_code, " ".join(done.output.split())


def mode(home: Path) -> str:
    with opened(home).ledger.read() as tx:
        return present_mode(tx, "SIM").name


def test_a_kill_stops_the_mode_and_an_operator_with_a_password_ends_it(home: Path) -> None:
    assert mode(home) == "EMERGENCY_STOP"

    code, output = run(home, *RESUME, "kim", password="a sentence that kim does not know")  # noqa: S106
    assert code == 1
    assert "name or password is wrong" in output
    assert mode(home) == "EMERGENCY_STOP"
    code, output = run(home, *RESUME, "nobody", password=WORDS["kim"])
    assert code == 1

    code, output = run(home, *RESUME, "kim", password=WORDS["kim"])
    assert (code, mode(home)) == (0, "PAPER"), output
    assert "is ACTIVE" in output


@pytest.mark.parametrize("home", [2], indirect=True)
def test_where_it_takes_two_people_one_is_not_enough(home: Path) -> None:
    code, output = run(home, *RESUME, "kim", password=WORDS["kim"])

    assert code == 1
    assert "1 more has to approve it" in output
    assert mode(home) == "EMERGENCY_STOP"
    request = output.split("mode approve ")[1].split()[0]
    code, output = run(
        home, "mode", "approve", request, "--operator", "lee", "--reason", "seen", password=WORDS["lee"]
    )  # fmt: skip
    assert (code, mode(home)) == (0, "PAPER"), output

    code, output = run(home, *RESUME, "kim")
    assert code == 0, output
    assert "is ACTIVE" in output


def test_a_pause_above_simulation_ends_with_the_word_of_somebody_who_is_proven(home: Path) -> None:
    assert run(home, *RESUME, "kim", password=WORDS["kim"])[0] == 0
    assert run(home, "pause", "--operator", "anybody")[0] == 0

    for who, word in (("kim", "a sentence that kim does not know"), ("anybody", WORDS["kim"])):
        code, output = run(home, *RESUME, who, password=word)
        assert (code, "name or password is wrong" in output) == (1, True), output
        assert "is REDUCING" in run(home, "breaker", "show")[1]
    code, output = run(home, *RESUME, "kim", password=WORDS["kim"])
    assert (code, "is ACTIVE" in output, mode(home)) == (0, True, "PAPER"), output


def test_above_simulation_nothing_is_said_to_shorten_the_cooldown_of_a_halt(home: Path) -> None:
    (home / "profile.yaml").write_text(yaml.safe_dump({"execution": {"breaker": {"cooldown_minutes": 30}}}))

    code, output = run(home, *RESUME, "kim", password=WORDS["kim"])
    assert (code, "the cooldown ends at" in output, "--override-cooldown" in output) == (1, True, False), output
    code, output = run(home, *RESUME, "kim", "--override-cooldown", password=WORDS["kim"])
    assert (code, "not resumed: cooldown: until" in output, mode(home)) == (1, True, "EMERGENCY_STOP"), output
