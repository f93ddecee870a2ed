"""risk show, what-if, rearm: on a home with one working entry in a running session."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_pipeline.adapters.market_facts import write_sectors
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec, market_sessions, populate, sectors
from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.market import Quote, Timeframe
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.wiring import SECTORS, Workspace, open_workspace
from trading_pipeline_tests.builders import a_setup
from trading_pipeline_tests.cli.test_commands import refused, run

SPEC = SyntheticMarketSpec(symbols=8, sessions=110, timeframe=Timeframe.MIN5)


@dataclass(frozen=True)
class Home:
    path: Path
    held: str
    other: str
    price: Decimal
    at: datetime

    def what_if(self, *arguments: object) -> Any:
        return run("risk", "what-if", *arguments, "--json", home=self.path).json()

    def levels(self) -> tuple[str, str, str]:
        """Entry at the last price of the other symbol, stop 4 % below, target 12 % above."""
        return tuple(str((self.price * part).quantize(Decimal("0.01"))) for part in map(Decimal, ("1", "0.96", "1.12")))  # type: ignore[return-value]


@pytest.fixture
def home(tmp_path: Path, built: Path, empty_ledger: Path) -> Home:
    """A copy-free home: the bars are shared, the ledger is the test's own."""
    (tmp_path / "bars").symlink_to(built / "bars")
    shutil.copy(empty_ledger, tmp_path / "ledger.sqlite3")
    workspace = open_workspace(tmp_path)
    write_sectors(tmp_path / SECTORS, sectors(SPEC))
    return _with_an_entry(workspace)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = open_workspace(tmp_path_factory.mktemp("risk"))
    populate(SPEC, workspace.bars, workspace.calendar)
    return workspace.home


def _with_an_entry(workspace: Workspace) -> Home:
    session = market_sessions(SPEC, workspace.calendar)[-1]
    times = workspace.calendar.times(session)
    at = times.opens_at + timedelta(minutes=60)
    held, _, _, _, _, other, *_ = sorted(sectors(SPEC))  # between them: split, halted, listed late, delisted
    quotes = workspace.feed().quotes(times, at, [held, other])
    record = SessionRecord(
        account="SIM", session=session, phase=SessionPhase.RUNNING, opening_cash_usd=Decimal(100_000),
        opening_equity_usd=Decimal(100_000), was_flat=True, cursor_at=at, decision_hash="", code_version="1",
        config_hash="c", started_at=times.opens_at,
    )  # fmt: skip
    regime = RegimeSnapshot(
        regime_id="r", session=session, as_of=at, regime_class="calm", score=75.0, size_multiplier=1.0,
        positions_allowed=8, only_a_plus=False, missing=(), parts={}, details={},
        code_version=workspace.provenance.code_version, config_hash=workspace.provenance.config_hash, input_hash="i",
        created_at=at,
    )  # fmt: skip
    with workspace.ledger.transaction() as tx:
        tx.save_session_record(record)
        tx.add_regime(regime)
    _decide_on(workspace, held, quotes, at)
    return Home(workspace.home, held, other, quotes[other].price, at)


def _decide_on(workspace: Workspace, symbol: str, quotes: dict[str, Quote], at: datetime) -> None:
    """A watchlist of one setup is decided on, and approved."""
    times, price = workspace.calendar.times(at.date()), float(quotes[symbol].price)
    snapshot = ScanSnapshot(
        snapshot_id="scan", session=at.date(), as_of=at, code_version="1", config_hash="c", input_hash="i", scored=1,
        selected=1, created_at=at,
    )  # fmt: skip
    setup = a_setup(
        snapshot_id="scan", symbol=symbol, session=at.date(), as_of=at, entry=price, target=price * 1.12,
        lowest_low=price * 0.97, lower_band=price * 0.97, atr=price * 0.01, atr_mean=price * 0.01,
    )  # fmt: skip
    with workspace.ledger.transaction() as tx:
        tx.add_snapshot(snapshot, [setup])
    assert decide_on_snapshot(workspace.risk_desk(at), snapshot, times, quotes).approved == 1


