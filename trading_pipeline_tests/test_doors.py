"""A session decides and trades alike at the venue of the home, through Alpaca's door and through that of TWS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from trading_pipeline.domain.money import plain
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.services.replay import copy_research
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import rules_from
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.wiring import Workspace, open_workspace
from trading_pipeline_tests.traded_home import TradedHome, traded_home
from trading_pipeline_tests.venue.alpaca.doors import an_alpaca_door
from trading_pipeline_tests.venue.tws.doors import a_tws_door

__all__ = ["traded_home"]

MANY = 1_000_000
EARLY = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
AS_ALPACA = {"legs_wait_for_whole_entry": True}


@dataclass(frozen=True, slots=True)
class Traded:
    """What a session left on record, without what a venue numbers its own way."""

    decisions: tuple[tuple[str, ...], ...]
    intents: tuple[tuple[str, ...], ...]
    fills: tuple[tuple[str, ...], ...]
    trades: tuple[tuple[str, ...], ...]
    cash: str


@contextmanager
def own_venue(workspace: Workspace) -> Iterator[tuple[Workspace, str | None]]:
    yield workspace, None


@contextmanager
def alpaca_door(workspace: Workspace) -> Iterator[tuple[Workspace, str | None]]:
    house = rules_from(workspace.settings).model_copy(update=AS_ALPACA)
    with (
        closing(SimulatedVenue(workspace.home / "venue.sqlite3", house)) as venue,
        an_alpaca_door(venue, start=EARLY) as doors,
    ):
        key_id, secret_key = doors.keys
        own = {
            "trading_url": doors.url, "trading_stream_url": doors.stream_url, "requests_per_minute": MANY,
            "key_id": key_id, "secret_key": secret_key,
        }  # fmt: skip
        yield configured(workspace, {"name": "alpaca", "alpaca": own}), doors.control_url


@contextmanager
def tws_door(workspace: Workspace) -> Iterator[tuple[Workspace, str | None]]:
    house = rules_from(workspace.settings)
    door_rules = TwsDoorRules(account="DU1", messages_per_second=MANY)
    with (
        closing(SimulatedVenue(workspace.home / "venue.sqlite3", house)) as venue,
        a_tws_door(venue, rules=door_rules, start=EARLY) as doors,
    ):
        own = {"host": doors.host, "port": doors.port, "messages_per_second": 100_000}
        yield configured(workspace, {"name": "ib", "account_id": "DU1", "ib": own}), doors.control_url


def configured(workspace: Workspace, broker: dict[str, object]) -> Workspace:
    """The same workspace with a broker, by a profile of its own."""
    assert workspace.profile is not None
    profile = workspace.home / "broker.yaml"
    profile.write_text(yaml.safe_dump(yaml.safe_load(workspace.profile.read_text()) | {"broker": broker}))
    return open_workspace(workspace.home, profile=profile)


WAYS = {"own": own_venue, "alpaca": alpaca_door, "tws": tws_door}


def fresh(home: TradedHome, folder: Path) -> Workspace:
    """A home that has the bars and one session's research, and has never traded."""
    source = home.open()
    folder.mkdir()
    (folder / "bars").symlink_to(source.home / "bars")
    shutil.copytree(source.home / "research", folder / "research")
    made = open_workspace(folder, profile=home.profile)
    copy_research(source.ledger, made.ledger, home.running, made.provenance)
    return made


def traded(home: TradedHome, folder: Path, way: str) -> Traded:
    """Trade the researched session one way."""
    with WAYS[way](fresh(home, folder)) as (workspace, market_url):
        record = workspace.host(home.running, market_url=market_url, accelerated=True)
    assert record is not None
    assert record.phase is SessionPhase.CLOSED
    with workspace.ledger.read() as tx:
        fills, trades = tx.fills("SIM"), tx.trades("SIM")
        decisions, intents = tx.decisions("SIM", home.running), tx.intents("SIM", home.running)
        cash = tx.equity_points("SIM", home.running, home.running)[-1].cash_usd
    return Traded(
        decisions=tuple((d.decision_id, plain(d.quantity), *(f.code.value for f in d.findings)) for d in decisions),
        intents=tuple((intent.intent_id, intent.symbol) for intent in intents),
        fills=tuple(sorted(
            (f.client_order_id, f.side.value, plain(f.quantity), plain(f.price), f.executed_at.isoformat())
            for f in fills
        )),
        trades=tuple(sorted((t.trade_id, t.exit_reason.value, plain(t.gross_usd)) for t in trades)),
        cash=plain(cash),
    )  # fmt: skip


@pytest.mark.slow
def test_a_session_decides_and_trades_alike_through_every_door(traded_home: TradedHome, tmp_path: Path) -> None:
    done = {way: traded(traded_home, tmp_path / way, way) for way in WAYS}

    assert done["own"].fills
    assert done["tws"] == done["own"]
    assert done["alpaca"] == done["own"]
