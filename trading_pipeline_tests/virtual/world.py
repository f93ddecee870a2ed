"""A researched market, traded twice over the same sessions: once undisturbed, once in bad weather."""

from __future__ import annotations

import ctypes
import gc
import re
import resource
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec, market_sessions, populate
from trading_pipeline.domain.control import AlertLevel, TradingState
from trading_pipeline.domain.errors import TradingError, TradingPipelineError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.orders import Side
from trading_pipeline.domain.rehearsal import Disturbances, VenueEye, Verdict
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.services.breaker import pause_trading, read_control, resume
from trading_pipeline.services.closing import UNHEARD
from trading_pipeline.services.entries import rearm
from trading_pipeline.services.kill import a_kill
from trading_pipeline.services.rehearsal import judge
from trading_pipeline.services.research import run_research
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline.services.trading_state import record_trip
from trading_pipeline.settings import Settings
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.watch import bare_shares
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.rooms import Room
from trading_pipeline.wiring.venues import OwnVenue
from trading_pipeline_tests.fakes import Crashed
from trading_pipeline_tests.services.traded_market import LOOSE
from trading_pipeline_tests.virtual.shaky import ShakyAccess, ShakyClock, ShakyFeed, ShakyLedger
from trading_pipeline_tests.virtual.weather import Trouble, Weather

HISTORY = 110
NOW = datetime(2026, 10, 1, tzinfo=UTC)
MOST_STARTS = 60
"""Starts of one session's loop after which something is wrong that no restart mends."""
BAR = timedelta(minutes=5)
PATIENCE = timedelta(minutes=20)
"""How long after a latch a person looks at it and resumes."""


def researched(home: Path, sessions: int, on_session: Callable[[date], None] = lambda _: None) -> Sequence[date]:
    """A home with bars of a made-up market and the research of its last sessions; returns those sessions."""
    spec = SyntheticMarketSpec(
        symbols=12, sessions=HISTORY + sessions, timeframe=Timeframe.MIN5, reversals_per_symbol_year=60
    )
    workspace = Workspace(home, LOOSE, clock=FixedClock(NOW))
    populate(spec, workspace.bars, workspace.calendar)
    days = market_sessions(spec, workspace.calendar)[-sessions:]
    for day in days:
        run_research(workspace.research, day)
        on_session(day)
    return days


def twin_of(home: Path, folder: Path) -> Path:
    """Another home over the same bars and research, with a record and a venue of its own."""
    folder.mkdir(parents=True)
    for name in ("bars", "research"):
        (folder / name).symlink_to(home / name)
    for file in home.glob("ledger.sqlite3*"):
        shutil.copy(file, folder / file.name)
    return folder


@dataclass
class Undisturbed:
    """The twin to which nothing happens."""

    home: Path
    settings: Settings = LOOSE

    def trade(self, days: Sequence[date]) -> list[int]:
        """Fills of each session."""
        workspace = Workspace(self.home, self.settings, clock=FixedClock(NOW))
        room = workspace.room()
        for day in days:
            room.loop(day).run()
        account = self.settings.execution.account
        with workspace.ledger.read() as tx:
            return [len(tx.fills(account, session=day)) for day in days]


