"""Money at stake, at doors marked live: whole sessions through the vendors' own clients, and every way not to begin."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.domain.errors import NotPermitted, TradingPipelineError
from trading_pipeline.domain.modes import ChangeKind, Rung
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.services.desk import Provenance
from trading_pipeline.services.modes.transitions import change_mode
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import rules_from
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.wiring import Workspace, open_workspace
from trading_pipeline.wiring.modes import ground_of
from trading_pipeline.wiring.relay import idle_posts, relay
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.services.modes.climbing import climbed, copy_modes
from trading_pipeline_tests.services.modes.people import GROUND, Office
from trading_pipeline_tests.test_doors import AS_ALPACA, EARLY, MANY, fresh
from trading_pipeline_tests.traded_home import TradedHome, traded_home
from trading_pipeline_tests.venue.alpaca.doors import an_alpaca_door
from trading_pipeline_tests.venue.tws.doors import a_tws_door

__all__ = ["traded_home"]

pytestmark = pytest.mark.slow
ACCOUNT, AT_ALPACA, AT_IB = "REAL", "REAL", "U7654321"
"""Our name of the account; Alpaca's door tells that same name as its number."""
Tree = dict[str, Any]
Doors = tuple[Tree, str, SimulatedVenue]


@contextmanager
def alpaca_marked_live(venue: SimulatedVenue) -> Iterator[tuple[Tree, str]]:
    rules = AlpacaDoorRules(
        live=True, key_id="AKREAL", secret_key="s", requests_per_minute=MANY, data_requests_per_minute=MANY  # noqa: S106
    )  # fmt: skip
    with an_alpaca_door(venue, start=EARLY, rules=rules) as doors:
        own = {
            "trading_url": doors.url, "trading_stream_url": doors.stream_url, "requests_per_minute": MANY,
            "live_key_id": "AKREAL", "live_secret_key": "s",
        }  # fmt: skip
        yield {"name": "alpaca", "account_id": AT_ALPACA, "alpaca": own}, doors.control_url


@contextmanager
def tws_marked_live(venue: SimulatedVenue) -> Iterator[tuple[Tree, str]]:
    rules = TwsDoorRules(account=AT_IB, messages_per_second=MANY)
    with a_tws_door(venue, rules=rules, start=EARLY) as doors:
        own = {"host": doors.host, "port": doors.port, "messages_per_second": 100_000}
        yield {"name": "ib", "account_id": AT_IB, "ib": own}, doors.control_url


DOORS = {"alpaca": alpaca_marked_live, "ib": tws_marked_live}


def settings_of(made: Workspace, broker: Tree, **execution: object) -> Tree:
    assert made.profile is not None
    tree = yaml.safe_load(made.profile.read_text())
    tree["broker"] = broker
    tree["execution"] = {**tree.get("execution", {}), "mode": "live", "account": ACCOUNT, **execution}
    return dict(tree)


def opened(made: Workspace, tree: Tree) -> Workspace:
    profile = made.home / "live.yaml"
    profile.write_text(yaml.safe_dump(tree))
    return open_workspace(made.home, profile=profile)


def researched(source: Workspace, target: Workspace, session: Any) -> None:
    """The session's research, as if it had been made under the live configuration."""
    made = target.provenance
    with source.ledger.read() as read, target.ledger.transaction() as write:
        for regime in read.regimes(session):
            write.add_regime(replace(regime, regime_id=f"{regime.regime_id}-l", **_of(made)))
        for one in read.snapshots(session):
            setups = [
                replace(setup, setup_id=f"{setup.setup_id}-l", snapshot_id=f"{one.snapshot_id}-l")
                for setup in read.setups(one.snapshot_id)
            ]  # fmt: skip
            write.add_snapshot(replace(one, snapshot_id=f"{one.snapshot_id}-l", **_of(made)), setups)


def _of(made: Provenance) -> dict[str, Any]:
    return {"config_hash": made.config_hash, "code_version": made.code_version}


def approved(workspace: Workspace, mode: Mode = Mode.LIVE_MINIMAL, **ground: Any) -> None:
    like = Office(MemoryLedger(), replace(GROUND, **vars_of(workspace), **ground))
    copy_modes(climbed(like, mode), workspace.ledger, ACCOUNT)


def vars_of(workspace: Workspace) -> dict[str, Any]:
    found = ground_of(workspace.settings)
    return {"account": found.account, "config_hash": found.config_hash, "limits": found.limits, "rules": found.rules}


