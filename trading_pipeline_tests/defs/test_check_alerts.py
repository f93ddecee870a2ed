"""Failed asset checks leave alerts. Evaluations are real events of a Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from trading_pipeline.definitions import defs
from trading_pipeline.defs.check_alerts import check_failure_alert_sensor
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.control import Alert, AlertLevel

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def evaluated(
    instance: dg.DagsterInstance, *, passed: bool = False, severity: dg.AssetCheckSeverity = ERROR,
    partition: str | None = "2025-06-10", check: str = "freshness",
) -> None:  # fmt: skip
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("bars"), check_name=check, passed=passed, severity=severity,
        description="the newest bar is 40 minutes old\nand more", partition=partition,
    )  # fmt: skip
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, event_specific_data=evaluation, job_name="j"
    )
    instance.report_dagster_event(event, run_id=str(uuid4()))


def look(home: Path, instance: dg.DagsterInstance, cursor: str | None = None, now: datetime | None = None) -> str:
    """One look of the sensor; returns where it goes on from."""
    at = now or datetime.now(UTC)
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=defs.get_repository_def(),
        resources={"workspace": WorkspaceResource(home=str(home), now=at.isoformat())},
    )  # fmt: skip
    check_failure_alert_sensor(context)
    assert context.cursor is not None
    return context.cursor


def alerts(home: Path) -> list[Alert]:
    with WorkspaceResource(home=str(home)).open().ledger.read() as tx:
        return list(tx.alerts("SIM"))


def test_a_failed_check_is_told_once_however_often_it_is_looked_at(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    evaluated(instance)

    cursor = look(tmp_path, instance)
    look(tmp_path, instance, cursor)
    look(tmp_path, instance)  # the daemon lost its cursor

    (alert,) = alerts(tmp_path)
    assert (alert.kind, alert.level, alert.session.isoformat()) == ("check_failed", AlertLevel.ERROR, "2025-06-10")
    assert alert.message == "check bars.freshness failed for session 2025-06-10: the newest bar is 40 minutes old"


def test_what_stays_broken_is_told_again_only_when_it_was_good_or_gets_worse(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    cursor: str | None = None
    for passed, severity in ((False, WARN), (False, WARN), (False, ERROR), (False, WARN), (True, WARN), (False, WARN)):
        evaluated(instance, passed=passed, severity=severity)
        cursor = look(tmp_path, instance, cursor)

    assert [one.level for one in alerts(tmp_path)] == [AlertLevel.WARNING, AlertLevel.ERROR, AlertLevel.WARNING]


def test_many_between_two_looks_are_told_as_if_each_had_been_looked_at(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    for partition in ("2025-06-10", "2025-06-11", "2025-06-10"):
        evaluated(instance, partition=partition)
    evaluated(instance, passed=True, partition="2025-06-12")
    evaluated(instance, check="schema", partition="2025-06-10")

    look(tmp_path, instance)

    told = sorted((one.data["check"], one.session.isoformat()) for one in alerts(tmp_path))
    assert told == [
        ("bars.freshness", "2025-06-10"), ("bars.freshness", "2025-06-11"), ("bars.schema", "2025-06-10"),
    ]  # fmt: skip


def test_the_first_look_goes_back_one_day_and_a_check_without_partition_is_of_the_session_of_its_instant(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    evaluated(instance, partition=None)

    look(tmp_path, instance, now=datetime.now(UTC) + timedelta(days=2))
    assert alerts(tmp_path) == []

    look(tmp_path, instance)
    assert len(alerts(tmp_path)) == 1
