"""Hosting a session's loop: who leads, how it is begun and ended, and what is told when it fails.

A signal ends it after the order in hand: no entry leaves any more, the step is finished while that is quick, the lease
is released, stops stay at the venue. Whatever hangs then, the process ends in time: a step that was cut off is found
and finished by the next host, as after a crash. A loop that hangs without a signal loses its lease and ends as well.
"""

from __future__ import annotations

import faulthandler
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from trading_pipeline.adapters.clock import SystemClock
from trading_pipeline.adapters.stop_signals import StopAsked, stop_signals
from trading_pipeline.domain.errors import LedgerError, OutcomeUnknown, StopRequested, VenueAbsent
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.configured import Acceptance, require_configuration
from trading_pipeline.services.failing import tell_connection, tell_failure
from trading_pipeline.services.lease import HeldLease, fenced
from trading_pipeline.services.live import run_live_session
from trading_pipeline.services.modes.permission import Permission, Seen
from trading_pipeline.services.opening import require_its_day
from trading_pipeline.services.preconditions import Preconditions
from trading_pipeline.services.readiness import Check
from trading_pipeline.services.self_test import SelfTest
from trading_pipeline.services.session_loop import Progress, SessionLoop
from trading_pipeline.services.session_news import tell_stopped
from trading_pipeline.services.startup import StartUp
from trading_pipeline.wiring.permission import broker_look, permission_of
from trading_pipeline.wiring.rooms import Room
from trading_pipeline.wiring.venues import Access, OwnVenue

if TYPE_CHECKING:
    from trading_pipeline.wiring.workspace import Workspace

log = logging.getLogger(__name__)
GRACE_SECONDS = 2.0
"""How long after a signal the step in hand may still ask the venue something."""
LIMIT_SECONDS = 8.0
"""How long after a signal the process ends, whatever it waits for."""
FIRST_WAIT, MOST_WAIT = timedelta(seconds=1), timedelta(seconds=30)
"""Before a venue that could not be reached is tried again; each wait doubles."""
LOOK = timedelta(seconds=1)
"""How long nobody looks whether a signal came."""
CUT_OFF = (
    b"stopped: the step in hand hung and was cut off. The next host finds and finishes it. Stops stay at the venue.\n"
)
STDERR = 2
HUNG = 75
"""Exit code of a process whose loop hung (EX_TEMPFAIL: start it again)."""


