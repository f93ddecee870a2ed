"""A rehearsal of the ladder: simulation, paper at a broker's door, live at a door marked live, a trip, and on again.

Sessions are hand-written and run as fast as they go; what they are to prove they prove: each gate stands as it is. Two
people with passwords ask and approve, by a clock that stands on the sessions' days. The audit log of it all is judged
by the stand-alone verifier, on an export.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from trading_pipeline.domain.control import AlertLevel, TradingState
from trading_pipeline.domain.errors import ModeRefused, NotPermitted, TradingError
from trading_pipeline.domain.gate_rules import EVIDENCE
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.modes import ChangeKind
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.breaker import resume
from trading_pipeline.services.modes.approvals import Asking, ModeDesk
from trading_pipeline.services.modes.operators import Credentials
from trading_pipeline.services.modes.permission import Seen
from trading_pipeline.services.modes.targets import Target
from trading_pipeline.services.self_test import SelfTest
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline.services.startup import StartUp
from trading_pipeline.venue.alpaca.rules import AlpacaDoorRules
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.wiring import Workspace, open_workspace
from trading_pipeline.wiring.modes import mode_desk
from trading_pipeline.wiring.permission import broker_look, permission_of
from trading_pipeline.wiring.relay import relay
from trading_pipeline.wiring.rooms import Room
from trading_pipeline_tests.builders import a_setup
from trading_pipeline_tests.fakes import ScriptedFeed
from trading_pipeline_tests.services.modes.people import HandClock
from trading_pipeline_tests.services.scripted import path
from trading_pipeline_tests.test_doors import AS_ALPACA, EARLY, MANY
from trading_pipeline_tests.test_live_doors import relayed
from trading_pipeline_tests.venue.alpaca.doors import an_alpaca_door

VERIFIER = Path(__file__).resolve().parents[1] / "tools" / "verify_audit.py"
FIRST = datetime.fromisoformat("2025-04-21T13:30:00+00:00")
KIM, LEE = (Credentials(name, SecretStr(f"a sentence that only {name} knows")) for name in ("kim", "lee"))
UP: dict[int, object] = {5: "50.00", 20: "49.90", 40: "53.00", 60: "56.50"}
"""XYZ is bought at 50.00 and sold at its target of 56.00."""
DOWN: dict[int, object] = {5: "50.00", 20: "49.90", 40: "48.50", 60: "47.50"}
"""Sold at its stop of 48.00."""


def day(number: int) -> SessionTimes:
    """A working day: two hours of trading."""
    opens = FIRST + timedelta(days=number + 2 * (number // 5))
    return SessionTimes(opens.date(), opens, opens + timedelta(minutes=120))


@dataclass
class Ladder:
    """One home in which three accounts go up, each at what its mode may speak to."""

    home: Path
    clock: HandClock = field(default_factory=HandClock)

    def at(self, account: str, mode: str, broker: dict[str, Any] | None = None, **execution: Any) -> Workspace:
        """The home under one account's configuration."""
        tree: dict[str, Any] = {
            "execution": {
                "account": account, "mode": mode, "entry_close_lead_minutes": 30,
                "breaker": {"cooldown_minutes": 30}, **execution,
            },
            "venue": {"commission_schedule": "zero", "slippage_fraction": "0"},
        }  # fmt: skip
        profile = self.home / f"{account}.yaml"
        profile.write_text(yaml.safe_dump(tree | ({"broker": broker} if broker else {})))
        return open_workspace(self.home, profile=profile)

    def people(self, workspace: Workspace) -> ModeDesk:
        """The desk of modes by the clock of the sessions, with real passwords."""
        made = mode_desk(workspace)
        return replace(made, clock=self.clock, operators=replace(made.operators, clock=self.clock))

    def climb(self, workspace: Workspace, mode: Mode, evidence: str) -> None:
        """Ask with every statement made, and approve."""
        desk = self.people(workspace)
        asking = Asking(
            target=Target(ChangeKind.RAISE, mode), reason="it went well", evidence_account=evidence,
            statements=frozenset(EVIDENCE[mode].statements), equity_usd=workspace.settings.execution.initial_cash_usd,
        )  # fmt: skip
        request, report = desk.request(asking, KIM)
        assert request is not None, report.failed
        with pytest.raises(ModeRefused):
            desk.approve(request.request_id, Credentials("lee", SecretStr("not the sentence of lee")), "let me in")
        assert desk.approve(request.request_id, LEE, "I looked at it").state.mode is mode

    def session(
        self, workspace: Workspace, times: SessionTimes, prices: dict[str, Any], control: str = ""
    ) -> SessionRecord:
        """One hand-written session, through everything a host would do before it."""
        self.clock.instant = times.opens_at
        permission_of(workspace).require(lambda: broker_look(workspace))
        access = workspace.access(None, control or None)
        room = Room(workspace, workspace.ledger, access)
        with closing(room):
            desk = room.desk(times.opens_at, 5)
            if permission_of(workspace).is_live:
                permission_of(workspace).require_seen(Seen(desk.venue_account, desk.broker.account().equity_usd))
            bars = [bar for symbol, one in prices.items() for bar in path(one, symbol, times)]
            self._research(workspace, times, sorted(prices))
            loop = SessionLoop(desk=desk, feed=ScriptedFeed(bars), times=times, market=access.market)
            loop.start_up = StartUp(desk, times, (), SelfTest(desk, times).checks(), monotonic)
            record = loop.run()
        self.clock.instant = times.closes_at + timedelta(hours=1)
        return record

    def _research(self, workspace: Workspace, times: SessionTimes, symbols: list[str]) -> None:
        made = workspace.provenance
        name = f"{workspace.settings.execution.account}-{times.session}"
        as_of = times.opens_at + timedelta(minutes=15)
        regime = RegimeSnapshot(
            regime_id=name, session=times.session, as_of=times.opens_at, regime_class="calm", score=75.0,
            size_multiplier=1.0, positions_allowed=8, only_a_plus=False, missing=(), parts={}, details={},
            code_version=made.code_version, config_hash=made.config_hash, input_hash="i", created_at=times.opens_at,
        )  # fmt: skip
        snapshot = ScanSnapshot(
            snapshot_id=name, session=times.session, as_of=as_of, code_version=made.code_version,
            config_hash=made.config_hash, input_hash="i", scored=len(symbols), selected=len(symbols), created_at=as_of,
        )  # fmt: skip
        setups = [
            a_setup(
                setup_id=f"{name}-{symbol}", snapshot_id=name, symbol=symbol, session=times.session, as_of=as_of,
                rank=rank,
            ) for rank, symbol in enumerate(symbols, start=1)
        ]  # fmt: skip
        with workspace.ledger.transaction() as tx:
            tx.add_regime(regime)
            tx.add_snapshot(snapshot, setups)

    def told(self, workspace: Workspace, session: date, level: AlertLevel) -> set[str]:
        with workspace.ledger.read() as tx:
            account = workspace.settings.execution.account
            return {one.kind for one in tx.alerts(account, session) if one.level is level}


