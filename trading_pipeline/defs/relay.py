"""The relay in Dagster, for deployments without `up`, and the hourly look at the audit log."""

import dagster as dg

from trading_pipeline.defs.partitions import calendar, configured
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.errors import AuditError, TradingPipelineError
from trading_pipeline.wiring.audit_reading import verify
from trading_pipeline.wiring.relay import pass_if_idle

IS_ON = configured().automation.enabled
WATCHING = dg.DefaultSensorStatus.RUNNING if IS_ON else dg.DefaultSensorStatus.STOPPED
SCHEDULED = dg.DefaultScheduleStatus.RUNNING if IS_ON else dg.DefaultScheduleStatus.STOPPED


@dg.sensor(
    minimum_interval_seconds=29, default_status=WATCHING,
    description="Where no relay runs: numbers and signs the audit log and delivers alerts, one bounded pass each time.",
)  # fmt: skip
@without_secrets
def relay_sensor(workspace: WorkspaceResource) -> dg.SkipReason:
    """One pass of the relay when nobody leads it; never beside one that lives, and never in the way of one."""
    with workspace.looked_into() as opened:
        try:
            became = pass_if_idle(opened)
        except TradingPipelineError as trouble:
            return dg.SkipReason(f"no pass was possible: {trouble}")
    if not became:
        return dg.SkipReason("a relay runs")
    return dg.SkipReason("; ".join(f"{name}: {trouble or 'done'}" for name, trouble in became.items()))


@dg.op(description="Number and sign what nobody has yet, then verify the audit log from its first entry.")
@without_secrets
def verify_audit_log(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    opened = workspace.open(context.run_id)
    for name, trouble in pass_if_idle(opened).items():
        if trouble:
            context.log.warning("%s: %s", name, trouble)
    found = verify(opened)
    verdict = found.verdict
    if not found.is_sound:
        wrong = [verdict.damage.words] if verdict.damage is not None else [one.line for one in found.record.new]
        raise AuditError(f"{'; '.join(wrong)} See: trading-pipeline audit verify")
    if verdict.unsigned:
        context.log.warning("nothing can be signed: %s", verdict.unsigned)
    context.log.info(
        "%d entries hold; the last %d were signed, and kept elsewhere up to %d; %d wait", verdict.entries,
        verdict.signed, verdict.anchored, verdict.waiting,
    )  # fmt: skip


@dg.job(executor_def=dg.in_process_executor)
def audit_job() -> None:
    """Sign and verify the audit log; damage fails the run, which leaves an alert."""
    verify_audit_log()


JOBS = (audit_job,)
SCHEDULES = (
    dg.ScheduleDefinition(
        name="audit_schedule", job_name="audit_job", cron_schedule="50 * * * *",
        execution_timezone=str(calendar().zone), default_status=SCHEDULED,
        description="The audit log is signed, and verified from its first entry, every hour.",
    ),
)  # fmt: skip
SENSORS = (relay_sensor,)
