"""Acts with money: what the session loop writes, as external assets, and the jobs that run it."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from trading_pipeline.defs.checks import report_checks
from trading_pipeline.defs.metadata import record_schema, table
from trading_pipeline.defs.partitions import SESSIONS
from trading_pipeline.defs.resources import WorkspaceResource
from trading_pipeline.domain.orders import Fill, Order
from trading_pipeline.domain.positions import Position, Trade
from trading_pipeline.domain.risk import RiskDecision
from trading_pipeline.services.session_rows import TRADING_ASSETS, session_rows
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
def replay_sessions(context: dg.OpExecutionContext, config: ReplayConfig, workspace: WorkspaceResource) -> None:
    opened = workspace.open(context.run_id)
    first, last = date.fromisoformat(config.first), date.fromisoformat(config.last or config.first)
    for replayed in opened.replay(first, last):
        session = replayed.record.session
        context.log.info("session %s: decision log %s", session, replayed.record.decision_hash)
        if replayed.unverifiable:
            context.log.warning("%s", replayed.unverifiable)
        elif not replayed.verified:
            report_session(context, opened, session)


@dg.op(description="Host today's session loop on the real clock: guard positions, decide, dispatch, record.")
def host_session_loop(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    opened = workspace.open(context.run_id)
    session = opened.calendar.session_of(opened.clock.now())
    record = opened.host(session)
    context.log.info("session %s is %s; decision log %s", session, record.phase.value, record.decision_hash or "-")
    report_session(context, opened, session)


@dg.op(description="Decide on the newest watchlist snapshot of the running session and write intents; sends nothing.")
def decide_on_newest_snapshot(context: dg.OpExecutionContext, workspace: WorkspaceResource) -> None:
    context.log.info("%s", workspace.open(context.run_id).decide())


def report_session(context: dg.OpExecutionContext, workspace: Workspace, session: date) -> None:
    """Log one materialisation per trading asset for the session, with the rows it holds, and the checks on them."""
    with workspace.ledger.read() as tx:
        rows = {name: session_rows(tx, workspace.settings.execution.account, session, name) for name in TRADING_ASSETS}
    for name, found in rows.items():
        context.log_event(
            dg.AssetMaterialization(
                asset_key=name,
                partition=session.isoformat(),
                metadata={"dagster/row_count": len(found), "rows": table(found)},
                tags={"session": session.isoformat(), "config_hash": workspace.provenance.config_hash[:12]},
            )
        )
    report_checks(context, workspace.research, session, "positions", "trades")


ACTS, NO_RETRY = "trading_pipeline/acts", {"dagster/max_retries": "0"}
"""Jobs that act with money are never retried, and the queue runs one of each kind at a time (dagster.yaml)."""


@dg.job(tags={ACTS: "trade", **NO_RETRY}, executor_def=dg.in_process_executor)
def session_replay_job() -> None:
    """Trade stored sessions on an accelerated clock; a session already on record is verified instead."""
    replay_sessions()


@dg.job(tags={ACTS: "trade", **NO_RETRY}, executor_def=dg.in_process_executor)
def position_monitoring_job() -> None:
    """Host today's session loop from before the open to the close."""
    host_session_loop()


@dg.job(tags={ACTS: "decide", **NO_RETRY}, executor_def=dg.in_process_executor)
def execution_job() -> None:
    """Decide on the newest watchlist of the running session; the session loop sends what is approved."""
    decide_on_newest_snapshot()
