"""Market data from a vendor: fetching history into a home, and recording a running session with its research.

A made-up market needs nobody to fetch anything: what its research looks back on is fetched before it is recorded.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import pandas as pd

from trading_pipeline.adapters.data_import import ImportSpec, import_bars
from trading_pipeline.adapters.market_data.alpaca import AlpacaMarketData
from trading_pipeline.adapters.market_data.alpaca_stream import AlpacaLiveBars
from trading_pipeline.adapters.market_data.fetch_log import FetchLogFile
from trading_pipeline.adapters.market_data.ib import IbMarketData
from trading_pipeline.adapters.market_data.ib_stream import IbLiveBars
from trading_pipeline.adapters.market_data.synthetic import SyntheticLiveBars, SyntheticMarketData
from trading_pipeline.adapters.market_facts import write_sectors
from trading_pipeline.adapters.stop_signals import stop_signals
from trading_pipeline.adapters.synthetic import LONGEST_MARKET, VOLATILITY_INDEX, SyntheticMarketSpec, sectors
from trading_pipeline.domain.errors import InputError, TradingPipelineError
from trading_pipeline.domain.market import SessionTimes, Timeframe
from trading_pipeline.ports import BarDelivery, LiveBars, MarketDataSource
from trading_pipeline.services import research
from trading_pipeline.services.fetch import Accepted, FetchDesk, FetchReport, FetchRequest, Progress, fetch
from trading_pipeline.services.live_bars import LiveBarRecorder, LiveCounts, Stored
from trading_pipeline.services.live_research import LiveResearch
from trading_pipeline.services.research_desk import DAILY
from trading_pipeline.wiring.health import STREAM_STATUS as STATUS
from trading_pipeline.wiring.workspace import SECTORS, Workspace

log = logging.getLogger(__name__)
Provider = Literal["alpaca", "ib", "synthetic"]
Source = AlpacaMarketData | IbMarketData | SyntheticMarketData
MARKET = "synthetic.json"
"""File in a home that says which made-up market it holds; that market is the same from then on."""
SESSIONS_BEFORE = 130
"""Sessions that a made-up market has behind it on the day it begins."""
BEAT = timedelta(seconds=5)
"""How often the recorder says at least that it lives."""
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """How the recording of a session stands. stale: no bar came though minutes have ended."""

    provider: str
    feed: str
    session: date
    symbols: int
    at: datetime
    closed_until: datetime | None
    is_connected: bool
    is_stale: bool
    counts: LiveCounts
    snapshots: int
    newest_snapshot: datetime | None
    problem: str


@contextmanager
def history(workspace: Workspace, provider: Provider) -> Iterator[MarketDataSource]:
    """The vendor's history, as configured. Raises InputError when its keys are missing."""
    with closing(_history(workspace, provider)) as source:
        yield source


def _history(workspace: Workspace, provider: Provider) -> Source:
    settings = workspace.settings
    if provider == "synthetic":
        return SyntheticMarketData(market_of(workspace), workspace.calendar)
    if provider == "alpaca":
        return AlpacaMarketData(settings.alpaca)
    return IbMarketData(settings.broker.ib, workspace.clock)


def market_of(workspace: Workspace) -> SyntheticMarketSpec:
    """The made-up market of this home; the first time, one that began SESSIONS_BEFORE sessions ago."""
    path, rules = workspace.home / MARKET, workspace.settings.live.synthetic
    if path.exists():
        return SyntheticMarketSpec.model_validate_json(path.read_bytes())
    today = workspace.calendar.session_of(workspace.clock.now())
    spec = SyntheticMarketSpec(
        seed=rules.seed, symbols=rules.symbols, first_session=workspace.calendar.previous(today, SESSIONS_BEFORE),
        sessions=LONGEST_MARKET, final_uptrend_sessions=0, reversals_per_symbol_year=rules.reversals_per_symbol_year,
    )  # fmt: skip
    workspace.home.mkdir(parents=True, exist_ok=True)
    _put(path, spec.model_dump_json())
    return spec