@contextmanager
def relayed(workspace: Workspace) -> Iterator[None]:
    """The real relay, in a thread, with the audit log caught up."""
    made = relay(workspace)
    thread = threading.Thread(target=made.run, args=(lambda: False,), daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 20
        while idle_posts(workspace, SystemClock().now()) or not _numbered(workspace):
            assert time.monotonic() < until, "the relay did not come up"
            time.sleep(0.05)
        yield
    finally:
        made.end()
        thread.join(20)


def _numbered(workspace: Workspace) -> bool:
    with workspace.ledger.read() as tx:
        return tx.newest_checkpoint() is not None and tx.waiting().entries == 0


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PIPELINE__ALERTS__CHANNELS__DESK__URL", "json://127.0.0.1:9/nobody")


@pytest.fixture
def at_door(traded_home: TradedHome, tmp_path: Path, channel: None) -> Iterator[Callable[[str], Doors]]:
    """Opens a door marked live before a fresh account; tells the settings it takes, and where its market is moved."""
    made = fresh(traded_home, tmp_path / "home")
    with ExitStack() as ends:

        def open_door(broker: str) -> Doors:
            house = rules_from(made.settings).model_copy(
                update={"account": ACCOUNT, **(AS_ALPACA if broker == "alpaca" else {})}
            )
            venue = ends.enter_context(closing(SimulatedVenue(made.home / "venue.sqlite3", house)))
            tree, control = ends.enter_context(DOORS[broker](venue))
            return settings_of(made, tree), control, venue

        yield open_door


@pytest.mark.parametrize("broker", ["alpaca", pytest.param("ib", marks=pytest.mark.soak)])
def test_a_live_session_trades_a_quarter_of_the_smallest_live_mode(
    broker: str, at_door: Callable[[str], Doors], traded_home: TradedHome, tmp_path: Path
) -> None:
    tree, control, _ = at_door(broker)
    live = opened(open_workspace(tmp_path / "home", profile=traded_home.profile), tree)
    researched(traded_home.open(), live, traded_home.running)
    approved(live)

    with relayed(live):
        record = live.host(traded_home.running, market_url=control, accelerated=True)

    assert record is not None
    assert record.phase is SessionPhase.CLOSED
    with live.ledger.read() as tx:
        entries = [one for one in tx.orders(ACCOUNT, traded_home.running) if one.leg is Leg.ENTRY]
        assert tx.fills(ACCOUNT)
        assert not tx.positions(ACCOUNT)
    worth = [one.quantity * one.limit_price for one in entries if one.limit_price]
    assert worth
    assert max(worth) <= 100_000 * Rung(Mode.LIVE_MINIMAL).limits.exposure_fraction / 4


def _no_keys(tree: Tree) -> None:
    tree["broker"]["alpaca"]["live_key_id"] = "PKREAL"


def _another_account(tree: Tree) -> None:
    tree["broker"]["account_id"] = "ANOTHER"


def _no_account(tree: Tree) -> None:
    tree["broker"]["account_id"] = ""


def _paper(tree: Tree) -> None:
    tree["execution"]["mode"] = "paper"


def _as_it_is(_: Tree) -> None:
    return


def _lowered(live: Workspace) -> None:
    with live.ledger.transaction() as tx:
        change_mode(tx, ACCOUNT, ChangeKind.LOWER, Rung(Mode.PAPER), at=SystemClock().now(), reason="x", actor="kim")


def _stopped(live: Workspace) -> None:
    with live.ledger.transaction() as tx:
        change_mode(tx, ACCOUNT, ChangeKind.STOP, at=SystemClock().now(), reason="x", actor="kim")


WITHOUT: Mapping[str, tuple[Callable[[Tree], None], Callable[[Workspace], None], str]] = {
    "configuration": (_paper, lambda _: None, ""),
    "pinned account": (_no_account, lambda _: None, "configuration: broker.account_id names no account"),
    "live keys": (_no_keys, lambda _: None, "LIVE_KEY_ID holds a paper key"),
    "the account": (_another_account, lambda _: None, "ANOTHER"),
    "an approval": (_as_it_is, _lowered, "approval: the account is in PAPER"),
    "its configuration": (
        lambda tree: tree["execution"].update(equity_point_minutes=30), lambda _: None, "approved under configuration",
    ),
    "going on": (_as_it_is, _stopped, "emergency_stop: the account is in EMERGENCY_STOP"),
}  # fmt: skip


OFTEN = frozenset({"an approval", "the account"})
EACH = [pytest.param(name, marks=[] if name in OFTEN else [pytest.mark.soak]) for name in WITHOUT]


@pytest.mark.parametrize("without", EACH)
def test_without_one_condition_no_order_reaches_a_live_door(
    without: str, at_door: Callable[[str], Doors], traded_home: TradedHome, tmp_path: Path
) -> None:
    tree, control, venue = at_door("alpaca")
    spoil, act, words = WITHOUT[without]
    made = open_workspace(tmp_path / "home", profile=traded_home.profile)
    approved(opened(made, tree))
    spoil(tree)
    live = opened(made, tree)
    researched(traded_home.open(), live, traded_home.running)
    act(live)

    with relayed(live), pytest.raises(TradingPipelineError, match=words):
        live.host(traded_home.running, market_url=control, accelerated=True)

    assert not venue.open_orders()
    assert not venue.execution_reports(EARLY)


@pytest.mark.soak
@pytest.mark.parametrize("without", ["the relay", "a channel"])
def test_where_nobody_would_hear_of_trouble_nothing_is_begun(
    without: str, at_door: Callable[[str], Doors], traded_home: TradedHome, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tree, control, _ = at_door("alpaca")
    if without == "a channel":
        monkeypatch.delenv("TRADING_PIPELINE__ALERTS__CHANNELS__DESK__URL")
    live = opened(open_workspace(tmp_path / "home", profile=traded_home.profile), tree)
    approved(live)

    with ExitStack() as ends:
        if without == "a channel":
            ends.enter_context(relayed(live))
        with pytest.raises(NotPermitted) as refused:
            live.host(traded_home.running, market_url=control, accelerated=True)

    assert refused.value.missing == (("alerts",) if without == "a channel" else ("alerts", "audit_log"))


@pytest.mark.soak
def test_an_equity_below_five_thousand_is_too_little_for_the_smallest_live_mode(
    traded_home: TradedHome, tmp_path: Path, channel: None
) -> None:
    made = fresh(traded_home, tmp_path / "home")
    house = rules_from(made.settings).model_copy(
        update={"account": ACCOUNT, **AS_ALPACA, "initial_cash_usd": rules_from(made.settings).initial_cash_usd / 25}
    )
    with closing(SimulatedVenue(made.home / "venue.sqlite3", house)) as venue, alpaca_marked_live(venue) as door:
        live = opened(made, settings_of(made, door[0], initial_cash_usd=4_000))
        approved(live)
        with relayed(live), pytest.raises(NotPermitted) as refused:
            live.host(traded_home.running, market_url=door[1], accelerated=True)

    assert refused.value.missing == ("equity",)
