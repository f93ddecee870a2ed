"""`make up`, `make ui` and `up --detach` with Dagster itself: minutes, so only in the soak."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import requests

from trading_pipeline.adapters.processes import MARK, end_leftovers, leftovers, read_processes, read_up
from trading_pipeline.services.lease import lease_name
from trading_pipeline.wiring import open_workspace
from trading_pipeline_tests.cli import test_up
from trading_pipeline_tests.cli.test_up import free_port
from trading_pipeline_tests.test_docs import ROOT

pytestmark = pytest.mark.soak
LAUNCH = """mutation { launchRun(executionParams: {selector: {jobName: "position_monitoring_job",
  repositoryName: "__repository__", repositoryLocationName: "trading_pipeline"}, runConfigData: ""}) { __typename } }"""
SCHEDULES = """{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
  ... on RepositoryLocation { repositories {
  schedules { scheduleState { status } } sensors { sensorState { status } } } } } } } } }"""


AROUND_THE_CLOCK = {
    "PROFILE": str(ROOT / "config" / "profiles" / "around-the-clock.yaml"), "_MONITOR__HOST": "service",
    "_LIVE__SYNTHETIC__SYMBOLS": "12", "_HISTORY__DAILY_SESSIONS": "61", "_EXECUTION__LEASE__LEASE_SECONDS": "30",
}  # fmt: skip
NEEDLESS = 3
"""Schedules that the default settings leave nothing to do: no stream, no external signals, no vendor."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_up, "PATIENCE", 240.0)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose path no unix socket could have."""
    place = tmp_path / ("long" * 30) / "home"
    yield place
    end_leftovers(place, patience_seconds=5)


def is_ready(home: Path) -> bool:
    state = read_up(home)
    return state is not None and state.ready_at is not None


def command(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "trading_pipeline.cli", "--home", str(home), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, cwd=ROOT)


def ask(port: int, query: str) -> str:
    answer = requests.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=60)
    return answer.text


@pytest.mark.parametrize(("target", "running"), [("up", True), ("ui", False)])
def test_ctrl_c_on_make_leaves_nothing(home: Path, target: str, running: bool) -> None:
    port = free_port()
    more = f" --health-port {free_port()}" if target == "up" else ""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ["TRADING_PIPELINE_HOME"] = str(home)
        os.execvp("make", ["make", "-o", "install", target, f"ARGS=--port {port}{more}"])  # noqa: S606
    test_up.wait_for(lambda: is_ready(home), "ready")
    family = psutil.Process(pid).children(recursive=True)
    shown = ask(port, SCHEDULES)

    os.write(terminal, b"\x03")
    os.waitpid(pid, 0)

    assert len(family) >= 4
    assert ('"RUNNING"' in shown) is running
    assert (shown.count('"STOPPED"') == NEEDLESS) is running
    assert test_up.ended(family)
    assert leftovers(home) == []
    assert read_processes(home) == ()


def test_detached_it_survives_kills_and_is_stopped_by_down(home: Path) -> None:
    ports = ("--port", free_port(), "--health-port", free_port())
    started = command(home, "up", "--detach", *ports)
    assert started.returncode == 0, started.stderr
    state = read_up(home)
    assert state is not None

    second = command(home, "up", "--detach", "--port", free_port())
    assert (second.returncode, f"process {state.pid}" in second.stderr) == (1, True)

    ask(ports[1], LAUNCH)  # without bars it ends at once, in a process of its own; what matters is that none stays
    psutil.Process(state.pid).kill()
    test_up.wait_for(lambda: psutil.pid_exists(state.pid) is False, "its end")
    again = command(home, "up", "--detach", *ports)
    assert again.returncode == 0, again.stderr
    stopped = command(home, "down")

    assert (stopped.returncode, "all stopped." in stopped.stdout) == (0, True)
    assert leftovers(home) == []
    assert "nothing runs" in command(home, "down").stdout


def test_the_loop_as_a_service_ends_in_good_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PIPELINE__MONITOR__HOST", "service")
    started = command(home, "up", "--detach", "--port", free_port(), "--health-port", 0)
    assert started.returncode == 0, started.stderr
    names = {one.name: one.pid for one in read_processes(home)}
    loop = names["loop"]
    assert loop is not None
    assert psutil.Process(loop).environ()[MARK] == str(home)

    os.kill(loop, signal.SIGKILL)
    test_up.wait_for(lambda: {one.name: one.restarts for one in read_processes(home)}["loop"] == 1, "a second loop")
    log = home / "logs" / "loop.log"
    test_up.wait_for(lambda: "next: session" in log.read_text(encoding="utf-8"), "its first words")
    assert command(home, "down").returncode == 0

    assert "stopped: loop (exit status 0)" in (home / "logs" / "supervisor.log").read_text(encoding="utf-8")


def test_services_stream_and_trade_a_market_that_never_closes_and_each_comes_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AROUND_THE_CLOCK.items():
        monkeypatch.setenv(f"TRADING_PIPELINE_{name}", value)
    monkeypatch.setattr(test_up, "PATIENCE", 420.0)
    workspace = open_workspace(home, profile=Path(AROUND_THE_CLOCK["PROFILE"]))
    account = workspace.settings.execution.account

    def seen() -> tuple[int, int]:
        """Watchlists and decisions of the running session."""
        session = workspace.calendar.session_of(datetime.now(UTC))
        with workspace.ledger.read() as tx:
            return len(tx.snapshots(session)), len(tx.decisions(account, session))

    def token() -> int:
        with workspace.ledger.read() as tx:
            lease = tx.lease(lease_name(account))
        return lease.token if lease and lease.is_live(datetime.now(UTC)) else 0

    started = command(home, "up", "--detach", "--port", free_port(), "--health-port", 0)
    assert started.returncode == 0, started.stderr
    test_up.wait_for(lambda: token() and min(seen()), "a loop that leads, and a decision on a watchlist")
    pids, before, led = {one.name: one.pid for one in read_processes(home)}, seen(), token()
    for name in ("stream", "loop"):
        os.kill(pids[name] or 0, signal.SIGKILL)
    test_up.wait_for(lambda: token() > led and seen()[0] > before[0] + 1, "another leader and new watchlists")
    restarts = {one.name: one.restarts for one in read_processes(home)}
    stopped = command(home, "down")

    assert (restarts["stream"] >= 1, restarts["loop"] >= 1) == (True, True)
    assert (stopped.returncode, leftovers(home)) == (0, [])
    with workspace.ledger.read() as tx:
        passed = tx.last_reconciliation(account)
    assert passed is not None
    assert passed.differing == ()
