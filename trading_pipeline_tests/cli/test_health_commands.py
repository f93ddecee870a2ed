"""status, /healthz and /metrics: for people and machines, with the database gone, the loop dead, the home empty."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from typer.testing import CliRunner

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.adapters.health_page import Watcher, health_app
from trading_pipeline.cli.app import app, hoisted
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.health import HealthReport, Level
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.dead_man import KIND
from trading_pipeline.services.health import NAMES
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.health import read_health, watch
from trading_pipeline_tests.builders import dec

COMMAND = str(Path(sys.executable).with_name("trading-pipeline"))
IN_SESSION = datetime(2025, 6, 10, 15, 0, tzinfo=UTC)


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, hoisted([*arguments, "--home", str(home)]))
    return done.exit_code, done.output


def down(folder: Path) -> Path:
    """A profile whose database nobody answers for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    profile = folder / "down.yaml"
    url = f"postgresql://me:hidden-password-1@127.0.0.1:{port}/ledger"
    profile.write_text(yaml.safe_dump({"storage": {"database_url": url}}), encoding="utf-8")
    return profile


# status


def test_an_empty_home_is_well_and_says_so(tmp_path: Path) -> None:
    code, shown = run(tmp_path, "status")
    _, told = run(tmp_path, "status", "--json")

    assert code == 0
    assert f"all {len(NAMES)} checks are ok" in shown
    assert json.loads(told)["health"]["level"] == "ok"


def test_status_works_while_the_database_is_down_and_tells_machines_by_its_exit_code(tmp_path: Path) -> None:
    profile = str(down(tmp_path))

    code, shown = run(tmp_path / "home", "status", "--profile", profile)
    _, told = run(tmp_path / "home", "status", "--json", "--profile", profile)

    found = {one["name"]: one for one in json.loads(told)["health"]["findings"]}
    assert code == 3
    assert "cannot be reached. Start PostgreSQL" in shown
    assert found["database"]["level"] == "fail"
    assert found["disk"]["level"] == "ok"
    assert found["positions"]["says"].startswith("not known")
    assert "hidden-password-1" not in shown + told


def test_what_is_latched_is_told_while_the_database_is_down(tmp_path: Path) -> None:
    assert run(tmp_path / "home", "kill", "--reason", "drill", "--operator", "Kim")[0] in {0, 1}

    _, told = run(tmp_path / "home", "status", "--json", "--profile", str(down(tmp_path)))

    found = {one["name"]: one for one in json.loads(told)["health"]["findings"]}
    assert found["trading"]["says"].startswith(TradingState.HALTED.value)


# the dead man


def opened(home: Path) -> Workspace:
    return Workspace(home, Settings())


def begun(workspace: Workspace, silent_for: timedelta) -> None:
    """A session that a loop began and then was not heard of any more."""
    times = workspace.calendar.times(IN_SESSION.date())
    with workspace.ledger.transaction() as tx:
        tx.take_lease("session-loop-SIM", "host-7", IN_SESSION - silent_for, 8)
        tx.save_session_record(
            SessionRecord(
                account="SIM", session=times.session, phase=SessionPhase.RUNNING, opening_cash_usd=dec(1),
                opening_equity_usd=dec(1), was_flat=True, cursor_at=None, decision_hash="", code_version="1",
                config_hash="c", started_at=times.opens_at,
            )
        )  # fmt: skip


def test_whoever_watches_raises_the_alarm_of_a_dead_loop_once(tmp_path: Path) -> None:
    workspace = opened(tmp_path)
    begun(workspace, timedelta(seconds=60))

    reports = [watch(workspace, FixedClock(IN_SESSION + timedelta(seconds=n))) for n in range(3)]

    with workspace.ledger.read() as tx:
        told = [alert.kind for alert in tx.alerts("SIM", IN_SESSION.date())]
    assert told == [KIND]
    assert [report.find("loop").level for report in reports] == [Level.FAIL] * 3