def furnish(
    workspace: Workspace, source: SyntheticMarketData, session: date, on_progress: Progress | None = None
) -> Sequence[FetchReport]:
    """Fetch what research of the session looks back on from the made-up market, so that an empty home can begin.

    What is there is not asked for again; one that was cut short goes on. Returns what was fetched, by timeframe.
    """
    spec, lengths = market_of(workspace), workspace.settings.history
    if not (workspace.home / SECTORS).exists():
        write_sectors(workspace.home / SECTORS, sectors(spec))
    longest = max(lengths.trigger_sessions, lengths.confirmation_sessions, lengths.regime_sessions)
    symbols, last = tuple(sorted({*source.symbols, VOLATILITY_INDEX})), workspace.calendar.previous(session)
    requests = [
        FetchRequest(symbols, timeframe, max(spec.first_session, workspace.calendar.previous(last, count - 1)), last)
        for timeframe, count in ((DAILY, lengths.daily_sessions), (Timeframe.MIN1, longest))
    ]
    return [fetch_bars(workspace, source, request, on_progress) for request in requests]


def _stream(workspace: Workspace, source: Source) -> LiveBars:
    settings, calendar, clock = workspace.settings, workspace.calendar, workspace.clock
    if isinstance(source, SyntheticMarketData):
        return SyntheticLiveBars(source, calendar, clock)
    if isinstance(source, AlpacaMarketData):
        return AlpacaLiveBars(settings.alpaca, source, calendar, clock)
    return IbLiveBars(source, settings.live, calendar, clock)


def fetch_bars(
    workspace: Workspace, source: MarketDataSource, request: FetchRequest, on_progress: Progress | None = None
) -> FetchReport:
    """Fetch what is missing into the home; raises what services.fetch does, and HomeInUseError."""
    with workspace.exclusive("fetch"):
        return fetch(fetch_desk(workspace, source), request, on_progress)


def fetch_desk(workspace: Workspace, source: MarketDataSource) -> FetchDesk:
    """What fetching into this home works with."""

    def accept(delivery: BarDelivery, timeframe: Timeframe) -> Accepted:
        return _accept(workspace, delivery, timeframe)

    return FetchDesk(
        source=source, bars=workspace.bars, log=FetchLogFile(workspace.bars.root / "fetched.jsonl"),
        calendar=workspace.calendar, clock=workspace.clock, accept=accept,
    )  # fmt: skip


def _accept(workspace: Workspace, delivery: BarDelivery, timeframe: Timeframe) -> Accepted:
    """Store a delivery the way files are: impossible rows are set aside with their reason."""
    spec = ImportSpec.model_validate(
        {"timeframe": timeframe, "adjustment": delivery.adjustment, "adjusted_through": delivery.adjusted_through,
         "feed": delivery.feed}
    )  # fmt: skip
    rows = delivery.bars.assign(row=range(1, len(delivery.bars) + 1), delivered_time="")
    report = import_bars(rows, spec, workspace.calendar, workspace.bars, known_at=workspace.clock.now())
    return Accepted(
        new=report.new, corrected=report.corrected, unchanged=report.unchanged, reasons=report.reasons,
        symbols=report.symbols, sessions=report.sessions,
    )  # fmt: skip


def record_session(
    workspace: Workspace,
    provider: Provider,
    symbols: Sequence[str] | None = None,
    *,
    with_research: bool = True,
    on_status: Callable[[StreamStatus], None] | None = None,
    on_fetch: Progress | None = None,
    on_fetched: Callable[[FetchReport], None] | None = None,
) -> StreamStatus:
    """Record the running session's bars to its close, and make its watchlists; SIGTERM and SIGINT end it in order.

    symbols None: the session's universe and the index funds. on_status: whenever bars were stored. on_fetch,
    on_fetched: of the history of a made-up market, which is fetched first. Raises InputError when no session is
    running or to come today, MarketDataError when the stream cannot be opened, HomeInUseError when another process
    records here.
    """
    times = _session_today(workspace)
    with (
        workspace.exclusive("stream"),
        stop_signals() as stop_requested,
        closing(_history(workspace, provider)) as source,
    ):
        if isinstance(source, SyntheticMarketData):
            for report in furnish(workspace, source, times.session, on_fetch):
                if on_fetched:
                    on_fetched(report)
        host = prepared(workspace, source, times, symbols, with_research=with_research)
        with closing(host.recorder):
            host.recorder.start()

            def on_stored(stored: Stored) -> None:
                host.on_stored(stored)
                status = host.tell()
                if on_status:
                    on_status(status)

            host.recorder.run(on_stored, lambda: host.beat() or stop_requested())
            return host.tell()


