"""The stream of the running session as a run: bars and watchlists as they are made, and whoever sees that it lives."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from trading_pipeline.defs.automation import no_stream
from trading_pipeline.defs.checks import report_checks
from trading_pipeline.defs.entering import entered, session_now
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.sensors import OFTEN, STATUS, host_runs, keep_alive, last_number
from trading_pipeline.defs.stream_reports import StreamReports
from trading_pipeline.defs.trading import ACTS, NO_RETRY
from trading_pipeline.domain.errors import HomeInUseError
from trading_pipeline.domain.supervision import LoopState
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.health import read_stream
from trading_pipeline.wiring.market_data import StreamStatus, record_session

RECORDING = "market_data_job"
SILENCE = timedelta(seconds=45)
"""A recorder that says nothing for so long is dead: it says every few seconds that it lives, but for its research."""
CHECK_EVERY = timedelta(minutes=15)
CHECKED = "universe", "bars", "indicators", "sabr20_watchlist"
START_SECONDS = 300
"""A run may take so long until it records: it may wait for the session before to end, and fetch what is missing."""


@dataclass(slots=True)
class Checks:
    """Asks the assets' checks now and then, so that the lineage shows their answers beside what they are of."""

    context: dg.OpExecutionContext
    workspace: Workspace
    _asked_at: datetime | None = None

    def ask(self, status: StreamStatus) -> None:
        """Ask when it is time; an answer is logged, and ends nothing."""
        is_due = self._asked_at is None or status.at - self._asked_at >= CHECK_EVERY
        if status.snapshots and is_due:
            self._asked_at = status.at
            report_checks(self.context, self.workspace.research, status.session, *CHECKED)


@dg.op(description="Record today's session as its bars close, with its watchlists; a made-up market's history first.")
@without_secrets
def record_live_session(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    opened = entered(context, workspace)
    why, provider = no_stream(opened.settings), opened.settings.live.provider
    if why or provider == "none":
        context.log.warning("nothing done: %s", why)
        return
    times = session_now(context, opened)
    if times is None or opened.clock.now() >= times.closes_at:
        return
    reports, checks = StreamReports(context.log_event, opened), Checks(context, opened)

    def on_status(status: StreamStatus) -> None:
        reports.tell(status)
        checks.ask(status)

    try:
        status = record_session(opened, provider, on_status=on_status, on_fetched=reports.fetched)
    except HomeInUseError as busy:
        context.log.warning("nothing done: %s", busy)
        return
    context.log.info(
        "session %s to %s: %d new bars, %d watchlists", times.session, status.closed_until, status.counts.new,
        status.snapshots,
    )  # fmt: skip


@dg.job(tags={ACTS: "record", **NO_RETRY}, executor_def=dg.in_process_executor)
def market_data_job() -> None:
    """Record today's session from before the open to the close, with a watchlist at each close of a trigger bar."""
    record_live_session()


@dg.sensor(
    job_name=RECORDING, minimum_interval_seconds=OFTEN, default_status=STATUS,
    description="The stream of the session is started again when it has fallen silent; never beside one that lives.",
)  # fmt: skip
@without_secrets
def stream_supervisor_sensor(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.SensorResult | dg.SkipReason:
    """Start the recording of the session's bars again when the recorder is dead, however its run looks."""

    def look(opened: Workspace, now: datetime) -> LoopState | str:
        return no_stream(opened.settings) or stream_state(context, opened, now)

    return keep_alive(context, workspace, "market-data", look, start_seconds=START_SECONDS)


def stream_state(context: dg.SensorEvaluationContext, workspace: Workspace, now: datetime) -> LoopState:
    """What the recorder's signs of life and the runs tell of the stream of the session at `now`."""
    session = workspace.calendar.session_of(now)
    seen = read_stream(workspace.home, session)
    return LoopState(
        times=workspace.calendar.times(session), runs=host_runs(context.instance, session, RECORDING), what="stream",
        leads_until=seen.at + SILENCE if seen else None, holder="the recorder",
        last_number=last_number(context.cursor, session),
    )  # fmt: skip


JOBS, SENSORS = (market_data_job,), (stream_supervisor_sensor,)
