"""The stream of the running session as a run: bars and watchlists as they are made, and whoever sees that it lives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg
import pandas as pd

from trading_pipeline.defs.automation import no_stream
from trading_pipeline.defs.checks import report_checks
from trading_pipeline.defs.entering import entered, session_now
from trading_pipeline.defs.metadata import table
from trading_pipeline.defs.partitions import calendar, configured
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.defs.sensors import OFTEN, STATUS, give_up, host_runs, last_number, started
from trading_pipeline.defs.signals import SHOWN
from trading_pipeline.defs.trading import ACTS, NO_RETRY
from trading_pipeline.domain.errors import HomeInUseError, MissingResultError
from trading_pipeline.domain.supervision import LoopState, Start, supervise
from trading_pipeline.services.fetch import FetchReport
from trading_pipeline.services.timetable import closed_reason
from trading_pipeline.wiring import Workspace
from trading_pipeline.wiring.health import read_stream
from trading_pipeline.wiring.market_data import StreamStatus, record_session

RECORDING = "market_data_job"
SILENCE = timedelta(seconds=45)
"""A recorder that says nothing for so long is dead: it says every few seconds that it lives, but for its research."""
START_SECONDS = 300
"""A run may take so long until it records: it may wait for the session before to end, and fetch what is missing."""
Materialization = dg.AssetMaterialization


@dataclass(slots=True)
class StreamReports:
    """Tells Dagster of what the stream has made of the session, when it is new and once for each minute stored."""

    log_event: Callable[[Materialization], None]
    workspace: Workspace
    _told: dict[str, object] = field(default_factory=dict)
    _told_until: datetime | None = None

    def tell(self, status: StreamStatus) -> None:
        """Log a materialisation of each asset that has changed since it was last told of."""
        if status.closed_until is None or status.closed_until == self._told_until:
            return
        self._told_until = status.closed_until
        for name, metadata in self._made(status):
            if self._told.get(name) != metadata:
                self._told[name] = metadata
                self._log(name, status.session.isoformat(), metadata)

    def fetched(self, report: FetchReport) -> None:
        """Log the sessions whose bars were fetched before the stream began."""
        told: dict[str, object] = {"source": report.provider, "feed": report.feed, "timeframe": report.timeframe.value}
        for session in sorted(report.sessions) if report.new + report.corrected else ():
            self._log("raw_bars", session.isoformat(), told)

    def _log(self, name: str, session: str, metadata: dict[str, object]) -> None:
        origin = {"session": session, "config_hash": self.workspace.provenance.config_hash[:12]}
        self.log_event(Materialization(name, partition=session, metadata=metadata, tags=origin))  # type: ignore[arg-type]

    def _made(self, status: StreamStatus) -> Iterator[tuple[str, dict[str, object]]]:
        counts, until = status.counts, f"{status.closed_until:%Y-%m-%d %H:%M} UTC"
        if counts.new:
            yield "raw_bars", {
                "dagster/row_count": counts.new, "closed_until": until, "corrected": counts.corrected,
                "repaired": counts.repaired, "late": counts.late, "source": status.provider, "feed": status.feed,
            }  # fmt: skip
            yield "bars", {"closed_until": until, "symbols": status.symbols}
        for name in ("universe", f"indicators_{self.workspace.research.trigger.value}"):
            yield from self._rows(name, status)
        for name in ("coarse_screen", "regime_score", "sabr20_watchlist"):
            yield from self._newest(name, status)

    def _rows(self, name: str, status: StreamStatus) -> Iterator[tuple[str, dict[str, object]]]:
        rows = self.workspace.frames.row_count(name, status.session)
        if rows is not None:
            yield name.partition("_")[0], {"dagster/row_count": rows}

    def _newest(self, name: str, status: StreamStatus) -> Iterator[tuple[str, dict[str, object]]]:
        """How many rows the frame holds, and its newest snapshot."""
        try:
            frame = self.workspace.frames.read(name, status.session)
        except MissingResultError:
            return
        at = frame["as_of"].max()
        newest = frame[frame["as_of"] == at]
        shown = {"picks": table(_picks(newest))} if name == "sabr20_watchlist" else {}
        yield name, {
            "dagster/row_count": len(frame), "as_of": f"{at:%Y-%m-%d %H:%M} UTC", "newest_rows": len(newest), **shown
        }  # fmt: skip


def _picks(newest: pd.DataFrame) -> pd.DataFrame:
    picks = newest[newest["scored"].astype(bool) & newest["selected"].astype(bool)]
    return picks[SHOWN].astype({"as_of": "str"}).round(2)


@dg.op(description="Record today's session as its bars close, with its watchlists; a made-up market's history first.")
def record_live_session(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    opened = entered(context, workspace)
    why, provider = no_stream(opened.settings), opened.settings.live.provider
    if why or provider == "none":
        context.log.warning("nothing done: %s", why)
        return
    times = session_now(context, opened)
    if times is None or opened.clock.now() >= times.closes_at:
        return
    reports = StreamReports(context.log_event, opened)
    try:
        status = record_session(opened, provider, on_status=reports.tell, on_fetched=reports.fetched)
    except HomeInUseError as busy:
        context.log.warning("nothing done: %s", busy)
        return
    report_checks(context, opened.research, times.session, "universe")
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
def stream_supervisor_sensor(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.SensorResult | dg.SkipReason:
    """Start the recording of the session's bars again when the recorder is dead, however its run looks."""
    now = workspace.clock().now()
    reason = closed_reason(calendar(), now)
    if reason:
        return dg.SkipReason(reason)
    with workspace.looked_into() as opened:
        reason = no_stream(opened.settings)
        if reason:
            return dg.SkipReason(reason)
        state = stream_state(context, opened, now)
    rules = configured().automation.supervision.model_copy(update={"start_seconds": START_SECONDS})
    found = supervise(now, state, rules)
    if not isinstance(found, Start):
        return dg.SkipReason(found.why)
    for run_id in found.lost:
        give_up(context.instance, run_id, found.why)
    return started(context, "market-data", state.times.session, found)


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
