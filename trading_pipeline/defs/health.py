"""Health in Dagster: an asset with a check for each thing looked at, the dead-man's sensor, and hourly backups."""

from collections.abc import Iterator

import dagster as dg

from trading_pipeline.defs.partitions import calendar, configured
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.domain.health import Finding, HealthReport, Level
from trading_pipeline.services.dead_man import raise_alarm
from trading_pipeline.services.health import NAMES
from trading_pipeline.wiring.backups import backup
from trading_pipeline.wiring.health import alarms_due, look_at, read_health

OWNERS = ["team:trading"]
IS_ON = configured().automation.enabled
SCHEDULED = dg.DefaultScheduleStatus.RUNNING if IS_ON else dg.DefaultScheduleStatus.STOPPED
WATCHING = dg.DefaultSensorStatus.RUNNING if IS_ON else dg.DefaultSensorStatus.STOPPED


@dg.asset(
    group_name="operations", kinds={"python"}, owners=OWNERS, code_version="1",
    check_specs=[dg.AssetCheckSpec(name, asset="system_health") for name in NAMES],
)  # fmt: skip
@without_secrets
def system_health(workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult[None]]:
    """How well everything is at this moment: database, loop, broker, feed, research, risk, queues, disk, processes."""
    report = read_health(workspace.open(), workspace.clock())
    yield dg.MaterializeResult(metadata=_metadata(report), check_results=[_check(one) for one in report.findings])


def _metadata(report: HealthReport) -> dict[str, dg.MetadataValue]:
    schema = dg.TableSchema([dg.TableColumn(name) for name in ("check", "level", "says", "worse", "what_to_do")])
    rows = [
        dg.TableRecord({"check": one.name, "level": one.level.value, "says": one.says, "worse": one.threshold,
                        "what_to_do": one.advice})
        for one in report.findings
    ]  # fmt: skip
    return {"level": dg.MetadataValue.text(report.level.value), "findings": dg.MetadataValue.table(rows, schema)}


def _check(finding: Finding) -> dg.AssetCheckResult:
    known = {name: value for name, value in finding.measured.items() if value is not None}
    return dg.AssetCheckResult(
        passed=finding.level is Level.OK, check_name=finding.name,
        description=f"{finding.says}. {finding.advice}".strip(),
        severity=dg.AssetCheckSeverity.ERROR if finding.level is Level.FAIL else dg.AssetCheckSeverity.WARN,
        metadata={name: dg.MetadataValue.float(float(value)) for name, value in known.items()},
    )  # fmt: skip


@dg.sensor(
    job_name="health_job", minimum_interval_seconds=4, default_status=WATCHING,
    description="The dead-man's signal: in session the loop's heartbeat has stopped. A CRITICAL alert, once.",
)  # fmt: skip
@without_secrets
def dead_man_sensor(workspace: WorkspaceResource) -> dg.RunRequest | dg.SkipReason:
    """Look whether the loop of the running session lives; its death leaves a CRITICAL alert, once, and a health run."""
    with workspace.looked_into() as opened:
        look = look_at(opened, workspace.clock())
        due = alarms_due(opened, look)
        if not due:
            return dg.SkipReason(look.trouble or "the loop lives, or none has to")
        try:
            for alarm in due:
                raise_alarm(opened.ledger, alarm)
        except LedgerError as trouble:
            return dg.SkipReason(f"{due[0].message} It is not on record yet: {trouble}")
    alarm = due[0]
    return dg.RunRequest(run_key=alarm.alert_id, tags={"session": alarm.session.isoformat()})


@dg.op(description="Back up the record while everything runs, verify the copy, remove old backups.")
@without_secrets
def back_up(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    made = backup(workspace.open(context.run_id))
    rows = sum(made.backup.manifest.counts.values())
    context.log.info("%s: %d rows, %d files, verified", made.backup.folder, rows, len(made.backup.manifest.files))


@dg.job(executor_def=dg.in_process_executor)
def backup_job() -> None:
    """Back up the record; a failure leaves an alert."""
    back_up()


health_job = dg.define_asset_job(
    "health_job", selection=dg.AssetSelection.assets("system_health"), executor_def=dg.in_process_executor,
    description="Read the health of everything, with a check for each thing.",
)  # fmt: skip


def _every(name: str, job: str, cron: str, what: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=name, job_name=job, cron_schedule=cron, execution_timezone=str(calendar().zone), default_status=SCHEDULED,
        description=what,
    )  # fmt: skip


JOBS = (backup_job, health_job)
SCHEDULES = (
    _every("backup_schedule", "backup_job", "5,35 * * * *", "A backup of the record every half hour."),
    _every("health_schedule", "health_job", "*/30 * * * *", "The health of everything, every half hour."),
)
SENSORS = (dead_man_sensor,)