@contextmanager
def alpaca(home: Path, account: str, *, is_live: bool) -> Iterator[tuple[dict[str, Any], str, SimulatedVenue]]:
    """A door of Alpaca's, marked live or not: the settings it takes, where its market is moved, and the venue."""
    key, of_live = ("AKREAL", "live_") if is_live else ("PKPAPER", "")
    house = VenueRules(account=account, commission_usd_per_order=0, slippage_fraction=0, **AS_ALPACA)
    rules = AlpacaDoorRules(live=is_live, key_id=key, secret_key="s", requests_per_minute=MANY)  # noqa: S106
    with (
        closing(SimulatedVenue(home / f"{account}.venue", house)) as venue,
        an_alpaca_door(venue, start=EARLY, rules=rules) as doors,
    ):
        own = {
            "trading_url": doors.url, "trading_stream_url": doors.stream_url, "requests_per_minute": MANY,
            f"{of_live}key_id": key, f"{of_live}secret_key": "s",
        }  # fmt: skip
        yield {"name": "alpaca", "account_id": account, "alpaca": own}, doors.control_url, venue


@pytest.mark.soak
def test_the_whole_ladder_with_real_approvals_a_trip_and_a_verified_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING_PIPELINE__ALERTS__CHANNELS__DESK__URL", "json://127.0.0.1:9/nobody")
    ladder = Ladder(tmp_path / "home", HandClock(FIRST - timedelta(days=1)))
    ladder.home.mkdir()
    simulated = ladder.at("SIM", "simulation")
    people = ladder.people(simulated).operators
    people.add(KIM.name, KIM.password)
    people.add(LEE.name, LEE.password, KIM)

    with ExitStack() as ends:
        # simulation
        assert ladder.session(simulated, day(0), {"XYZ": UP}).phase is SessionPhase.CLOSED

        # paper, at a broker's door
        broker, control, _ = ends.enter_context(alpaca(ladder.home, "PAP", is_live=False))
        paper = ladder.at("PAP", "paper", broker)
        with pytest.raises(NotPermitted, match="needs PAPER or above"):
            ladder.session(paper, day(1), {"XYZ": UP}, control)
        ladder.climb(paper, Mode.PAPER, "SIM")
        for number in range(2, 14):
            prices = {"XYZ": UP, "ABC": DOWN if number % 3 == 0 else UP}
            assert ladder.session(paper, day(number), prices, control).phase is SessionPhase.CLOSED

        # live, at a door marked live
        broker, control, venue = ends.enter_context(alpaca(ladder.home, "REAL", is_live=True))
        live = ladder.at("REAL", "live", broker, risk={"daily_loss_fraction": "0.0001"})
        ends.enter_context(relayed(live))
        with pytest.raises(NotPermitted) as refused:
            ladder.session(live, day(14), {"XYZ": UP}, control)
        assert "approval" in refused.value.missing
        assert not venue.execution_reports(EARLY)
        ladder.climb(live, Mode.LIVE_MINIMAL, "PAP")
        assert ladder.session(live, day(15), {"XYZ": UP}, control).phase is SessionPhase.CLOSED

        # a trip, the emergency stop, and on again
        tripped = ladder.session(live, day(16), {"XYZ": DOWN, "ABC": DOWN}, control)
        assert "daily_loss" in ladder.told(live, tripped.session, AlertLevel.CRITICAL)
        assert ladder.people(live).state().is_stopped
        with pytest.raises(NotPermitted, match="EMERGENCY_STOP"):
            ladder.session(live, day(17), {"XYZ": UP}, control)
        assert _resumed(ladder, live, day(17).opens_at) is TradingState.ACTIVE
        assert ladder.session(live, day(18), {"XYZ": UP}, control).phase is SessionPhase.CLOSED

        with live.ledger.read() as tx:
            sizes = {one.quantity for one in tx.orders("REAL", day(18).session) if one.leg is Leg.ENTRY}
        assert sizes == {10}  # 2 % of 100,000 USD, a quarter of it, at 50

    _require_verified(live, tmp_path)


