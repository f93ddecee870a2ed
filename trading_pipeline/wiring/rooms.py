"""Rooms: a desk with its market, in a home's own account or in one that goes away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from trading_pipeline.adapters.bar_feed import StoredBarFeed
from trading_pipeline.adapters.clock import ReplayClock, SteppedClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.ports import Clock, Ledger
from trading_pipeline.services.border import border
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.hosted import HostedBroker
from trading_pipeline.services.lease import HeldLease
from trading_pipeline.services.rebalancer import Rebalancer
from trading_pipeline.services.sending import open_requests
from trading_pipeline.services.session_loop import Progress, SessionLoop
from trading_pipeline.services.signals import refresh_signals
from trading_pipeline.services.timing import TimedBroker
from trading_pipeline.settings import Settings, approval_hash
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import rules_from
from trading_pipeline.wiring.venues import Access, OwnVenue

if TYPE_CHECKING:
    from trading_pipeline.wiring.workspace import Workspace


@dataclass(frozen=True)
class Room:
    """A desk and what executes its orders. clock None: a new accelerated clock for every session."""

    workspace: Workspace
    ledger: Ledger
    access: Access
    clock: Clock | None = None
    settings: Settings | None = None
    any_research: bool = False
    """True when the ledger holds only the research to decide on."""
    lease: HeldLease | None = None
    before_request: Callable[[], None] = lambda: None
    """Called before each request to the venue: this process lives, and may go on."""
    stop_requested: Callable[[], bool] = lambda: False

    def loop(self, session: date, on_step: Progress | None = None) -> SessionLoop:
        """The loop of one session."""
        times = self.workspace.calendar.times(session)
        feed = StoredBarFeed(self.workspace.bars, live=self.clock is not None)
        desk = self.desk(self._reached(times), feed.base_minutes())
        return SessionLoop(
            desk=desk, feed=feed, times=times, market=self.access.market, on_step=on_step, live=self.clock is not None,
            real_clock=self.clock, session_after=self.workspace.calendar.next, stop_requested=self.stop_requested,
            rebalancer=Rebalancer(feed, times, self.clock is not None, self._signal_watch(session)),
        )  # fmt: skip

    def _reached(self, times: SessionTimes) -> datetime:
        """The open, or where an earlier process stopped: what is heard from then on is not dated back before it."""
        account = (self.settings or self.workspace.settings).execution.account
        with self.ledger.read() as tx:
            record = tx.session_record(account, times.session)
        return (record.cursor_at if record else None) or times.opens_at

    def _signal_watch(self, session: date) -> Callable[[datetime], None] | None:
        """What looks for new external signals while a session runs; None where they are on record already."""
        if self.clock is None or self.workspace.settings.execution.signals != "external":
            return None

        def look(instant: datetime) -> None:
            provider = self.workspace.signal_provider()  # a new one each time: it reads its source once
            if provider is not None:
                refresh_signals(self.workspace.research, provider, session, instant)

        return look

    def close(self) -> None:
        """Give the venue back, so that another process may open it."""
        self.access.close()

    def session_of(self, instant: datetime) -> date:
        """The session an instant belongs to."""
        return self.workspace.calendar.session_of(instant)

    def desk(self, starts_at: datetime, base_bar_minutes: int) -> Desk:
        """The desk, its clock at `starts_at`; a live one steps on from there as the room's clock runs."""
        clock = SteppedClock(starts_at, self.clock) if self.clock else ReplayClock(starts_at)
        rules = (self.settings or self.workspace.settings).execution
        line = self.access.line(clock, self.lease)
        if line.restore is not None:
            line.restore(open_requests(self.ledger, rules.account))
        is_live = self.clock is not None and self.access.market is None
        hosted = HostedBroker(line.broker, self.before_request)
        timed = TimedBroker(hosted, monotonic)
        broker = border(timed if self.clock else hosted, clock, rules.submission, is_live=is_live)
        return Desk(
            ledger=self.ledger, broker=broker, border=broker, lease=self.lease, clock=clock, rules=rules,
            provenance=self.workspace.provenance,
            base_bar_minutes=base_bar_minutes, any_research=self.any_research, facts=self.workspace.facts(),
            trigger=self.workspace.settings.sabr20.t1, confirmation=self.workspace.settings.sabr20.t2,
            frames=self.workspace.frames, connections=line.connections,
            elapsed=monotonic if self.clock else _no_time, answers=timed.take_answers,
            latch=None if self.any_research else self.workspace.latch,
            news=line.bell, venue_now=line.venue_now if is_live else None, stop_requested=self.stop_requested,
            modes=self.workspace.settings.modes, venue_account=line.account_id,
            approval_hash=approval_hash(self.settings or self.workspace.settings),
        )  # fmt: skip


def _no_time() -> float:
    return 0.0


@dataclass
class ScratchRooms:
    """Makes rooms in a folder that goes away."""

    workspace: Workspace
    folder: Path
    before_request: Callable[[], None] = lambda: None
    _made: int = 0

    def __call__(self, opening_cash_usd: Decimal) -> Room:
        """A room whose account starts with the given cash (USD)."""
        self._made += 1
        settings = with_cash(self.workspace.settings, opening_cash_usd)
        ledger = SqlLedger.open(default_url(self.folder / str(self._made)))
        venue = OwnVenue(SimulatedVenue(None, rules_from(settings)))
        return Room(
            self.workspace, ledger, venue, settings=settings, any_research=True, before_request=self.before_request
        )


def with_cash(settings: Settings, initial_cash_usd: Decimal) -> Settings:
    """The same settings with another opening cash (USD)."""
    execution = settings.execution.model_copy(update={"initial_cash_usd": initial_cash_usd})
    return settings.model_copy(update={"execution": execution})