@dataclass
class Disturbed:
    """The twin in bad weather: each start is a process of its own, with nothing but home and venue to go by."""

    home: Path
    weather: Weather
    settings: Settings = LOOSE
    starts: Counter[date] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)
    memory_kb: list[int] = field(default_factory=list)
    _venue: SimulatedVenue | None = None
    _bare: dict[str, int] = field(default_factory=dict)
    _at: datetime = NOW

    def __post_init__(self) -> None:
        self.weather.is_holding = lambda: bool(self._venue and self._venue.positions())
        self.weather.on_people = self._people

    @property
    def account(self) -> str:
        """The account that trades."""
        return self.settings.execution.account

    def trade(self, days: Sequence[date], on_session: Callable[[date], None] = lambda _: None) -> list[int]:
        """Fills of each session."""
        for day in days:
            self._session(day)
            self.memory_kb.append(_resident_kb())
            on_session(day)
        with self._workspace().ledger.read() as tx:
            return [len(tx.fills(self.account, session=day)) for day in days]

    def judged(self, days: Sequence[date]) -> Verdict:
        """Record against venue, over all sessions."""
        workspace, venue = self._workspace(), self._own_venue()
        eye = VenueEye(
            longest_gap_seconds=0.0,
            gaps=(),
            faults={trouble.value: count for trouble, count in self.weather.met.items()},
        )
        done = {day: Disturbances(kills=0, restarts=self.starts[day] - 1) for day in days}
        line = venue.line(FixedClock(NOW), None)
        return judge(workspace.ledger, line.broker, eye, self.account, done, "simulated")

    def _workspace(self) -> Workspace:
        return Workspace(self.home, self.settings, clock=FixedClock(NOW))

    def _own_venue(self) -> OwnVenue:
        return self._workspace()._own_venue()

    def _session(self, day: date) -> None:
        while self.starts[day] < MOST_STARTS:
            self.starts[day] += 1
            self._resume_if_due()
            try:
                if self._process(day):
                    self._agree(day)
                    self._rearm(day)
                    return
            except Crashed:
                self.why["killed"] += 1
            except TradingPipelineError as error:
                self.why[f"{type(error).__name__}: {str(error)[:90]}"] += 1
        self.breaches.append(f"{day}: {MOST_STARTS} starts did not bring the session to its close: {dict(self.why)}")

    def _process(self, day: date) -> bool:
        """One life of the session's process; True when the session is closed."""
        workspace, own = self._workspace(), self._own_venue()
        self._venue = own.venue
        access = ShakyAccess(own, self.weather, self._on_entry)
        room = Room(workspace, ShakyLedger(workspace.ledger, self.weather), access)
        try:
            loop = self._loop(room, day)
            self.weather.touches_to_live = 0
            return loop.run().phase is SessionPhase.CLOSED
        finally:
            room.close()

    def _loop(self, room: Room, day: date) -> SessionLoop:
        loop = room.loop(day, self._on_step)
        clock = ShakyClock(loop.desk.clock, self.weather, loop.times.opens_at)
        loop.desk = replace(loop.desk, clock=clock)
        loop.feed = ShakyFeed(loop.feed, room.workspace.bars, self.weather)
        self._at = clock.clock.now()
        return loop

    def _on_step(self, at: datetime, _done: int, _total: int) -> None:
        """After each bar: nothing bare for two in a row of which no alarm was raised, and a person looks at latches."""
        self._at = at
        bare = bare_shares(self._venue) if self._venue else {}
        self._bare = {symbol: self._bare.get(symbol, 0) + 1 for symbol in bare}
        for symbol, bars in self._bare.items():
            if bars == 2 and not self._is_alarmed(symbol, at):
                self.breaches.append(f"{at}: {bare[symbol]} {symbol} under no stop for two bars")
        self._resume_if_due()

    def _is_alarmed(self, symbol: str, at: datetime) -> bool:
        """True when an alarm of the last two bars names the symbol: uncovered shares are covered, or cried out."""
        with self._workspace().ledger.read() as tx:
            events = tx.risk_events(self.account, at.date())
        recent = [one for one in events if one.occurred_at > at - 2 * BAR and one.severity != AlertLevel.INFO]
        return any(re.search(rf"\b{symbol}\b", one.message) for one in recent)

    def _on_entry(self, client_order_id: str) -> None:
        workspace = self._workspace()
        state = read_control(workspace.ledger, workspace.latch, self.account).state
        if state is not TradingState.ACTIVE:
            self.breaches.append(f"{self._at}: the entry {client_order_id} reached the venue while {state}")

    # people

    def _people(self, trouble: Trouble, at: datetime) -> None:
        workspace, session = self._workspace(), at.date()
        if trouble is Trouble.LATCH_GARBLED:
            Path(workspace.latch.file.place).write_text("{not a latch", encoding="utf-8")
            return
        if read_control(workspace.ledger, workspace.latch, self.account).is_latched:
            return
        if trouble is Trouble.PAUSED:
            pause_trading(
                lambda: workspace.ledger, workspace.latch, self.account, reason="to look", operator="pat", at=at,
                session=session,
            )  # fmt: skip
            return
        trip = a_kill(self.account, session, operator="pat", reason="a scare", flatten=False, clock=FixedClock(at))
        workspace.latch.engage(trip)
        with workspace.ledger.transaction() as tx:
            record_trip(tx, trip)

    def _resume_if_due(self) -> None:
        """Some time after a latch a person mends what is garbled, and resumes what may be."""
        workspace = self._workspace()
        view = read_control(workspace.ledger, workspace.latch, self.account)
        if not view.is_latched or (view.since is not None and timedelta(0) <= self._at - view.since < PATIENCE):
            return
        try:
            if workspace.latch.look().trip is None and workspace.latch.look().state is TradingState.HALTED:
                workspace.latch.release()
            if read_control(workspace.ledger, workspace.latch, self.account).is_latched:
                resume(
                    workspace.ledger, workspace.latch, self.settings.execution, reason="looked at", operator="pat",
                    at=self._at, override_cooldown=True,
                )  # fmt: skip
        except TradingError as refused:
            self.why[f"resume refused: {str(refused)[:60]}"] += 1

    def _rearm(self, day: date) -> None:
        """After the close a person re-arms each symbol that only a person re-arms."""
        desk = self._workspace().risk_desk(self._at)
        with desk.ledger.read() as tx:
            blocked = sorted({one.symbol for one in tx.blocks(self.account) if one.symbol and one.kind.needs_person})
        for symbol in blocked:
            rearm(desk, symbol, day, reason="looked at after the close", operator="pat")
            self.why["symbols re-armed after the close"] += 1

    # laws

    def _agree(self, day: date) -> None:
        """At the close record and venue agree on shares, cash and executions; a position is the sum of its fills.

        While the venue tells nothing nobody can know, and the session is marked so: then the next close that is not has
        to agree.
        """
        workspace, venue = self._workspace(), self._own_venue().venue
        with workspace.ledger.read() as tx:
            if any(one.kind == UNHEARD for one in tx.risk_events(self.account, day)):
                self.why["closed while the venue was silent"] += 1
                return
            ours = {p.symbol: p.quantity for p in tx.positions(self.account)}
            fills = tx.fills(self.account)
            points = tx.equity_points(self.account, day, day)
        theirs = {p.symbol: p.quantity for p in venue.positions()}
        summed: dict[str, Decimal] = {}
        for fill in fills:
            signed = fill.quantity if (fill.side is Side.BUY) != fill.is_reversal else -fill.quantity
            summed[fill.symbol] = summed.get(fill.symbol, Decimal(0)) + signed
        summed = {symbol: shares for symbol, shares in summed.items() if shares}
        if not ours == theirs == summed:
            self.breaches.append(f"{day}: shares differ: {ours} on record, {theirs} at the venue, {summed} by fills")
        cash = venue.account().cash_usd
        if points[-1].cash_usd != cash:
            self.breaches.append(f"{day}: cash differs: {points[-1].cash_usd} on record, {cash} at the venue")
        venue.close()


def _resident_kb() -> int:
    """What is in use: memory that was freed is given back first, so that holes of the C library's heap count for
    nothing and what anybody still holds counts in full."""
    gc.collect()
    with suppress(AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)
    with Path("/proc/self/statm").open(encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() // 1024
