"""The real thing, watched: `up` on the profile around the clock trades by itself, and gets over the death of its loop.

AROUND_THE_CLOCK_MINUTES says for how long it is watched (15).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import psutil
import pytest

from trading_pipeline.adapters.processes import end_leftovers, leftovers, read_up
from trading_pipeline.adapters.sockets import is_free
from trading_pipeline.defs.instance import local_instance
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.orders import Fill, Side
from trading_pipeline.services.lease import lease_name
from trading_pipeline.wiring import Workspace, open_workspace
from trading_pipeline_tests.cli.test_up import ended, free_port
from trading_pipeline_tests.test_docs import ROOT

WATCHED = timedelta(minutes=float(os.environ.get("AROUND_THE_CLOCK_MINUTES", "15")))
PATIENCE = 420.0
"""Seconds for a start on a machine that is busy with the other tests."""
NEVER = datetime.min.replace(tzinfo=UTC)
PROFILE = ROOT / "config" / "profiles" / "around-the-clock.yaml"
RESEARCHED = ("raw_bars", "bars", "indicators", "coarse_screen", "regime_score", "sabr20_watchlist")
BUSY = {"TRADING_PIPELINE__EXECUTION__LEASE__LEASE_SECONDS": "30"}
"""On a machine that is busy with the other tests a loop may wait long for the processor; it is to be killed by us."""
TRADED = ("trade_decisions", "orders", "fills", "positions")
MONITORING, RECORDING, REPORTING = "position_monitoring_job", "market_data_job", "performance_report_job"


@dataclass(slots=True)
class Watched:
    """A running `up`, and what was seen of it. began_at: when its loop led and the first watchlist was made."""

    home: Path
    ports: tuple[int, int]
    process: subprocess.Popen[bytes]
    workspace: Workspace
    session: date = date.min
    began_at: datetime = NEVER
    killed: list[int] = field(default_factory=list)
    back_after: timedelta = timedelta(0)

    def account(self) -> str:
        return self.workspace.settings.execution.account

    def loop(self) -> int | None:
        """The process that leads, by the lease."""
        with self.workspace.ledger.read() as tx:
            lease = tx.lease(lease_name(self.account()))
        return int(lease.holder.split("-")[-2]) if lease and lease.is_live(datetime.now(UTC)) else None

    def watchlists(self) -> int:
        with self.workspace.ledger.read() as tx:
            return len(tx.snapshots(self.workspace.calendar.session_of(datetime.now(UTC))))

    def said(self) -> str:
        return (self.home / "said.txt").read_text(encoding="utf-8", errors="replace")


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "trading_pipeline.cli", "--home", str(home), "--profile", str(PROFILE), *words]


def wait_for(happened: Callable[[], object], what: str, up: Watched, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert up.process.poll() is None, up.said()
        assert time.monotonic() < until, f"{what} did not happen within {seconds:.0f} s\n{up.said()}"
        time.sleep(0.5)


def start(home: Path) -> Watched:
    home.mkdir()
    ports = free_port(), free_port()
    words = ("up", "--port", str(ports[0]), "--health-port", str(ports[1]))
    with (home / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            command(home, *words), cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **BUSY},
        )  # fmt: skip
    return Watched(home, ports, process, open_workspace(home, profile=PROFILE))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Watched]:
    """Watched for its minutes; half-way its loop is killed; still running when the test looks at it."""
    started = start(tmp_path / "home")
    try:
        watch(started)
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.process.kill()
        started.process.wait()
        end_leftovers(started.home, patience_seconds=0.5)


def watch(up: Watched) -> None:
    wait_for(lambda: (state := read_up(up.home)) and state.ready_at, "the UI's answer", up)
    wait_for(lambda: up.loop() and up.watchlists(), "a loop that leads and a first watchlist", up)
    up.began_at = datetime.now(UTC)
    up.session = up.workspace.calendar.session_of(up.began_at)
    until = time.monotonic() + WATCHED.total_seconds()
    stay(up, until - WATCHED.total_seconds() / 2)
    kill_the_loop(up)
    stay(up, until)


def stay(up: Watched, until: float) -> None:
    while time.monotonic() < until:
        assert up.process.poll() is None, up.said()
        time.sleep(1)


def kill_the_loop(up: Watched) -> None:
    """One SIGKILL; the sensor does the rest."""
    first = up.loop()
    assert first is not None
    assert first in {child.pid for child in psutil.Process(up.process.pid).children(recursive=True)}
    os.kill(first, signal.SIGKILL)
    up.killed.append(first)
    at = datetime.now(UTC)
    wait_for(lambda: (now := up.loop()) and now != first, "another loop that leads", up)
    up.back_after = datetime.now(UTC) - at


def runs_of(up: Watched) -> Sequence[dg.RunRecord]:
    with local_instance(up.home) as instance:
        return instance.get_run_records(limit=500)


def started_by(up: Watched) -> Mapping[tuple[str, str], int]:
    """Runs by job and by who asked for them, schedule or sensor."""
    found = Counter[tuple[str, str]]()
    for record in runs_of(up):
        tags = record.dagster_run.tags
        who = tags.get("dagster/schedule_name") or tags.get("dagster/sensor_name") or "a person"
        found[record.dagster_run.job_name, who] += 1
    return found


def told(up: Watched, asset: str) -> int:
    """Materialisations of the session."""
    with local_instance(up.home) as instance:
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[up.session.isoformat()])
        return len(instance.fetch_materializations(wanted, limit=1000).records)


def minutes() -> int:
    return int(WATCHED.total_seconds() // 60)


def bars_and_watchlists_are_made_each_minute(up: Watched) -> None:
    bars = up.workspace.bars.read(Timeframe.MIN1, [up.session])
    watched = bars[(bars["end"] > up.began_at) & (bars["end"] <= up.began_at + WATCHED)]
    with up.workspace.ledger.read() as tx:
        known = [one.as_of for one in tx.snapshots(up.session)]

    assert watched["end"].nunique() >= minutes() - 1
    assert watched["symbol"].nunique() >= 20
    assert len([at for at in known if up.began_at < at <= up.began_at + WATCHED]) >= 0.7 * (minutes() - 1)


def the_loop_decides_orders_fills_and_guards_positions(up: Watched) -> None:
    with up.workspace.ledger.read() as tx:
        plans, decisions = tx.plans(up.account(), up.session), tx.decisions(up.account(), up.session)
        orders, fills = tx.orders(up.account(), up.session), tx.fills(up.account(), session=up.session)
        positions, passed = tx.positions(up.account()), tx.last_reconciliation(up.account())

    assert plans
    assert len(decisions) >= len(plans)
    assert orders
    assert fills
    assert {order.client_order_id: order.cum_qty for order in orders if order.cum_qty} == filled_of_each(fills)
    assert passed is not None
    assert passed.differing == ()
    assert {one.symbol: one.quantity for one in positions if one.quantity} == folded(fills)


def filled_of_each(fills: Sequence[Fill]) -> dict[str, Decimal]:
    """What was filled of each order, reckoned here."""
    found = Counter[str]()
    for fill in fills:
        found[fill.client_order_id] += int(fill.quantity)
    return {order: Decimal(count) for order, count in found.items()}


def folded(fills: Sequence[Fill]) -> dict[str, Decimal]:
    """What is held after these fills, reckoned here."""
    held = Counter[str]()
    for fill in fills:
        held[fill.symbol] += int(fill.quantity) * (1 if fill.side is Side.BUY else -1)
    return {symbol: Decimal(count) for symbol, count in held.items() if count}


def a_report_of_the_running_session_is_made_by_its_schedule(up: Watched) -> None:
    with up.workspace.ledger.read() as tx:
        daily = tx.daily_performance(up.account(), up.session, up.session)

    assert len(daily) == 1
    assert (up.home / "reports" / f"{up.account()}-{up.session}.html").stat().st_size > 10_000
    assert started_by(up)[REPORTING, "interim_report_schedule"] >= max(minutes() // 5 - 1, 0)


def everything_was_started_by_schedules_and_sensors(up: Watched) -> None:
    found = started_by(up)

    assert found[RECORDING, "stream_supervisor_sensor"] == 1
    assert found[MONITORING, "loop_supervisor_sensor"] >= 2
    assert not [job for job, who in found if who == "a person"]
    assert not [job for job, _ in found if job in {"research_job", "execution_job", "universe_job"}]


def the_lineage_shows_each_asset_of_the_session(up: Watched) -> None:
    found = {asset: told(up, asset) for asset in (*RESEARCHED, *TRADED, "daily_performance", "performance_report")}

    assert all(found.values()), found
    assert min(found[asset] for asset in ("raw_bars", "bars", "sabr20_watchlist")) >= minutes() // 2 - 1, found


def the_loop_that_was_killed_came_back_by_itself_and_nothing_else_failed(up: Watched) -> None:
    failed = [one.dagster_run for one in runs_of(up) if one.dagster_run.status is dg.DagsterRunStatus.FAILURE]

    assert up.loop() not in {None, *up.killed}
    assert up.back_after < timedelta(seconds=240)
    assert {run.job_name for run in failed} <= {MONITORING}  # a run too slow to lead is given up on a busy machine


def down_leaves_no_process(up: Watched) -> None:
    family = psutil.Process(up.process.pid).children(recursive=True)

    with subprocess.Popen(command(up.home, "down"), cwd=ROOT, stdout=subprocess.PIPE, text=True) as stopping:
        code = up.process.wait(timeout=180)
        said, _ = stopping.communicate(timeout=60)

    assert (code, stopping.returncode) == (0, 0), said
    assert "all stopped." in said
    assert ended(family)
    assert leftovers(up.home) == []
    assert all(map(is_free, up.ports))


@pytest.mark.soak
def test_a_market_that_never_closes_is_traded_by_schedules_and_sensors_alone(up: Watched) -> None:
    """One test, so that whoever spreads tests over processes starts one `up`."""
    bars_and_watchlists_are_made_each_minute(up)
    the_loop_decides_orders_fills_and_guards_positions(up)
    a_report_of_the_running_session_is_made_by_its_schedule(up)
    everything_was_started_by_schedules_and_sensors(up)
    the_lineage_shows_each_asset_of_the_session(up)
    the_loop_that_was_killed_came_back_by_itself_and_nothing_else_failed(up)
    down_leaves_no_process(up)
