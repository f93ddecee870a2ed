"""Running the jobs in this process, recorded in the home's Dagster instance like any other run."""

from __future__ import annotations

from datetime import date

import dagster as dg

from trading_pipeline.definitions import defs
from trading_pipeline.defs.instance import local_instance
from trading_pipeline.defs.logs import QUIET
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.errors import TradingPipelineError
from trading_pipeline.wiring import Workspace

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def run_range(workspace: Workspace, job: str, first: date, last: date) -> str:
    """Materialise a range of sessions in one run; returns the run's id."""
    return _run(workspace, job, {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}, {})


def run_replay(workspace: Workspace, first: date, last: date) -> str:
    """Run session_replay_job over the sessions; returns the run's id."""
    config = {"first": first.isoformat(), "last": last.isoformat()}
    return _run(workspace, "session_replay_job", {}, {"ops": {"replay_sessions": {"config": config}}})


def _run(workspace: Workspace, job: str, tags: dict[str, str], run_config: dict[str, object]) -> str:
    all_tags = {**tags, "mode": workspace.settings.execution.mode, "config_hash": workspace.provenance.config_hash[:12]}
    resource = WorkspaceResource(
        home=str(workspace.home), config=str(workspace.config or ""), profile=str(workspace.profile or "")
    )
    definition = defs.resolve_job_def(job)
    with local_instance(workspace.home) as instance:
        result = definition.execute_in_process(
            instance=instance, tags=all_tags, run_config={**run_config, "loggers": {QUIET: {}}},
            resources={"workspace": resource}, raise_on_error=False,
        )  # fmt: skip
    if not result.success:
        raise _failure(job, result)
    return result.run_id


def _failure(job: str, result: dg.ExecuteInProcessResult) -> TradingPipelineError:
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error:
            error = event.step_failure_data.error
            while error.cause is not None:
                error = error.cause
            if error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
                raise KeyboardInterrupt
            return TradingPipelineError(
                f"{job} failed in {event.step_key}: {error.message.strip()} (run {result.run_id})"
            )
    return TradingPipelineError(f"{job} failed (run {result.run_id}); see it in the UI: make ui")
