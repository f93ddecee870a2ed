"""From a 15-minute close to the watchlist on record: 500 symbols through the door and the vendor's own client."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from trading_pipeline.adapters.bar_feed import StoredBarFeed
from trading_pipeline.adapters.brokers.remote import RemoteMarket
from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.market_data.alpaca import AlpacaMarketData
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec, market_sessions, populate
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.services.live_bars import Stored
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.market_data import StreamHost, prepared
from trading_pipeline_tests.adapters.market_data.doors import a_data_door
from trading_pipeline_tests.benchmarks.harness import Timings
from trading_pipeline_tests.benchmarks.sizes import Sizes
from trading_pipeline_tests.venue.tapes import ListedTape

MINUTE, CLOSE = timedelta(minutes=1), timedelta(minutes=15)
PATIENCE_SECONDS = 60.0


class MovedClock:
    """Runs as a real clock does, from whatever instant it was last moved to."""

    def __init__(self, instant: datetime) -> None:
        self.move(instant)

    def move(self, instant: datetime) -> None:
        """Go on from there."""
        self._instant, self._at = instant, time.monotonic()

    def now(self) -> datetime:
        return self._instant + timedelta(seconds=time.monotonic() - self._at)

    def sleep_until(self, instant: datetime) -> None:
        time.sleep(max((instant - self.now()).total_seconds(), 0.0))


@dataclass(frozen=True)
class Market:
    """A stored market, and its last session minute by minute."""

    times: SessionTimes
    minutes: Mapping[datetime, Sequence[MarketBar]]


def streaming(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Record the first closes of a session as they come, and time each from delivery to record."""
    source, home = _stored(sizes.stream_market, folder), folder / "streaming"
    session = market_sessions(sizes.stream_market, ExchangeCalendar())[-1]
    market = _last_session(source, session)
    _without_last_session(source, home, session)
    clock = MovedClock(market.times.opens_at - timedelta(minutes=30))
    with _door() as (settings, control_url), closing(RemoteMarket(control_url, 30.0)) as moving:
        workspace = Workspace(home, Settings.model_validate({"broker": {"alpaca": settings}}), clock=clock)
        with closing(AlpacaMarketData(workspace.settings.broker.alpaca)) as history:
            with timings.measure("prepare"):
                host = prepared(workspace, history, market.times, None, with_research=True)
            with closing(host.recorder):
                host.recorder.start()
                timings.counts["symbols"] = len(host.recorder.symbols)
                for number in range(1, sizes.stream_closes + 1):
                    _one_close(market, market.times.opens_at + number * CLOSE, host, clock, moving, timings)
        timings.counts |= {"snapshots": host.snapshots, "bars": host.recorder.counts.new}
        workspace.ledger.close()


def _one_close(
    market: Market, end: datetime, host: StreamHost, clock: MovedClock, moving: RemoteMarket, timings: Timings
) -> None:
    """The minutes before it come as they are; then the last one is timed."""
    for before in (end - n * MINUTE for n in range(14, 0, -1)):
        clock.move(before)
        moving.on_bars(market.minutes.get(before, ()), before)
        _until_closed(host, before)
    clock.move(end)
    began, began_cpu = time.perf_counter(), time.process_time()

    def note(name: str) -> None:
        timings.wall_s.setdefault(name, []).append(time.perf_counter() - began)
        timings.cpu_s.setdefault(name, []).append(time.process_time() - began_cpu)

    moving.on_bars(market.minutes.get(end, ()), end)
    stored = _until_closed(host, end)
    note("stored")
    host.on_stored(stored)
    note("recorded")
    if host.newest is None or host.newest != end:
        raise RuntimeError(f"no watchlist of {end} is on record: {host.problem or host.recorder.counts}")


def _until_closed(host: StreamHost, end: datetime) -> Stored:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        stored = host.recorder.step()
        if stored is not None and stored.closed_until >= end:
            return stored
        if stored is not None:
            host.on_stored(stored)
    raise RuntimeError(f"the minute until {end} was not stored in {PATIENCE_SECONDS:g} s: {host.recorder.counts}")


def _stored(spec: SyntheticMarketSpec, folder: Path) -> Workspace:
    source = Workspace(folder / f"streamed-{spec.symbols}-{spec.sessions}", Settings())
    if not source.bars.sessions(spec.timeframe):
        populate(spec, source.bars, source.calendar)
    return source


def _last_session(source: Workspace, session: date) -> Market:
    times, feed = source.calendar.times(session), StoredBarFeed(source.bars)
    symbols = sorted(set(source.bars.view(source.bars.base_timeframe() or "1min", [session], as_of=session)["symbol"]))  # type: ignore[arg-type]
    minutes: dict[datetime, list[MarketBar]] = {}
    for bar in feed.bars_after(times, dict.fromkeys(symbols, times.opens_at), times.closes_at):
        minutes.setdefault(bar.end_at, []).append(bar)
    return Market(times, minutes)


def _without_last_session(source: Workspace, home: Path, session: date) -> None:
    """A home over the same files, but for the session that is about to happen."""
    shutil.rmtree(home, ignore_errors=True)
    for path in source.bars.root.rglob("[!.]*.parquet"):
        if path.stem != session.isoformat():
            target = home / "bars" / path.relative_to(source.bars.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)


@contextmanager
def _door() -> Iterator[tuple[dict[str, object], str]]:
    """The data door in a process of its own: settings that lead there, and where its market is moved."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("end")
        process.join(10)


def _serve(pipe: Connection) -> None:
    with a_data_door(ListedTape()) as door:
        rules = door.rules()
        settings = rules.model_dump() | {
            "key_id": rules.key_id.get_secret_value(), "secret_key": rules.secret_key.get_secret_value()
        }  # fmt: skip
        pipe.send((settings, door.control_url))
        pipe.recv()
