"""execute on a real home: signals become orders, twice the same signals hold, and the session replays alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trading_pipeline_tests.cli.test_commands import Said, on
from trading_pipeline_tests.traded_home import TradedHome


@pytest.fixture
def home(traded_home: TradedHome, tmp_path: Path) -> TradedHome:
    return traded_home.copied_to(tmp_path)


def symbols(home: TradedHome, count: int) -> list[str]:
    frame = home.open().frames.read("universe", home.running)
    return sorted(frame.loc[frame["included"].astype(bool), "symbol"])[:count]


def executed(home: TradedHome, folder: Path, strengths: dict[str, float], *more: object) -> Said:
    path = folder / "signals.json"
    path.write_text(json.dumps(strengths), encoding="utf-8")
    return on(home, "execute", "--signals", path, "--session", home.running, *more)


def test_signals_become_orders_and_the_same_again_holds(home: TradedHome, tmp_path: Path) -> None:
    (first,) = symbols(home, 1)
    strengths = {first: 0.4, "GONE": -0.6, "NOSUCH": 0.5}

    done = executed(home, tmp_path, strengths, "--json").json()

    rows = {row["symbol"]: row for row in done["rows"]}
    assert "not owned" in rows["GONE"]["reason"]
    assert rows["NOSUCH"]["status"] == "refused"
    assert (rows[first]["phase"], rows[first]["status"], done["orders_filled"]) == ("buy", "filled", 1)
    again = executed(home, tmp_path, strengths).out
    assert "no orders: 2 refused, as stands above; 1 positions already match their targets" in again
    assert "holding: positions already match" in executed(home, tmp_path, {first: 0.4}).out


def test_a_dry_run_leaves_no_trace(home: TradedHome, tmp_path: Path) -> None:
    (first,) = symbols(home, 1)
    with home.open().ledger.read() as tx:
        before = tx.row_counts()

    said = executed(home, tmp_path, {first: 0.4}, "--dry-run")

    assert "nothing recorded" in said.out
    with home.open().ledger.read() as tx:
        assert tx.row_counts() == before


def test_an_executed_session_goes_on_and_replays_alike(home: TradedHome, tmp_path: Path) -> None:
    first, second = symbols(home, 2)
    executed(home, tmp_path, {first: 0.4, second: 0.3})
    executed(home, tmp_path, {first: -0.4, second: 0.15})

    on(home, "session", "replay", "--session", home.running)
    (verified,) = on(home, "session", "replay", "--session", home.running, "--json").json()

    assert verified["verified"] is True
    refused = executed(home, tmp_path, {first: 0.4})
    assert refused.code == 1
    assert "its record is final" in refused.err


def test_a_broken_table_is_told_in_one_line(home: TradedHome, tmp_path: Path) -> None:
    said = executed(home, tmp_path, {"AAA": 7.0})

    assert said.code == 1
    assert "a strength from -1 to 1" in said.err