def test_a_loop_that_lives_raises_none(tmp_path: Path) -> None:
    workspace = opened(tmp_path)
    begun(workspace, timedelta(seconds=2))

    report = watch(workspace, FixedClock(IN_SESSION))

    with workspace.ledger.read() as tx:
        assert list(tx.alerts("SIM")) == []
    assert report.find("loop").level is Level.OK
    assert "host-7 leads" in report.find("loop").says


def test_the_sensor_raises_it_and_asks_for_a_run_that_shows_it(tmp_path: Path) -> None:
    import dagster as dg

    from trading_pipeline.defs.health import dead_man_sensor
    from trading_pipeline.defs.resources import WorkspaceResource

    begun(opened(tmp_path), timedelta(seconds=60))
    resource = WorkspaceResource(home=str(tmp_path), now=IN_SESSION.isoformat())

    found = [dead_man_sensor(workspace=resource) for _ in range(2)]

    requested = [one for one in found if isinstance(one, dg.RunRequest)]
    assert len({one.run_key for one in requested}) == 1
    with opened(tmp_path).ledger.read() as tx:
        assert [alert.kind for alert in tx.alerts("SIM")] == [KIND]


def test_the_asset_has_a_check_for_each_thing(tmp_path: Path) -> None:
    import dagster as dg

    from trading_pipeline.defs.health import system_health
    from trading_pipeline.defs.resources import WorkspaceResource

    begun(opened(tmp_path), timedelta(seconds=60))
    resource = WorkspaceResource(home=str(tmp_path), now=IN_SESSION.isoformat())

    done = dg.materialize([system_health], resources={"workspace": resource})

    checks = {one.check_name: one for one in done.get_asset_check_evaluations()}
    assert done.success
    assert set(checks) == {one.name for one in read_health(opened(tmp_path)).findings}
    assert not checks["loop"].passed
    assert checks["loop"].severity is dg.AssetCheckSeverity.ERROR
    assert checks["disk"].passed


# pages


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> HealthReport:
    """Of a home in session in which everything has a value."""
    workspace = opened(tmp_path_factory.mktemp("home"))
    begun(workspace, timedelta(seconds=2))
    return read_health(workspace, FixedClock(IN_SESSION))


class Stopwatch:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@dataclass(frozen=True)
class Answer:
    """What a page answered."""

    status_code: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Page:
    """The pages without a socket."""

    app: Starlette

    def get(self, path: str) -> Answer:
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", b"here")]}
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent).decode())


def page(report: HealthReport, stopwatch: Stopwatch | None = None, host: str = "here") -> Page:
    watcher = Watcher(lambda: report, 5.0, stopwatch or Stopwatch())
    watcher.look()
    return Page(health_app(watcher, {"code_version": "1"}, [host]))


@pytest.mark.parametrize(("level", "code"), [(Level.OK, 200), (Level.WARN, 200), (Level.FAIL, 503)])
def test_healthz_fails_when_something_fails_and_not_for_a_warning(well: HealthReport, level: Level, code: int) -> None:
    findings = tuple(replace(one, level=Level.OK) for one in well.findings[1:])
    answer = page(HealthReport(well.at, (replace(well.findings[0], level=level), *findings))).get("/healthz")

    assert (answer.status_code, json.loads(answer.text)["status"]) == (code, level.value)
    assert answer.headers["cache-control"] == "no-store"


def test_a_watcher_that_hangs_is_unhealthy(well: HealthReport) -> None:
    stopwatch = Stopwatch()
    fine = HealthReport(well.at, tuple(replace(one, level=Level.OK) for one in well.findings))
    client = page(fine, stopwatch)

    stopwatch.at = 14.0
    assert client.get("/healthz").status_code == 200
    stopwatch.at = 60.0
    answer = client.get("/healthz")

    assert answer.status_code == 503
    assert "60 s ago" in json.loads(answer.text)["says"]


def test_pages_answer_only_to_their_own_name(well: HealthReport) -> None:
    assert page(well, host="127.0.0.1").get("/healthz").status_code == 400


