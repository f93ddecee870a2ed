"""Benchmarks over a bar store on disk: filling it, scanning at a bar close, reading, and trading one session."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.adapters.research_store import ParquetResearchStore
from trading_pipeline.adapters.synthetic import SyntheticMarketSpec, market_sessions, populate
from trading_pipeline.domain.market import DERIVED_TIMEFRAMES
from trading_pipeline.services.research import run_research
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
from trading_pipeline_tests.benchmarks.harness import Timings
from trading_pipeline_tests.benchmarks.sizes import Sizes


def home_name(spec: SyntheticMarketSpec) -> str:
    """The folder of a market's store."""
    return f"{spec.symbols}-symbols-{spec.sessions}-sessions-{spec.timeframe}"


def _home(folder: Path, spec: SyntheticMarketSpec) -> Path:
    return folder / home_name(spec)


def _session(spec: SyntheticMarketSpec, from_end: int) -> date:
    return market_sessions(spec, ExchangeCalendar())[-from_end]


def _workspace(home: Path, session: date) -> Workspace:
    """A home whose clock stands at the session's close, under the built-in settings."""
    return Workspace(home, Settings(), clock=ReplayClock(ExchangeCalendar().times(session).closes_at))


def fill_stores(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Generate and write the three markets; the research of the session to be traded is made too."""
    for spec in dict.fromkeys((sizes.scan_market, sizes.demo_market, sizes.read_market)):
        workspace = _workspace(_home(folder, spec), _session(spec, 1))
        with timings.measure(workspace.home.name):
            written = populate(spec, workspace.bars, workspace.calendar)
        timings.counts[workspace.home.name] = written.new
    session = _session(sizes.demo_market, sizes.traded_sessions)
    demo = _workspace(_home(folder, sizes.demo_market), session)
    run_research(demo.research, session)
    demo.ledger.close()


def scan(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Store → watchlist of one session, in a new process and again when the session's last file has just changed."""
    session = _session(sizes.scan_market, 1)
    workspace = _workspace(_home(folder, sizes.scan_market), session)
    newest = workspace.bars.root / sizes.scan_market.timeframe.value / f"{session}.parquet"
    for state in ("cold", "warm"):
        out = folder / f"scan-{state}"
        shutil.rmtree(out, ignore_errors=True)
        ledger = SqlLedger.open(default_url(out))
        desk = replace(workspace.research, frames=ParquetResearchStore(out / "research"), ledger=ledger)
        os.utime(newest)
        with timings.measure(state):
            run_research(desk, session)
        with ledger.read() as tx:
            snapshots = tx.snapshots(session)
        timings.counts |= {"snapshots": len(snapshots), "setups": sum(one.scored for one in snapshots)}
        ledger.close()


def read(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Views of every derived timeframe from one-minute bars, rolled up first and remembered then."""
    calendar = ExchangeCalendar()
    sessions = market_sessions(sizes.read_market, calendar)[-sizes.read_sessions :]
    store = _workspace(_home(folder, sizes.read_market), sessions[-1]).bars
    for state in ("cold", "warm"):
        with timings.measure(state):
            rows = [len(store.view(one, sessions, as_of=sessions[-1])) for one in DERIVED_TIMEFRAMES]
        timings.counts["rows"] = sum(rows)


def replay(sizes: Sizes, folder: Path, timings: Timings) -> None:
    """Trade one session at the simulated venue with ledger and venue on disk, from a fresh account."""
    session = _session(sizes.demo_market, sizes.traded_sessions)
    home = folder / "replay"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    demo = _home(folder, sizes.demo_market)
    (home / "bars").symlink_to(demo / "bars")
    shutil.copy(demo / "ledger.sqlite3", home)
    workspace = _workspace(home, session)
    with workspace.ledger.read() as tx:
        before = sum(tx.row_counts().values())
    times, steps = workspace.calendar.times(session), []
    with timings.measure("replay"):
        replayed = list(workspace.replay(session, session, lambda *step: steps.append(step[2])))
    with workspace.ledger.read() as tx:
        rows, fills = sum(tx.row_counts().values()) - before, len(tx.fills(workspace.settings.execution.account))
    session_s = (times.closes_at - times.opens_at).total_seconds()
    counts = {"steps": len(steps), "ledger_rows": rows, "fills": fills, "session_s": session_s}
    timings.counts |= {**counts, "verified": float(replayed[0].verified)}
