"""execute: turn a table of signals into orders, in two phases."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from trading_pipeline.cli.context import LATEST, JsonOption, chosen_session, workspace_of
from trading_pipeline.cli.output import print_json, print_table, say
from trading_pipeline.cli.sessions import require_bars, research_missing
from trading_pipeline.cli.show import parse_instant
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.services.decision_log import as_json as json_of
from trading_pipeline.services.execution_summary import ExecutionRow, ExecutionSummary
from trading_pipeline.services.executions import tell_running_session
from trading_pipeline.wiring import Workspace

COLUMNS = ("symbol", "strength", "held", "target", "change", "phase", "status", "filled", "why")


def execute(
    context: typer.Context,
    signals: Annotated[Path, typer.Option("--signals", help="CSV or JSON: symbol, strength from -1 to 1 [, as_of]")],
    session: Annotated[str, typer.Option("--session", help="Session date (YYYY-MM-DD), or: latest")] = LATEST,
    at: Annotated[
        str | None, typer.Option("--at", help="Instant (ISO, or HH:MM in New York). Default: the first for entries")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Trade a fresh account and record nothing")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn signals into orders: all sells first, then, once they are filled or time is up, the buys they free.

    A stored session is run from where it stands until the orders are done, and stays open. In the session that runs
    now the signals are put on record, and its loop executes them in its next step.
    """
    workspace = workspace_of(context)
    day = chosen_session(workspace, session)
    provider = workspace.signals_in(signals)
    if not dry_run and _is_running(workspace, day):
        if at:
            raise InputError(f"session {day} runs now: signals are executed at once. Leave --at out, or try --dry-run.")
        _tell_running(tell_running_session(workspace.research, provider, day), day, as_json=as_json)
        return
    require_bars(workspace, [day])
    with workspace.exclusive("trading"):
        research_missing(workspace, [day], dry_run=dry_run)
    instant = parse_instant(at, day) if at else None
    done = workspace.execute(provider, day, instant, dry_run=dry_run)
    if as_json:
        print_json({"session": day.isoformat(), "dry_run": dry_run, **json_of(done)})
    else:
        _show(workspace, day, done, dry_run=dry_run)


def _tell_running(told: ScanSnapshot, day: date, *, as_json: bool) -> None:
    if as_json:
        print_json({"session": day.isoformat(), "on_record": told.snapshot_id, "signals": told.scored})
        return
    say(f"{told.scored} signals are on record as {told.snapshot_id}; the session's loop executes them next.")
    say(f"Next: trading-pipeline orders --session {day}")


def _is_running(workspace: Workspace, day: date) -> bool:
    times = workspace.calendar.times(day)
    return times.opens_at <= workspace.clock.now() < times.closes_at


def _show(workspace: Workspace, day: date, done: ExecutionSummary, *, dry_run: bool) -> None:
    account = "a fresh account, nothing recorded" if dry_run else f"account {workspace.settings.execution.account}"
    say(f"signals of {done.source} as of {done.as_of:%Y-%m-%d %H:%M} UTC in session {day} ({account})")
    print_table(COLUMNS, [_row(row) for row in done.rows], empty="no signals")
    if done.left_out:
        say(f"  and {done.left_out} more without an order")
    if done.holding:
        say(_holding(done))
        return
    say(
        f"{done.orders_submitted} orders submitted, {done.orders_filled} filled, {done.rejected} rejected, "
        f"{done.denied} denied, {done.skipped} skipped, {done.refused} refused"
    )
    if not dry_run:
        say(f"\nThe session stays open. Go on: trading-pipeline session replay --session {day}")


def _holding(done: ExecutionSummary) -> str:
    """Why there are no orders; a refused signal does not match its target, and is not told as if it did."""
    others = len(done.rows) + done.left_out - done.refused
    if not done.refused:
        return "holding: positions already match their targets, no orders"
    return f"no orders: {done.refused} refused, as stands above; {others} positions already match their targets"


def _row(row: ExecutionRow) -> tuple[object, ...]:
    return (
        row.symbol, f"{row.strength:+.2f}", plain(row.held), plain(row.target), plain(row.change), row.phase,
        row.status, plain(row.filled), row.reason,
    )  # fmt: skip