def test_metrics_parse_and_carry_units_help_and_one_sample_per_known_value(well: HealthReport) -> None:
    text = page(well).get("/metrics").text

    families = {family.name: family for family in text_string_to_metric_families(text)}
    values = {sample.name: sample.value for family in families.values() for sample in family.samples}
    assert all(name.startswith("trading_pipeline_") and family.documentation for name, family in families.items())
    assert values["trading_pipeline_loop_leading"] == 1
    assert values["trading_pipeline_loop_heartbeat_age_seconds"] == 2
    assert values["trading_pipeline_lease_takings_total"] == 1
    assert "trading_pipeline_clock_skew_seconds" not in values  # nobody knows it
    levels = {s.labels["check"]: s.value for s in families["trading_pipeline_health_level"].samples}
    assert levels == {one.name: one.level.severity for one in well.findings}


def test_a_scrape_is_never_expensive(well: HealthReport) -> None:
    client = page(well)
    client.get("/metrics")

    spent = []
    for _ in range(20):
        began = time.thread_time()
        client.get("/metrics")
        spent.append(time.thread_time() - began)

    assert sorted(spent)[10] < 0.05


def test_a_reading_of_a_real_record_takes_little(tmp_path: Path) -> None:
    workspace = opened(tmp_path)
    begun(workspace, timedelta(seconds=2))
    read_health(workspace, FixedClock(IN_SESSION))

    began = time.thread_time()
    for _ in range(10):
        read_health(workspace, FixedClock(IN_SESSION))

    assert (time.thread_time() - began) / 10 < 0.05


def test_a_watcher_goes_on_and_tells_a_change_of_health(well: HealthReport, caplog: pytest.LogCaptureFixture) -> None:
    told, seen = iter([Level.OK, Level.FAIL, Level.OK]), threading.Event()

    def read() -> HealthReport:
        level = next(told, None)
        if level is None:
            seen.set()
        return HealthReport(well.at, (replace(well.findings[0], level=level or Level.OK),))

    watcher = Watcher(read, 0.01)
    with caplog.at_level("INFO", logger="trading_pipeline"):
        watcher.start()
        assert seen.wait(10)
        watcher.stop()

    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_an_alarm_that_cannot_be_recorded_does_not_end_the_watch(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, Settings.model_validate({"storage": {"lock_wait_seconds": 0.1}}))
    begun(workspace, timedelta(seconds=60))

    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        report = watch(workspace, FixedClock(IN_SESSION))
        another.execute("ROLLBACK")
    watch(workspace, FixedClock(IN_SESSION + timedelta(seconds=1)))

    assert report.find("loop").level is Level.FAIL
    with workspace.ledger.read() as tx:
        assert [alert.kind for alert in tx.alerts("SIM")] == [KIND]


# the served process


def test_served_pages_refuse_other_machines_and_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        in_use = run(tmp_path, "health", "serve", "--port", port)
    remote = run(tmp_path, "health", "serve", "--host", "192.0.2.1")
    nonsense = run(tmp_path, "health", "serve", "--host", "here")

    assert [in_use[0], remote[0], nonsense[0]] == [1, 1, 1]
    assert f"port {port} is in use" in in_use[1]
    assert "--allow-remote" in remote[1]
    assert "is not an address" in nonsense[1]


@pytest.mark.slow
def test_the_process_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = subprocess.Popen(
        [COMMAND, "health", "serve", "--port", str(port), "--home", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert served.stdout is not None
    assert "/healthz" in served.stdout.readline()

    answer = _answer(f"http://127.0.0.1:{port}/healthz")
    metrics = _answer(f"http://127.0.0.1:{port}/metrics")
    served.terminate()

    assert answer.json()["status"] in {"ok", "warn"}
    assert "trading_pipeline_database_up 1.0" in metrics.text
    assert served.wait(20) is not None


def _answer(url: str) -> requests.Response:
    for _ in range(100):
        try:
            return requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(url)
