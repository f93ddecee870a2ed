"""What a run does first: make sure that it may still act, and say under which rules it works."""

from __future__ import annotations

import dagster as dg

from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.services.timetable import closed_reason
from trading_pipeline.wiring import Workspace

SESSION = "session"
ENDED = {
    dg.DagsterEventType.RUN_CANCELING: "is being cancelled",
    dg.DagsterEventType.RUN_CANCELED: "was cancelled",
    dg.DagsterEventType.RUN_FAILURE: "has failed",
    dg.DagsterEventType.RUN_SUCCESS: "is done",
}
"""Events after which a run acts no more. Its status does not tell: a worker that starts late sets it to STARTED."""


def entered(context: dg.AssetExecutionContext | dg.OpExecutionContext, workspace: WorkspaceResource) -> Workspace:
    """The workspace for a run that may act; the run is tagged with mode, configuration and session.

    Raises dg.Failure when the run was cancelled or failed before it got here.
    """
    known = context.instance.all_logs(context.run_id, of_type=set(ENDED))
    told = [ENDED[entry.dagster_event_type] for entry in known if entry.dagster_event_type is not None]
    if told:
        raise dg.Failure(
            f"run {context.run_id} {told[0]} and does nothing any more. Launch a new one.", allow_retries=False
        )
    opened = workspace.open(context.run_id)
    tags = {"mode": opened.settings.execution.mode, "config_hash": opened.provenance.config_hash[:12]}
    if context.has_partition_key:
        tags[SESSION] = context.partition_key
    context.instance.add_run_tags(context.run_id, tags)
    return opened


def session_now(context: dg.OpExecutionContext, workspace: Workspace) -> SessionTimes | None:
    """Today's session, which the run may act in; None, with the reason in the log, when there is none or not this one.

    A run that was made for another day (and sat in a queue over night) does nothing.
    """
    now, calendar = workspace.clock.now(), workspace.calendar
    closed = closed_reason(calendar, now)
    if closed:
        context.log.warning("nothing done: %s", closed)
        return None
    times = calendar.times(calendar.session_of(now))
    made_for = context.run.tags.get(SESSION)
    if made_for not in {None, times.session.isoformat()}:
        context.log.warning("nothing done: the run was made for session %s, and it is %s", made_for, times.session)
        return None
    context.instance.add_run_tags(context.run_id, {SESSION: times.session.isoformat()})
    return times
