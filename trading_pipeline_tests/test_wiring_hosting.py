"""Hosting a session: begun in order, entries only when all is good, refused in clear words, never ended silently."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trading_pipeline.adapters.clock import FixedClock, SystemClock
from trading_pipeline.domain.control import AlertLevel, BlockKind
from trading_pipeline.domain.errors import InputError, NotReady, OutcomeUnknown, SettingsError, VenueAbsent
from trading_pipeline.domain.trading_session import RiskEvent, SessionPhase
from trading_pipeline.ports import Clock, SimulatedMarket
from trading_pipeline.services.configured import Acceptance
from trading_pipeline.services.lease import HeldLease
from trading_pipeline.services.readiness import CONFIGURED, SELF_TEST, START_UP
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.venues import Access, Line
from trading_pipeline_tests.traded_home import TradedHome, traded_home

__all__ = ["traded_home"]
NOW = datetime(2026, 1, 5, tzinfo=UTC)
WORD = Acceptance("tester", "a limit was wrong", NOW)


@pytest.fixture
def made(traded_home: TradedHome, tmp_path: Path) -> TradedHome:
    return traded_home.copied_to(tmp_path)


def before_the_open(made: TradedHome) -> datetime:
    return made.open().calendar.times(made.running).opens_at - timedelta(minutes=15)


@dataclass
class EventfulClock(FixedClock):
    """Something happens as the clock passes an instant."""

    at: datetime = NOW
    happens: object = None

    def sleep_until(self, instant: datetime) -> None:
        super().sleep_until(instant)
        if self.instant >= self.at and callable(self.happens):
            happens, self.happens = self.happens, None
            happens()


def opened(made: TradedHome, clock: FixedClock | None = None) -> Workspace:
    return replace(made.open(), clock=clock or FixedClock(before_the_open(made)))


def events(workspace: Workspace, made: TradedHome, *kinds: str) -> list[RiskEvent]:
    with workspace.ledger.read() as tx:
        return [one for one in tx.risk_events("SIM", made.running) if one.kind in kinds]


def on_its_ledger(made: TradedHome, statement: str) -> None:
    with sqlite3.connect(made.home / "ledger.sqlite3") as connection:
        connection.execute(statement)
    connection.close()


def stopping_at(made: TradedHome, minutes: int, error: BaseException | None = None) -> Workspace:
    """The home on a clock that ends whatever runs, as Ctrl-C or a mistake does, minutes after the open."""

    def stop() -> None:
        raise error or KeyboardInterrupt

    at = before_the_open(made) + timedelta(minutes=15 + minutes)
    return opened(made, EventfulClock(before_the_open(made), at=at, happens=stop))


def test_every_step_and_control_is_on_record_at_the_open(made: TradedHome) -> None:
    workspace = stopping_at(made, 7)

    with pytest.raises(KeyboardInterrupt):
        workspace.host(made.running)

    told = events(workspace, made, START_UP, SELF_TEST)
    assert {one.severity for one in told} == {"INFO"}
    assert {one.occurred_at for one in told} == {made.open().calendar.times(made.running).opens_at}
    names = [name for one in told for name, line in one.data.items() if line.startswith(f"{name}: ok")]
    assert {"configuration", "broker", "clock", "reconciliation", "bars", "regime", "universe"} <= set(names)
    assert {
        "trading_state", "latch", "last_look", "risk_checks", "pacer", "lease", "fencing", "alerts", "stops", "cancels",
        "append_only",
    } <= set(names)  # fmt: skip
    with workspace.ledger.read() as tx:
        assert not tx.blocks("SIM")
        assert not [one for one in tx.alerts("SIM", made.running) if one.kind in {START_UP, SELF_TEST}]


def test_a_record_that_could_be_changed_is_found(made: TradedHome) -> None:
    ledger = made.open().ledger
    assert ledger.require_append_only() == "25 tables refuse changes"
    on_its_ledger(made, "DROP TRIGGER fills_refuses_update")

    with pytest.raises(NotReady, match=r"lacks 1 trigger.*fills_refuses_update.*db restore"):
        ledger.require_append_only()


def test_a_failing_precondition_is_named_and_keeps_entries_back(made: TradedHome) -> None:
    for file in (made.home / "research").glob(f"universe/**/*{made.running}*"):
        file.unlink()
    workspace = stopping_at(made, 7)

    with pytest.raises(KeyboardInterrupt):
        workspace.host(made.running)

    with workspace.ledger.read() as tx:
        (block,) = tx.blocks("SIM")
        alerts = [one for one in tx.alerts("SIM", made.running) if one.kind == START_UP]
    assert (block.kind, block.symbol) == (BlockKind.NOT_READY, "")
    assert "universe: FAILED" in block.reason
    assert [one.level for one in alerts] == [AlertLevel.WARNING, AlertLevel.ERROR]  # before the open, and at it


# configuration


def changed(workspace: Workspace) -> Workspace:
    """The same home under other limits."""
    limits = workspace.settings.execution.risk.model_copy(update={"max_open_positions": 2})
    execution = workspace.settings.execution.model_copy(update={"risk": limits})
    return Workspace(
        workspace.home, workspace.settings.model_copy(update={"execution": execution}), clock=workspace.clock
    )


def stopped(made: TradedHome) -> Workspace:
    """Hosted for some minutes and interrupted; the clock stands there."""
    workspace = stopping_at(made, 7)
    with pytest.raises(KeyboardInterrupt):
        workspace.host(made.running)
    return replace(workspace, clock=stopping_at(made, 20).clock)


def test_settings_changed_in_a_session_wait_for_the_next_one(made: TradedHome) -> None:
    other = changed(stopped(made))

    with pytest.raises(
        InputError, match=r"was begun under configuration .*applies from the next session.*--accept-con"
    ):
        other.host(made.running)
    with pytest.raises(InputError, match="applies from the next session"):
        other.host(made.running)

    with other.ledger.read() as tx:
        (alert,) = [one for one in tx.alerts("SIM", made.running) if one.kind == "loop_failed"]
        record = tx.session_record("SIM", made.running)
    assert alert.level is AlertLevel.ERROR
    assert record is not None
    assert record.phase is SessionPhase.RUNNING


def test_a_person_lets_them_apply_at_once_and_that_is_on_record(made: TradedHome) -> None:
    other = changed(stopped(made))

    for word in (WORD, None):  # accepted once, it stays so
        with pytest.raises(KeyboardInterrupt):
            replace(other, clock=stopping_at(made, 12).clock).host(made.running, word=word)

    (event,) = events(other, made, CONFIGURED)
    assert (event.data["operator"], event.data["reason"]) == ("tester", "a limit was wrong")
    assert event.data["to"] == other.settings.digest()
    with other.ledger.read() as tx:
        audited = [entry for _, entry in tx.audit_entries(limit=100_000) if entry.subject == event.event_id]
    assert audited


@pytest.mark.parametrize(("operator", "reason"), [("", "why"), ("tester", " ")])
def test_nobody_accepts_without_a_name_and_a_reason(operator: str, reason: str) -> None:
    with pytest.raises(InputError, match="needs a reason and a name"):
        Acceptance(operator, reason, NOW)


def test_how_long_a_hung_loop_leads_is_no_decision(made: TradedHome) -> None:
    workspace = made.open()
    lease = workspace.settings.execution.lease.model_copy(update={"hang_seconds": 5.0})
    execution = workspace.settings.execution.model_copy(update={"lease": lease})

    assert workspace.settings.model_copy(update={"execution": execution}).digest() == workspace.settings.digest()


# days


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (-2 * 24 * 60, "it has not come"),
        (390 + 15, "is over and was never begun"),
        (3 * 24 * 60, "is over and was never begun"),
    ],
)
def test_a_session_is_begun_on_its_day_and_before_its_close(made: TradedHome, minutes: int, words: str) -> None:
    clock = FixedClock(before_the_open(made) + timedelta(minutes=minutes))
    workspace = opened(made, clock)

    with pytest.raises(InputError, match=rf"{words}.*next session is \d.*--accelerated"):
        workspace.host(made.running)
    with workspace.ledger.read() as tx:
        assert tx.session_record("SIM", made.running) is None


def test_on_a_day_without_a_session_that_is_said(made: TradedHome) -> None:
    calendar = made.open().calendar
    sunday = before_the_open(made) + timedelta(days=(6 - made.running.weekday()) % 7 or 7)
    due = calendar.session_of(sunday)

    with pytest.raises(InputError, match=rf"{sunday.date()} is no session of the exchange.*next session is {due}"):
        opened(made, FixedClock(sunday)).host(due)


# ended by an error


def test_e44_an_unexpected_error_is_told_counted_and_raised_and_the_lease_is_released(made: TradedHome) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            stopping_at(made, 7, ZeroDivisionError("a mistake of ours")).host(made.running)

    with made.open().ledger.read() as tx:
        first, second = [one for one in tx.alerts("SIM", made.running) if one.kind == "loop_failed"]
        lease = tx.lease("session-loop-SIM")
    assert {first.level, second.level} == {AlertLevel.CRITICAL}
    assert "ZeroDivisionError: a mistake of ours" in first.message
    assert "for the 2. time" in second.message
    assert first.data["step"] == second.data["step"]
    assert lease is not None
    assert not lease.is_live(SystemClock().now())
    with pytest.raises(KeyboardInterrupt):  # the next one goes on
        stopping_at(made, 12).host(made.running)


# a venue that is down


@dataclass(frozen=True)
class AbsentAccess:
    """A venue that cannot be reached the first times. Implements Access."""

    access: Access
    absences: list[Exception]

    @property
    def market(self) -> SimulatedMarket | None:
        return self.access.market

    def line(self, clock: Clock, lease: HeldLease | None) -> Line:
        if self.absences:
            raise self.absences.pop()
        return self.access.line(clock, lease)

    def close(self) -> None:
        self.access.close()


@dataclass(frozen=True)
class FarWorkspace(Workspace):
    """A home whose venue is down at first."""

    absences: tuple[Exception, ...] = ()

    def access(self, venue_url: str | None = None, market_url: str | None = None) -> Access:
        return AbsentAccess(super().access(venue_url, market_url), list(self.absences))


def test_e43_a_venue_that_is_down_at_the_start_is_tried_until_it_answers_and_that_is_told(made: TradedHome) -> None:
    near = stopping_at(made, 7)
    absences = (OutcomeUnknown("no answer"), VenueAbsent("nobody listens"))
    far = FarWorkspace(near.home, near.settings, clock=near.clock, absences=absences)

    began = SystemClock().now()
    with pytest.raises(KeyboardInterrupt):
        far.host(made.running)

    assert SystemClock().now() - began >= timedelta(seconds=3)  # a second, then two
    with far.ledger.read() as tx:
        told = [(one.kind, one.level) for one in tx.alerts("SIM", made.running) if one.kind.startswith("connection")]
    assert told == [("connection_lost", AlertLevel.ERROR), ("connection_restored", AlertLevel.INFO)]


def test_what_no_waiting_will_mend_is_refused_at_once(made: TradedHome) -> None:
    near = opened(made)
    far = FarWorkspace(near.home, near.settings, clock=near.clock, absences=(SettingsError("another account"),))

    with pytest.raises(SettingsError, match="another account"):
        far.host(made.running)
