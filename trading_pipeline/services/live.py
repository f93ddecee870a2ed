"""The running session: hosting its loop, and deciding on its newest watchlist."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from trading_pipeline.domain.errors import MissingResultError
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import LedgerTransaction
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.replay import TradingRoom
from trading_pipeline.services.session_loop import Progress, SessionLoop
from trading_pipeline.settings import Settings


def newest_snapshot(tx: LedgerTransaction, session: date, now: datetime, max_age: timedelta) -> ScanSnapshot:
    """The newest watchlist snapshot of the session; raises MissingResultError when there is none or it is too old."""
    known = [snapshot for snapshot in tx.snapshots(session) if snapshot.as_of <= now]
    if not known:
        raise MissingResultError(f"session {session} has no watchlist snapshot yet: nothing to decide on.")
    age = now - known[-1].as_of
    if age > max_age:
        raise MissingResultError(
            f"the newest watchlist snapshot of {session} is of {known[-1].as_of:%H:%M} UTC, {age} old; "
            f"at most {max_age} is allowed. Materialise sabr20_watchlist for {session} first."
        )
    return known[-1]


def decide_now(room: TradingRoom, settings: Settings, now: datetime) -> str:
    """Decide on the newest snapshot of the running session, when a Dagster job is the configured decider.

    Returns what happened, in words. The session loop sends what was approved.
    """
    if settings.execution.decider != "dagster_job":
        return "the session loop is the configured decider (execution.decider: loop); nothing decided here"
    loop = room.loop(room.session_of(now))
    with room.ledger.read() as tx:
        age = timedelta(minutes=settings.automation.max_snapshot_age_minutes)
        snapshot = newest_snapshot(tx, loop.times.session, now, age)
        symbols = [setup.symbol for setup in tx.setups(snapshot.snapshot_id) if setup.selected]
    decided = decide_on_snapshot(loop.desk, snapshot, loop.times, loop.feed.quotes(loop.times, now, symbols))
    return f"snapshot {snapshot.snapshot_id}: {decided}"


def run_live_session(
    room: TradingRoom,
    session: date,
    on_step: Progress | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> SessionRecord:
    """Run the session's loop on the room's clock, to the close or until a stop is requested."""
    loop: SessionLoop = room.loop(session, on_step)
    loop.stop_requested = stop_requested
    return loop.run()
