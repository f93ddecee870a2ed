"""The sensors that watch: the loop's supervisor, failed runs, missing history. Runs and leases are real."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from trading_pipeline.adapters.calendar import ExchangeCalendar
from trading_pipeline.definitions import defs
from trading_pipeline.defs import sensors
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.sensors import (
    MONITORING,
    history_sensor,
    loop_supervisor_sensor,
    run_failure_alert_sensor,
)
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.services.lease import lease_name
from trading_pipeline.settings import Settings
from trading_pipeline.wiring import Workspace

CALENDAR = ExchangeCalendar()
SESSION = CALENDAR.session_of(datetime.now(UTC) + timedelta(days=1))
"""A session to come: runs are dated by the machine's clock, and were made before it."""
KEY, OPENS = SESSION.isoformat(), CALENDAR.times(SESSION).opens_at
NINE_FIFTEEN, NOON = OPENS - timedelta(minutes=15), OPENS + timedelta(minutes=150)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def resource(home: Path, now: datetime, profile: str = "") -> WorkspaceResource:
    return WorkspaceResource(home=str(home), now=now.isoformat(), profile=profile)


def home_at(home: Path, now: datetime = NOON) -> Workspace:
    return resource(home, now).open()


def looks(home: Path, now: datetime, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult | str:
    """What the supervisor does: a result with a run, or why it does nothing."""
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"workspace": resource(home, now)},
        repository_def=defs.get_repository_def(),
    )  # fmt: skip
    found = loop_supervisor_sensor(context)
    if isinstance(found, dg.SkipReason):
        return str(found.skip_message)
    assert isinstance(found, dg.SensorResult)
    return found


def asked(found: dg.SensorResult | str) -> dg.RunRequest:
    assert isinstance(found, dg.SensorResult), found
    (request,) = found.run_requests or ()
    assert isinstance(request, dg.RunRequest)
    return request


def a_run(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.DagsterRun:
    """What the daemon makes of a request: a run that goes on."""
    job = defs.resolve_job_def(MONITORING)
    return instance.create_run_for_job(job, tags=dict(request.tags), status=dg.DagsterRunStatus.STARTED)


def led(home: Path, until: datetime) -> None:
    with home_at(home).ledger.transaction() as tx:
        assert tx.take_lease(lease_name("SIM"), "host-1", until - timedelta(seconds=8), 8)


def alerts(home: Path) -> list[Alert]:
    with home_at(home).ledger.read() as tx:
        return list(tx.alerts("SIM"))


def test_a_loop_that_no_schedule_has_started_is_started(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    found = looks(tmp_path, NINE_FIFTEEN, instance)

    request = asked(found)
    assert (request.run_key, request.tags["session"]) == (f"monitor-{KEY}-1", KEY)
    assert alerts(tmp_path) == []  # the first start is no restart


def test_beside_a_loop_that_leads_there_is_no_other(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    led(tmp_path, NOON + timedelta(seconds=8))

    assert "host-1 leads until" in str(looks(tmp_path, NOON, instance))


def test_a_run_whose_loop_is_dead_is_given_up_and_followed(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    first = looks(tmp_path, NOON, instance)
    run = a_run(instance, asked(first))
    led(tmp_path, NOON + timedelta(seconds=8))

    assert isinstance(first, dg.SensorResult)
    found = asked(looks(tmp_path, NOON + timedelta(seconds=9), instance, first.cursor))

    assert (found.run_key, found.tags["trading_pipeline/attempt"]) == (f"monitor-{KEY}-2", "2")
    given_up = instance.get_run_by_id(run.run_id)
    assert given_up is not None
    assert given_up.status is dg.DagsterRunStatus.FAILURE
    assert [(alert.kind, alert.level) for alert in alerts(tmp_path)] == [("loop_restarted", AlertLevel.WARNING)]


def test_a_start_that_left_no_run_is_asked_for_under_another_number(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    first = looks(tmp_path, NOON, instance)
    assert isinstance(first, dg.SensorResult)

    assert asked(looks(tmp_path, NOON, instance, first.cursor)).run_key == f"monitor-{KEY}-2"


@pytest.mark.parametrize("day", ["2025-07-04", "2025-06-14", "2025-01-09"])
def test_on_a_closed_day_nothing_is_supervised(tmp_path: Path, instance: dg.DagsterInstance, day: str) -> None:
    assert "the exchange is closed" in str(looks(tmp_path, datetime.fromisoformat(f"{day}T15:00:00Z"), instance))


def failed(instance: dg.DagsterInstance, home: Path, job: str) -> dg.ExecuteInProcessResult:
    broken = {"workspace": resource(home, NOON, profile=str(home / "no-such-profile.yaml"))}
    return defs.resolve_job_def(job).execute_in_process(instance=instance, resources=broken, raise_on_error=False)


@pytest.mark.parametrize(
    ("job", "level"),
    [("execution_job", AlertLevel.CRITICAL), (MONITORING, AlertLevel.CRITICAL), ("retention_job", AlertLevel.ERROR)],
)
def test_a_failed_run_leaves_one_alert_by_what_it_does(
    tmp_path: Path, instance: dg.DagsterInstance, job: str, level: AlertLevel
) -> None:
    done = failed(instance, tmp_path, job)
    assert not done.success

    for _ in range(2):
        run_failure_alert_sensor(
            dg.build_run_status_sensor_context(
                sensor_name="run_failure_alert_sensor", dagster_instance=instance, dagster_run=done.dagster_run,
                dagster_event=done.get_run_failure_event(), resources={"workspace": resource(tmp_path, NOON)},
            ).for_run_failure()
        )  # fmt: skip

    (alert,) = alerts(tmp_path)
    assert (alert.level, alert.kind) == (level, "run_failed")
    assert f"{job} failed" in alert.message
    assert "no-such-profile.yaml" in alert.message


def history(home: Path, now: datetime) -> dg.RunRequest | str:
    found = history_sensor(dg.build_sensor_context(resources={"workspace": resource(home, now)}))
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found if isinstance(found, dg.RunRequest) else str(found.skip_message)


def test_missing_bars_are_fetched_once_the_universe_is_there_and_before_the_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "automation.history_provider" in str(history(tmp_path, NINE_FIFTEEN))
    monkeypatch.setattr(
        sensors, "configured", lambda: Settings.model_validate({"automation": {"history_provider": "alpaca"}})
    )
    assert "is not made yet" in str(history(tmp_path, NINE_FIFTEEN))

    home_at(tmp_path).frames.write("universe", SESSION, pd.DataFrame({"symbol": ["AAA"]}))

    found = history(tmp_path, NINE_FIFTEEN)
    assert isinstance(found, dg.RunRequest)
    assert found.run_key == f"after-universe-{KEY}"
    assert "has opened" in str(history(tmp_path, NOON))
