"""close: a request on record, or a plain word why not."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from trading_pipeline.cli.app import app, hoisted
from trading_pipeline.domain.orders import EXTERNAL
from trading_pipeline.wiring import open_workspace
from trading_pipeline_tests.builders import a_fill, a_position, an_order, dec


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, hoisted(["--home", str(home), *arguments]))
    return done.exit_code, done.stdout + done.stderr


def a_home(home: Path) -> Path:
    """Account SIM holds 100 XYZ that somebody bought."""
    bought = an_order(account="SIM", intent_id=None, strategy=EXTERNAL, cum_qty=100, avg_px="50.00")
    with open_workspace(home).ledger.transaction() as tx:
        tx.add_order(bought)
        tx.add_fill(a_fill(account="SIM"))
        tx.save_position(a_position(account="SIM", mark=dec("50.50"), marked_at=bought.created_at))
    return home


def test_close_writes_a_request_once_and_positions_tells_how_old_the_price_is(tmp_path: Path) -> None:
    home = a_home(tmp_path / "home")

    code, said = run(home, "close", "xyz", "--reason", "bad news", "--operator", "ann")
    again, _ = run(home, "close", "XYZ", "--reason", "bad news", "--operator", "bob")

    assert (code, again) == (0, 0)
    assert "ann asks to close 100 XYZ: bad news" in said
    workspace = open_workspace(home)
    today = workspace.calendar.session_of(workspace.clock.now())
    with workspace.ledger.read() as tx:
        asked = [event for day in (today, workspace.calendar.next(today)) for event in tx.risk_events("SIM", day)]
    assert [(event.kind, event.data["operator"], event.data["symbol"]) for event in asked] == [
        ("exit_requested", "ann", "XYZ")
    ]
    code, said = run(home, "positions", "--json")
    assert code == 0
    assert '"age_seconds"' in said


def test_close_says_what_is_held_instead(tmp_path: Path) -> None:
    code, said = run(a_home(tmp_path / "home"), "close", "ABC", "--reason", "x", "--operator", "ann")

    assert code == 1
    assert "account SIM holds no ABC; it holds: XYZ" in said