@dataclass(slots=True)
class Host:
    """One process that hosts one session."""

    workspace: Workspace
    session: date
    on_step: Progress | None = None
    venue_url: str | None = None
    market_url: str | None = None
    accelerated: bool = False
    word: Acceptance | None = None
    """A person's word that a session that was begun goes on under the configuration set now."""
    _lease: HeldLease | None = None
    _stop: StopAsked = field(default_factory=StopAsked)

    def run(self) -> SessionRecord | None:
        """Run the loop to the close, or until a signal; None when one came before the session was begun."""
        with stop_signals(self._cut_off, LIMIT_SECONDS) as self._stop, ExitStack() as ends:
            if self.venue_url is None and self.workspace.settings.broker.name == "simulated":
                ends.enter_context(self.workspace.exclusive("trading"))
            self._lease = ends.enter_context(self.workspace.leading(self._end_hung))
            self.workspace.require_its_venue(self.venue_url)
            self._require_its_day()
            with self._telling():
                record = self._unless_stopped(self._lease)
            if self._stop() and record is not None and record.phase is SessionPhase.RUNNING:
                self._tell_stopped()
            return record

    def _unless_stopped(self, lease: HeldLease) -> SessionRecord | None:
        """A ledger that cannot be written once a signal has come ends it like any signal."""
        try:
            return self._hosted(lease)
        except StopRequested as stopped:
            log.warning("%s", stopped)
        except LedgerError as error:
            if not self._stop():
                raise
            log.warning("stopped while the ledger could not be written: %s", error)
        return self._record()

    def _hosted(self, lease: HeldLease) -> SessionRecord | None:
        workspace = self.workspace
        self._require_configuration()
        if self.venue_url is None:
            self._permission.require(partial(broker_look, workspace))
        access = workspace.access(self.venue_url, self.market_url)
        room = Room(
            workspace, fenced(workspace.ledger, lease), access, clock=None if self.accelerated else workspace.clock,
            lease=lease, before_request=self._before_request, stop_requested=self._stop,
        )  # fmt: skip
        with closing(room):
            return self._run_in(room, access)

    def _run_in(self, room: Room, access: Access) -> SessionRecord | None:
        loop = self._reached(room)
        if loop is None:
            return self._record()
        if self._permission.is_live and self.venue_url is None:
            desk = loop.desk
            self._permission.require_seen(Seen(desk.venue_account, desk.broker.account().equity_usd))
        if not self.accelerated:
            loop.start_up = self._start_up(loop, is_own=isinstance(access, OwnVenue))
        return run_live_session(loop)

    # begun

    def _reached(self, room: Room) -> SessionLoop | None:
        """The loop, once the venue is reached: by the real clock it is tried until it is, or a signal comes."""
        wait, is_lost = FIRST_WAIT, False
        while not self._stop():
            try:
                loop = room.loop(self.session, self.on_step)
            except (OutcomeUnknown, VenueAbsent) as absent:
                if self.accelerated:
                    raise
                log.warning("no connection to the venue, tried again in %.0f s: %s", wait.total_seconds(), absent)
                if not is_lost:
                    self._tell_connection(str(absent))
                is_lost = True
                self._pause(wait)
                wait = min(2 * wait, MOST_WAIT)
            else:
                if is_lost:
                    self._tell_connection("")
                return loop
        return None

    def _start_up(self, loop: SessionLoop, *, is_own: bool) -> StartUp:
        desk, times, machine = loop.desk, loop.times, self.workspace.clock if is_own else SystemClock()
        needed = (*self._permission.checks(), *Preconditions(desk, self.workspace.research, times, machine).checks())
        guards = Check("append_only", self.workspace.ledger.require_append_only)
        return StartUp(
            desk, times, needed,
            (*SelfTest(desk, times).checks(), guards), monotonic,
        )  # fmt: skip

    @property
    def _permission(self) -> Permission:
        return permission_of(self.workspace)

    def _require_its_day(self) -> None:
        """Raises InputError unless the session is of today, or was begun: that may always be finished."""
        calendar, now = self.workspace.calendar, self.workspace.clock.now()
        times = calendar.times(self.session)
        if not self.accelerated and self._record() is None:
            require_its_day(calendar, times, now, now.astimezone(calendar.zone).date())

    def _require_configuration(self) -> None:
        """Not of stored bars: there a session is finished as it can be, and verified by its record."""
        record = self._record()
        if record is not None and not self.accelerated:
            require_configuration(self.workspace.ledger, record, self.workspace.provenance, self.word)

    def _record(self) -> SessionRecord | None:
        with self.workspace.ledger.read() as tx:
            return tx.session_record(self.workspace.settings.execution.account, self.session)

    # alive, and ended

    def _before_request(self) -> None:
        """This process lives; raises StopRequested once it was asked to end and has had its time."""
        if self._lease is not None:
            self._lease.give_sign()
        if self._stop.seconds_ago() > GRACE_SECONDS:
            raise StopRequested(
                "asked to stop, and the step in hand took too long: the venue is asked nothing more. The next host "
                "finishes the step. Stops stay at the venue"
            )

    def _pause(self, length: timedelta) -> None:
        """Let the machine's time pass, alive, unless a signal comes."""
        clock = SystemClock()
        until = clock.now() + length
        while (now := clock.now()) < until and not self._stop():
            self._before_request()
            clock.sleep_until(min(until, now + LOOK))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Whatever ends the loop but a signal is told before it is raised."""
        try:
            yield
        except Exception as error:
            if not self._stop():
                self._tell_failure(error)
            raise

    def _tell_failure(self, error: BaseException) -> None:
        tell_failure(
            self.workspace.ledger, self.workspace.settings.execution.account, self.session, error,
            process=self._process(), at=SystemClock().now(),
        )  # fmt: skip

    def _tell_connection(self, why: str) -> None:
        tell_connection(
            self.workspace.ledger, self.workspace.settings.execution.account, self.session, why=why,
            process=self._process(), at=SystemClock().now(),
        )  # fmt: skip

    def _tell_stopped(self) -> None:
        account = self.workspace.settings.execution.account
        try:
            tell_stopped(self.workspace.ledger, account, self.session, process=self._process(), at=SystemClock().now())
        except LedgerError as error:
            log.warning("stopped, which could not be put on record: %s", error)

    def _process(self) -> str:
        return f"{self._lease.holder} {self._lease.token}" if self._lease else ""

    def _end_hung(self) -> None:
        """Called when the loop hung until its lease was over: another process may lead, and this one is of no use."""
        try:
            os.write(STDERR, b"the session loop hung and is ended; where it hung:\n")
            faulthandler.dump_traceback(STDERR, all_threads=True)
            quiet = self.workspace.settings.execution.lease.hang_seconds
            _within(1.0, lambda: self._tell_failure(StopRequested(f"no sign of life for {quiet:g} s: it hung")))
        finally:
            os._exit(HUNG)

    def _cut_off(self) -> None:
        """Called when a signal came and the process has not ended in time."""
        try:
            _within(1.0, self._release)
            os.write(STDERR, CUT_OFF)
        finally:
            os._exit(0)

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.release()


def _within(seconds: float, act: Callable[[], None]) -> None:
    """Do it, but wait no longer: what it needs may hang as well."""
    thread = Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)


def wait_for_lead(workspace: Workspace, session: date) -> bool:
    """Wait until shortly before the open, when the loop is begun; False when a signal came instead."""
    lead = timedelta(minutes=workspace.settings.automation.supervision.lead_minutes)
    begins_at, clock = workspace.calendar.times(session).opens_at - lead, workspace.clock
    with stop_signals() as stop:
        while not stop() and (now := clock.now()) < begins_at:
            clock.sleep_until(min(begins_at, now + LOOK))
        return not stop()


def wait_for_bars(workspace: Workspace) -> bool:
    """Wait until the stream has fetched the made-up market's past; False when a signal came instead."""
    clock, is_made_up = workspace.clock, workspace.settings.live.provider == "synthetic"
    with stop_signals() as stop:
        while is_made_up and not stop() and workspace.bars.base_timeframe() is None:
            clock.sleep_until(clock.now() + LOOK)
        return not stop()
