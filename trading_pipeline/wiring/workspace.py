"""One home folder with everything in it."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from trading_pipeline.adapters.bar_feed import StoredBarFeed
from trading_pipeline.adapters.bar_store import ParquetBarStore
from trading_pipeline.adapters.brokers.absent import AbsentBroker
from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import ReplayClock, SteadyClock, SystemClock
from trading_pipeline.adapters.latch_file import FileLatch
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.adapters.logs.secrets import know_secrets
from trading_pipeline.adapters.market_facts import StoredMarketFacts
from trading_pipeline.adapters.report_page import equity_svg, write_report
from trading_pipeline.adapters.research_store import ParquetResearchStore
from trading_pipeline.adapters.signal_files import file_signals, table_signals
from trading_pipeline.domain.errors import HomeInUseError, InputError
from trading_pipeline.domain.reports import SessionReport
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.ports import Clock, Ledger, SignalProvider
from trading_pipeline.services.configured import Acceptance
from trading_pipeline.services.desk import Desk, Provenance
from trading_pipeline.services.execution_summary import ExecutionSummary
from trading_pipeline.services.executions import run_execution
from trading_pipeline.services.latch import Latch
from trading_pipeline.services.lease import HeldLease, fenced, leading
from trading_pipeline.services.live import decide_now
from trading_pipeline.services.monitor import MonitorState, read_monitor
from trading_pipeline.services.replay import Replayed, copy_research, replay_session, require_over
from trading_pipeline.services.reporting import ReportDesk, report_data
from trading_pipeline.services.research_desk import ResearchDesk
from trading_pipeline.services.session_loop import Progress
from trading_pipeline.services.signals import record_session_signals
from trading_pipeline.settings import Settings, load_settings, resolve_home
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import rules_from
from trading_pipeline.wiring.brokers import broker_connection
from trading_pipeline.wiring.hosting import Host
from trading_pipeline.wiring.rooms import Room, ScratchRooms
from trading_pipeline.wiring.venues import Access, BrokerAccess, OwnVenue, VenueProcess, require_its_venue
from trading_pipeline.wiring.version import code_version

SECTORS, EARNINGS = "sectors.csv", "earnings.csv"
"""Sources of facts that a home folder may hold."""
SessionProgress = Callable[[date, datetime, int, int], None]


@dataclass(frozen=True)
class Workspace:
    """One home folder with everything in it, opened on demand."""

    home: Path
    settings: Settings
    run_id: str = ""
    clock: Clock = field(default_factory=SteadyClock)
    config: Path | None = None
    profile: Path | None = None

    def __post_init__(self) -> None:
        """Whoever works with these settings tells none of their secrets."""
        know_secrets(self.settings)

    @cached_property
    def calendar(self) -> ExchangeCalendar:
        """The exchange's sessions."""
        return ExchangeCalendar(self.settings.market.calendar)

    @cached_property
    def bars(self) -> ParquetBarStore:
        """Bars of this home."""
        return ParquetBarStore(self.home / "bars", self.calendar, self.clock)

    @cached_property
    def frames(self) -> ParquetResearchStore:
        """Frames derived from the bars."""
        return ParquetResearchStore(self.home / "research")

    @cached_property
    def ledger(self) -> SqlLedger:
        """The durable record; its tables are created or upgraded on first use."""
        self.home.mkdir(parents=True, exist_ok=True)
        storage = self.settings.storage
        url = storage.database_url.get_secret_value() or default_url(self.home)
        return SqlLedger.open(url, lock_wait_seconds=storage.lock_wait_seconds)

    @cached_property
    def latch(self) -> Latch:
        """What blocks this home's account without a database."""
        return Latch(FileLatch(self.home, self.settings.execution.account), SystemClock())

    @cached_property
    def provenance(self) -> Provenance:
        """Which code and configuration work here, in which run."""
        return Provenance(code_version=code_version(), config_hash=self.settings.digest(), run_id=self.run_id)

    @cached_property
    def research(self) -> ResearchDesk:
        """Research over this home's bars."""
        return ResearchDesk(
            bars=self.bars, frames=self.frames, ledger=self.ledger, calendar=self.calendar, clock=self.clock,
            settings=self.settings, provenance=self.provenance,
        )  # fmt: skip

    def facts(self) -> StoredMarketFacts:
        """Sectors, earnings and correlations; files as named in the settings, else those of this home, if any."""
        filters = self.settings.execution.filters
        return StoredMarketFacts(
            self.bars, self.calendar,
            sector_file=filters.sector_file or self._in_home(SECTORS),
            earnings_file=filters.earnings_file or self._in_home(EARNINGS),
            correlation_sessions=self.settings.execution.risk.correlation_sessions,
        )  # fmt: skip

    def feed(self) -> StoredBarFeed:
        """Bars as they are stored now."""
        return StoredBarFeed(self.bars, live=True)

    def risk_desk(self, at: datetime) -> Desk:
        """A desk without a venue, its clock at `at`: to look at the book, and to change what only the record holds."""
        return Desk(
            ledger=self.ledger, broker=AbsentBroker(), clock=ReplayClock(at), rules=self.settings.execution,
            provenance=self.provenance, base_bar_minutes=self.feed().base_minutes(), facts=self.facts(),
        )  # fmt: skip

    def _in_home(self, name: str) -> Path | None:
        return self.home / name if (self.home / name).exists() else None

    def report_path(self, session: date) -> Path:
        """Where a session's report stands."""
        return self.home / "reports" / f"{self.settings.execution.account}-{session.isoformat()}.html"

    def write_report(self, session: date) -> WrittenReport:
        """Write the session's HTML report from the record; raises MissingResultError when it was not traded."""
        desk = ReportDesk(ledger=self.ledger, frames=self.frames, bars=self.bars, calendar=self.calendar)
        report = report_data(desk, self.settings.execution.account, session)
        return WrittenReport(write_report(self.report_path(session), report), report)

    def signals_in(self, file: Path) -> SignalProvider:
        """Signals of a CSV or JSON file."""
        return file_signals(file, max_rows=self.settings.execution.rebalance.max_rows)

    def signal_provider(self) -> SignalProvider | None:
        """Where external signals come from, as configured; None when watchlists are traded."""
        rules = self.settings.execution
        source, most = rules.external_signals, rules.rebalance.max_rows
        if rules.signals != "external":
            return None
        if source.file is not None:
            return self.signals_in(Path(source.file))
        url = source.database_url.get_secret_value() if source.database_url else ""
        return table_signals(url, source.table, max_rows=most)

    def execute(
        self, provider: SignalProvider, session: date, at: datetime | None = None, *, dry_run: bool = False
    ) -> ExecutionSummary:
        """Execute the signals of a provider in a stored session, at an instant of it; the session stays open.

        dry_run: in a fresh account that leaves no trace. Raises HomeInUseError when another process trades here,
        InputError when the session is not over, is closed, or its bars stop early, and what the provider raises.
        """
        require_over(self.research, session)
        with self._dry_room(session) if dry_run else self._traded_room(session) as room:
            return run_execution(room.loop(session), replace(self.research, ledger=room.ledger), provider, at)

    @contextmanager
    def _traded_room(self, session: date) -> Iterator[Room]:
        """The account of this home while nobody else trades it."""
        with self.exclusive("trading"), self.leading() as lease, closing(self._stored_room(lease, [session])) as room:
            yield room

    @contextmanager
    def _dry_room(self, session: date) -> Iterator[Room]:
        """A fresh account with the session's research; whoever trades in this home is not disturbed."""
        with self.scratch_rooms() as scratch, closing(scratch(self.settings.execution.initial_cash_usd)) as room:
            copy_research(self.ledger, room.ledger, session, self.provenance)
            yield room

    def _look_for_signals(self, session: date, ledger: Ledger) -> None:
        """Put a stored session's external signals on record before it is traded."""
        provider = self.signal_provider()
        if provider is not None:
            record_session_signals(replace(self.research, ledger=ledger), provider, session)

    def room(self, lease: HeldLease | None = None, *, venue_url: str | None = None) -> Room:
        """This home's account at what executes for it; on an accelerated clock unless that is a broker."""
        is_broker = self.settings.broker.name != "simulated" and venue_url is None
        self.require_its_venue(venue_url)
        access = self.access(venue_url)
        return Room(self, fenced(self.ledger, lease), access, clock=self.clock if is_broker else None, lease=lease)

    def _stored_room(self, lease: HeldLease, sessions: Sequence[date]) -> Room:
        """Where stored sessions are traded or verified: never at a broker, whose market is of today."""
        name, to_trade = self.settings.broker.name, not all(map(self._is_closed, sessions))
        if to_trade and name != "simulated":
            raise InputError(
                f"broker.name is {name}, and stored sessions are traded at the simulated venue only: use another home, "
                "or --dry-run; or rehearse at a door: trading-pipeline rehearse"
            )
        if to_trade:
            self.require_its_venue()
        return Room(self, fenced(self.ledger, lease), self._own_venue(), lease=lease, before_request=lease.give_sign)

    def require_its_venue(self, venue_url: str | None = None) -> None:
        """Raises InputError when the account has traded elsewhere than where it would trade now; see `access`."""
        name = "simulated" if venue_url else self.settings.broker.name
        require_its_venue(self.ledger, self.settings.execution.account, name)

    def _own_venue(self) -> OwnVenue:
        return OwnVenue(SimulatedVenue(self.home / "venue.sqlite3", rules_from(self.settings)))

    def access(self, venue_url: str | None = None, market_url: str | None = None) -> Access:
        """What executes: the venue process named, else the configured broker, else the venue of this home.

        market_url: of a rehearsal, where the market behind the broker's door is moved by the loop.
        """
        if venue_url:
            return VenueProcess.at(venue_url)
        connect = broker_connection(self.settings, self.home, self._settings_now)
        return self._own_venue() if connect is None else BrokerAccess(
            connect, RemoteMarket(market_url) if market_url else None
        )  # fmt: skip

    def _settings_now(self) -> Settings:
        settings = load_settings(self.config, profile=self.profile)
        know_secrets(settings)
        return settings

    def leading(self, on_hang: Callable[[], None] = lambda: None) -> AbstractContextManager[HeldLease]:
        """Lead the account while the block runs, by the real clock; raises LeaseHeld when another process does.

        on_hang: called from another thread when the block gave no sign of life until its lease was over.
        """
        rules, holder = self.settings.execution, f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        return leading(self.ledger, SystemClock(), rules.lease, rules.account, holder, on_hang=on_hang)

    def monitor(self) -> MonitorState:
        """Whether anybody guards the account now, by the machine's clock, and how far its session got."""
        return read_monitor(self.ledger, self.settings.execution.account, SystemClock().now())

    def host(
        self,
        session: date,
        on_step: Progress | None = None,
        *,
        venue_url: str | None = None,
        market_url: str | None = None,
        accelerated: bool = False,
        word: Acceptance | None = None,
    ) -> SessionRecord | None:
        """Run the session's loop on this workspace's clock, fed by bars as they are stored, to the close.

        SIGTERM, SIGINT and SIGHUP end it after the order in hand; every finished step is on record, and the next host
        goes on from there. None: a signal came before the session was begun. venue_url, market_url: see `access`.
        accelerated: on stored bars, without waiting. word: lets a session that was begun go on under the configuration
        set now. Raises HomeInUseError or LeaseHeld when another process trades here, InputError when the account
        traded elsewhere, was begun under another configuration, or the session is not of today.
        """
        return Host(
            self, session, on_step, venue_url=venue_url, market_url=market_url, accelerated=accelerated, word=word
        ).run()

    def decide(self) -> str:
        """Decide on the running session's newest watchlist, from ledger and bars alone: no venue is opened.

        Returns what happened, in words; raises MissingResultError when there is nothing recent to decide on.
        """
        times = self.calendar.times(self.calendar.session_of(self.clock.now()))
        feed = StoredBarFeed(self.bars, live=True)
        desk = Desk(
            ledger=self.ledger, broker=AbsentBroker(), clock=self.clock, rules=self.settings.execution,
            provenance=self.provenance, base_bar_minutes=feed.base_minutes(), facts=self.facts(),
        )  # fmt: skip
        return decide_now(desk, feed, times, timedelta(minutes=self.settings.automation.max_snapshot_age_minutes))

    def replay(self, first: date, last: date, on_step: SessionProgress | None = None) -> Iterator[Replayed]:
        """Run the sessions from first to last through the loop; those on record are verified instead.

        Raises NotASessionError when there is no session between, HomeInUseError when another process trades here,
        InputError when a session to trade is not over or its bars stop early.
        """
        sessions = self.calendar.sessions(first, last) or [self.calendar.times(first).session]
        with (
            self.exclusive("trading"), self.leading() as lease, self.scratch_rooms(lease.give_sign) as scratch,
            closing(self._stored_room(lease, sessions)) as room,
        ):  # fmt: skip
            for session in sessions:
                step = partial(on_step, session) if on_step else None
                if not self._is_closed(session):
                    require_over(self.research, session)
                    self._look_for_signals(session, self.ledger)
                yield replay_session(room, scratch, self.settings.execution.account, session, step)

    def _is_closed(self, session: date) -> bool:
        with self.ledger.read() as tx:
            record = tx.session_record(self.settings.execution.account, session)
        return record is not None and record.phase is SessionPhase.CLOSED

    def dry_run(self, first: date, last: date, on_step: SessionProgress | None = None) -> Iterator[Replayed]:
        """Trade the sessions in a fresh account that leaves no trace, on the research on record."""
        with self.scratch_rooms() as scratch:
            room = scratch(self.settings.execution.initial_cash_usd)
            for session in self.calendar.sessions(first, last):
                copy_research(self.ledger, room.ledger, session, self.provenance)
                self._look_for_signals(session, room.ledger)
                step = partial(on_step, session) if on_step else None
                yield Replayed(room.loop(session, step).run(), verified=False)

    @contextmanager
    def exclusive(self, what: str) -> Iterator[None]:
        """Keep other processes of this home from doing the same; raises HomeInUseError when one already does."""
        self.home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.home / f"{what}.lock")
        try:
            with lock.acquire(blocking=False):
                yield
        except Timeout as error:
            raise HomeInUseError(
                f"another process is busy with {what} in {self.home}. Wait for it to end, or stop it (what `up` "
                "started: trading-pipeline down), or use another home: --home FOLDER"
            ) from error

    @contextmanager
    def scratch_rooms(self, before_request: Callable[[], None] = lambda: None) -> Iterator[ScratchRooms]:
        """Rooms of their own that leave no trace: for verification and dry runs.

        before_request: called before each request to one of their venues.
        """
        with tempfile.TemporaryDirectory(prefix="trading-pipeline-") as folder:
            yield ScratchRooms(self, Path(folder), before_request)


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report's page and what it shows."""

    path: Path
    report: SessionReport

    @property
    def equity_svg(self) -> str:
        """The session's equity as a picture."""
        return str(equity_svg(self.report.equity))


def open_workspace(
    home: Path | None = None, *, config: Path | None = None, profile: Path | None = None, run_id: str = ""
) -> Workspace:
    """The workspace of a home folder under the configured settings."""
    settings = load_settings(config, profile=profile)
    return Workspace(resolve_home(home), settings, run_id, config=config, profile=profile)