def test_show_lists_limits_with_usage_sectors_var_and_the_fullest(home: Home) -> None:
    shown = run("risk", "show", "--json", home=home.path).json()

    by_name = {one["limit"]: one for one in shown["limits"]}
    (exposure,) = shown["exposures"]
    assert (exposure["symbol"], exposure["sector"]) == (home.held, sectors(SPEC)[home.held])
    assert by_name["max_sector_exposure_fraction"]["of"] == sectors(SPEC)[home.held]
    assert by_name["max_total_exposure_fraction"]["used"] == exposure["value_usd"]
    assert shown["fullest"] == f"max_position_notional_fraction {home.held}"  # 10 % of equity is what the plan took
    assert 0 < float(by_name["max_open_risk_fraction"]["used"]) <= 1000
    assert [one["confidence"] for one in shown["value_at_risk"]] == [0.95, 0.99]
    assert all(float(one["usd"]) > 0 for one in shown["value_at_risk"])
    said = run("risk", "show", home=home.path).out
    assert all(word in said for word in (home.held, "Value at Risk", "max_orders_per_day", "Blocks", "none"))


def test_what_if_runs_the_very_same_decision_and_tells_every_check(home: Home) -> None:
    found = home.what_if(home.other, *home.levels(), "--shares", 20)

    assert found["checks"]["earnings"] == "warning"
    assert set(found["checks"].values()) <= {"pass", "warning", "reduction", "denial"}
    assert found["approved"] == ("denial" not in {one["verdict"] for one in found["findings"]})
    assert (found["approved"], found["shares"]) == (True, "20")
    said = run("risk", "what-if", home.other.lower(), *home.levels(), home=home.path).out
    assert "Findings" in said
    assert "Passed: " in said


def test_what_if_writes_nothing(home: Home) -> None:
    def rows() -> dict[str, int]:
        with open_workspace(home.path).ledger.read() as tx:
            return tx.row_counts()

    before = rows()
    home.what_if(home.other, *home.levels())
    assert rows() == before


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        (("NaN", "48", "56"), "entry NaN is no price: write a number above zero"),
        (("50", "0", "56"), "stop 0 is no price"),
        (("50", "48", "Infinity"), "target Infinity is no price"),
        (("fifty", "48", "56"), "entry 'fifty' is no price: write it as 12.34"),
        (("1e400", "48", "56"), "entry 1E+400 is no price: it must be below 1,000,000,000 USD"),
        (("50", "48", "1e30"), "target 1E+30 is no price: it must be below"),
        (("50.001", "48", "56"), "entry 50.001 is not on the tick of 0.01 USD"),
        (("50", "50", "56"), "stop 50 must be below entry 50"),
        (("50", "48", "49"), "target 49 must be above entry 50"),
    ],
)
def test_what_if_refuses_prices_that_no_plan_could_have(home: Home, prices: tuple[str, ...], words: str) -> None:
    assert words in refused("risk", "what-if", home.other, *prices, home=home.path)


def test_what_if_refuses_more_shares_than_there_can_be(home: Home) -> None:
    said = run("risk", "what-if", home.other, *home.levels(), "--shares", 10**26, home=home.path)

    assert (said.code, "less than or equal to 1000000000" in said.err) == (2, True)


def test_what_if_of_an_unknown_symbol_says_what_to_do(home: Home) -> None:
    said = refused("risk", "what-if", "NOPE", "50", "48", "56", home=home.path)
    assert "NOPE has no bars in session" in said
    assert "trading-pipeline data import" in said


def test_an_account_that_never_traded_is_told_how_to_begin(tmp_path: Path) -> None:
    assert "has never traded" in refused("risk", "show", home=tmp_path)


def test_rearm_ends_the_block_with_operator_and_reason(home: Home) -> None:
    block = Block(
        block_id="b", account="SIM", symbol=home.other, kind=BlockKind.REPEATED_EXECUTION, reason="entry 4",
        since=home.at,
    )  # fmt: skip
    with open_workspace(home.path).ledger.transaction() as tx:
        tx.add_block(block)
    assert home.what_if(home.other, *home.levels())["checks"]["blocked"] == "denial"

    done = run(
        "risk", "rearm", home.other, "--reason", "a bad feed, fixed", "--operator", "ann", "--json", home=home.path
    ).json()

    assert done["cleared_blocks"] == 1
    assert home.what_if(home.other, *home.levels())["checks"]["blocked"] == "pass"
    with open_workspace(home.path).ledger.read() as tx:
        said = [str(entry.data) + entry.actor for _, entry in tx.audit_entries()]
    assert any("ann" in one for one in said)
    again = refused("risk", "rearm", home.other, "--reason", "x", "--operator", "ann", home=home.path)
    assert "is not blocked for repeated execution" in again
    assert "--operator NAME" in refused("risk", "rearm", home.other, "--reason", " ", "--operator", "x", home=home.path)
