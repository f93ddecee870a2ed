"""Asset checks: the same questions from the UI, from a single run and from a backfill."""

import logging
from datetime import date
from typing import Any, Protocol

import dagster as dg

from trading_pipeline.defs.partitions import SESSIONS
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.services.checks import CHECKS, Check, Verdict
from trading_pipeline.services.research_desk import ResearchDesk


def severity_of(check: Check) -> dg.AssetCheckSeverity:
    """A failed blocking check is an error; any other a warning."""
    return dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN


def _definition(check: Check) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=check.asset, name=check.name, description=check.question, blocking=check.blocking,
        partitions_def=SESSIONS,
    )  # fmt: skip
    @without_secrets
    def ask(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
        verdict = check.ask(workspace.open().research, date.fromisoformat(context.partition_key))
        return dg.AssetCheckResult(
            passed=verdict.passed, severity=severity_of(check), description=verdict.words, metadata=verdict.numbers
        )

    return ask


CHECK_DEFINITIONS = tuple(_definition(check) for check in CHECKS)


class EventLog(Protocol):
    """Any run's context: assets' and ops' alike."""

    @property
    def has_partition_key(self) -> bool:
        """Whether the run is about one session; False for a range of them."""

    @property
    def instance(self) -> dg.DagsterInstance:
        """Where runs are recorded."""

    @property
    def log(self) -> logging.Logger:
        """The run's own log."""

    @property
    def run_id(self) -> str:
        """The run's."""

    @property
    def job_name(self) -> str:
        """The job's."""

    def log_event(self, event: Any) -> None:
        """Record an event in the run."""


def report_checks(context: EventLog, desk: ResearchDesk, session: date, *assets: str) -> None:
    """Ask every question about the assets for one session, and log each answer under its partition.

    The jobs plan no checks (in a range run they would be recorded without a partition); the steps report them here.
    In a run of one session a failed blocking check ends the run, so that nobody decides on it: raises dg.Failure.
    A backfill records the failure and goes on with the other sessions. A run of many assets that was stopped early may
    come here before research has made what a check looks at: that check is not asked, and the log says so.
    """
    for check in CHECKS:
        if check.asset in assets:
            try:
                verdict = check.ask(desk, session)
            except MissingResultError as nothing:
                if context.has_partition_key:  # this run itself should have made it
                    raise
                context.log.info("%s.%s is not asked: %s", check.asset, check.name, nothing)
                continue
            evaluation = _evaluation(check, session, verdict)
            if context.has_partition_key and check.blocking and not verdict.passed:
                _report_of_run(context, evaluation)  # a step that fails loses what it logged
                raise dg.Failure(
                    f"session {session} may not be decided on: {check.asset}.{check.name}: {verdict.words}",
                    allow_retries=False,
                )
            context.log_event(evaluation)


def _report_of_run(context: EventLog, evaluation: dg.AssetCheckEvaluation) -> None:
    """On record at once, under the run: Dagster keeps one evaluation of a check and partition for each."""
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, event_specific_data=evaluation,
        job_name=context.job_name,
    )  # fmt: skip
    context.instance.report_dagster_event(event, run_id=context.run_id)


def _evaluation(check: Check, session: date, verdict: Verdict) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(check.asset),
        check_name=check.name,
        passed=verdict.passed,
        severity=severity_of(check),
        description=verdict.words,
        metadata={name: dg.MetadataValue.text(str(value)) for name, value in verdict.numbers.items()},
        partition=session.isoformat(),
    )