def _resumed(ladder: Ladder, live: Workspace, at: datetime) -> TradingState:
    """Without approval it does not go on; with a person's it does."""
    ladder.clock.instant = at
    rules = live.settings.execution

    def go() -> TradingState:
        return resume(live.ledger, live.latch, rules, reason="looked at it", operator="kim", at=at).state

    with pytest.raises(TradingError, match="going on takes approval"):
        go()
    desk = ladder.people(live)
    request, report = desk.request(Asking(target=Target(ChangeKind.RESUME), reason="understood"), KIM)
    assert request is not None, report.failed
    desk.approve(request.request_id, KIM, "understood")
    return go()


def _require_verified(live: Workspace, folder: Path) -> None:
    """Everything is numbered and signed; an export of it, judged on another machine, holds, and cut it does not."""
    assert not any(relay(live).run_once().values())
    export, anchors = folder / "audit.jsonl", live.home / "audit" / "anchors.jsonl"
    command = [sys.executable, "-m", "trading_pipeline.cli", "--home", str(live.home), "--profile", str(live.profile)]
    written = subprocess.run([*command, "audit", "export"], capture_output=True, text=True, check=True)
    export.write_text(written.stdout)
    keys = subprocess.run([*command, "audit", "keys", "show"], capture_output=True, text=True, check=True)
    key = next(word for word in keys.stdout.split() if len(word) == 64)
    judge = [sys.executable, str(VERIFIER), "--key", key, "--anchors", str(anchors)]

    assert subprocess.run([*judge, str(export)], check=False).returncode == 0
    for kind in ("mode_changed", "mode_requested", "mode_approved", "operator_refused", "breaker_resumed"):
        assert f'\\"kind\\":\\"{kind}\\"' in written.stdout, kind
    lines = written.stdout.splitlines()
    export.write_text("\n".join([*lines[: len(lines) // 2], *lines[len(lines) // 2 + 1 :]]))
    assert subprocess.run([*judge, str(export)], check=False).returncode != 0
