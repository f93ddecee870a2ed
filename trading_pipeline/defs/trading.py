"""Acts with money: what the session loop writes, as external assets, and the jobs that run it."""

from collections.abc import Mapping, Sequence
from datetime import date

import dagster as dg

from trading_pipeline.defs.checks import report_checks
from trading_pipeline.defs.entering import entered, session_now
from trading_pipeline.defs.metadata import record_schema, table
from trading_pipeline.defs.partitions import SESSIONS
from trading_pipeline.defs.redacting import without_secrets
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.orders import Fill, Order
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.services.gates import closed_gates, raise_once
from trading_pipeline.services.session_rows import TRADING_ASSETS, session_rows
from trading_pipeline.services.signals import refresh_signals, signal_snapshots
from trading_pipeline.wiring import Workspace

OWNERS = ["team:trading"]


def _written_by_the_loop(name: str, record: type, deps: Sequence[str], description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        deps=deps,
        description=f"{description} Written by the session loop, session by session; materialising can never trade.",
        partitions_def=SESSIONS,
        group_name="trading",
        kinds={"sqlalchemy"},
        owners=OWNERS,
        metadata={"dagster/column_schema": record_schema(record)},
    )


TRADE_DECISIONS = _written_by_the_loop(
    "trade_decisions", RiskDecision, ["sabr20_watchlist", "regime_score"],
    "What the risk checks said of every trade plan: approved, reduced or denied, with every reason and its numbers.",
)  # fmt: skip
ORDERS = _written_by_the_loop("orders", Order, ["trade_decisions"], "Every order and where it stands, in FIX terms.")
FILLS = _written_by_the_loop("fills", Fill, ["orders"], "Every execution as the venue reported it; append-only.")
POSITIONS = _written_by_the_loop("positions", Position, ["fills"], "Open positions: a fold over fills.")
TRADES = _written_by_the_loop("trades", Trade, ["positions"], "Closed round trips with P&L, R, MAE and MFE.")
TRADING_SPECS = (TRADE_DECISIONS, ORDERS, FILLS, POSITIONS, TRADES)


class ReplayConfig(dg.Config):
    """Sessions to run, both included; `last` empty: only the first."""

    first: str
    last: str = ""


@dg.op(description="Run stored sessions through the session loop, in date order, and report what each wrote.")
@without_secrets
def replay_sessions(context: dg.OpExecutionContext, config: ReplayConfig, workspace: WorkspaceResource) -> None:
    opened = entered(context, workspace)
    first, last = date.fromisoformat(config.first), date.fromisoformat(config.last or config.first)
    for replayed in opened.replay(first, last):
        session = replayed.record.session
        context.log.info("session %s: decision log %s", session, replayed.record.decision_hash)
        if replayed.unverifiable:
            context.log.warning("%s", replayed.unverifiable)
        elif not replayed.verified:
            report_session(context, opened, session)


@dg.op(description="Decide on the newest watchlist of the running session, or look for new signals; sends nothing.")
@without_secrets
def decide_on_newest_snapshot(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    opened = entered(context, workspace)
    times = session_now(context, opened)
    if times is None:
        return
    if opened.settings.execution.signals == "external":
        context.log.info("%s", _look_for_signals(opened, times.session))
        return
    try:
        _require_open_gates(opened, times.session)
        context.log.info("%s", opened.decide())
    except MissingResultError as nothing:
        context.log.warning("nothing decided: %s", nothing)


def _look_for_signals(workspace: Workspace, session: date) -> str:
    """Put new external signals on record; the session's loop rebalances to them."""
    provider = workspace.signal_provider()
    if provider is None:
        return "watchlists are traded: there are no external signals to look for"
    refresh_signals(workspace.research, provider, session, workspace.clock.now())
    with workspace.ledger.read() as tx:
        known = signal_snapshots(workspace.provenance, tx, session)
    newest = f"the newest of {known[-1].as_of:%H:%M} UTC" if known else "none usable"
    return f"{len(known)} sets of signals in session {session}, {newest}; the session's loop rebalances to them"


def _require_open_gates(workspace: Workspace, session: date) -> None:
    """Raise MissingResultError, and an alert once for each kind of reason, when the session may not be decided on."""
    closed = closed_gates(workspace.research, session)
    for words in closed:
        raise_once(
            workspace.ledger, workspace.settings.execution.account, session, cause=words.partition(":")[0],
            at=workspace.clock.now(), level=AlertLevel.ERROR, kind="data_issue", message=f"no entries: {words}",
        )  # fmt: skip
    if closed:
        raise MissingResultError("; ".join(closed))


def report_session(context: dg.OpExecutionContext, workspace: Workspace, session: date) -> None:
    """Log one materialisation per trading asset for the session, with the rows it holds, and the checks on them."""
    with workspace.ledger.read() as tx:
        rows = {name: session_rows(tx, workspace.settings.execution.account, session, name) for name in TRADING_ASSETS}
    for name, found in rows.items():
        context.log_event(trading_materialization(workspace, session, name, found))
    report_checks(context, workspace.research, session, "positions", "trades")


def trading_materialization(
    workspace: Workspace, session: date, name: str, rows: Sequence[Mapping[str, object]]
) -> dg.AssetMaterialization:
    """That the loop wrote these rows of an asset."""
    return dg.AssetMaterialization(
        asset_key=name,
        partition=session.isoformat(),
        metadata={"dagster/row_count": len(rows), "rows": table(rows)},
        tags={"session": session.isoformat(), "config_hash": workspace.provenance.config_hash[:12]},
    )


ACTS, NO_RETRY = "trading_pipeline/acts", {"dagster/max_retries": "0"}
"""Jobs that act with money are never retried, and the queue runs one of each kind at a time (dagster.yaml)."""


@dg.job(tags={ACTS: "trade", **NO_RETRY}, executor_def=dg.in_process_executor)
def session_replay_job() -> None:
    """Trade stored sessions on an accelerated clock; a session already on record is verified instead."""
    replay_sessions()


@dg.job(tags={ACTS: "decide", **NO_RETRY}, executor_def=dg.in_process_executor)
def execution_job() -> None:
    """Decide on the newest watchlist of the running session; the session loop sends what is approved."""
    decide_on_newest_snapshot()


JOBS = (session_replay_job, execution_job)