def _session_today(workspace: Workspace) -> SessionTimes:
    now = workspace.clock.now()
    times = workspace.calendar.times(workspace.calendar.session_of(now))
    today = now.astimezone(workspace.calendar.zone).date()
    if times.session == today and now < times.closes_at:
        return times
    following = times if now < times.opens_at else workspace.calendar.times(workspace.calendar.next(times.session))
    raise InputError(
        f"no session runs today, at {now:%Y-%m-%d %H:%M} UTC; the next one opens {following.opens_at:%Y-%m-%d %H:%M} "
        "UTC. Bars of the past: trading-pipeline data fetch"
    )


def prepared(
    workspace: Workspace,
    source: Source,
    times: SessionTimes,
    symbols: Sequence[str] | None,
    *,
    with_research: bool,
) -> StreamHost:
    """Everything made ready to record a session, before the stream is opened: universe, first research, recorder."""
    desk = workspace.research
    live = LiveResearch(desk, times.session) if with_research else None
    if live is not None:
        live.prepare()
        live.step(min(workspace.clock.now(), times.opens_at))
    if symbols is None:
        if live is None:
            research.make_universe(desk, times.session)
        symbols = [*research.members(desk, times.session), *desk.index_symbols()]
    recorder = LiveBarRecorder(
        stream=_stream(workspace, source), history=source, bars=workspace.bars, times=times,
        symbols=tuple(sorted({*symbols} - {desk.settings.regime.vix_symbol})), rules=workspace.settings.live,
        clock=workspace.clock, timeframe=workspace.bars.base_timeframe() or Timeframe.MIN1,
    )  # fmt: skip
    return StreamHost(workspace, recorder, live)


@dataclass(slots=True)
class StreamHost:
    """What is done whenever bars were stored: research, and the status written down."""

    workspace: Workspace
    recorder: LiveBarRecorder
    live: LiveResearch | None
    snapshots: int = 0
    newest: pd.Timestamp | None = None
    problem: str = ""
    _told_at: datetime = NEVER

    def on_stored(self, stored: Stored) -> None:
        """Research what is due; bars are recorded on when that fails, and the status says why it did."""
        if self.live is None:
            return
        try:
            made = self.live.step(stored.closed_until, corrected=stored.late > 0)
        except TradingPipelineError as error:
            self.problem = f"no watchlist at {stored.closed_until:%H:%M} UTC: {error}"
            log.warning("%s", self.problem)
            return
        if made:
            self.snapshots, self.newest, self.problem = self.snapshots + len(made), made[-1], ""

    def beat(self) -> bool:
        """A sign of life, now and then; always False."""
        if self.workspace.clock.now() - self._told_at >= BEAT:
            self.tell()
        return False

    def tell(self) -> StreamStatus:
        """How it stands, also written to the home."""
        recorder, health, self._told_at = self.recorder, self.recorder.stream.health(), self.workspace.clock.now()
        status = StreamStatus(
            provider=recorder.stream.name, feed=recorder.stream.feed, session=recorder.times.session,
            symbols=len(recorder.symbols) - len(recorder.refused), at=self._told_at,
            closed_until=recorder.closed_until, is_connected=health.is_connected, is_stale=recorder.is_stale,
            counts=recorder.counts, snapshots=self.snapshots,
            newest_snapshot=None if self.newest is None else self.newest.to_pydatetime(),
            problem=self.problem or health.problem,
        )  # fmt: skip
        _write(self.workspace.home / STATUS, status)
        return status


def _write(path: Path, status: StreamStatus) -> None:
    _put(path, json.dumps(asdict(status), default=str, indent=1))


def _put(path: Path, text: str) -> None:
    """Write a file whole: whoever reads it sees the old one or the new one."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
