"""The running session: hosting its loop, and deciding on its newest watchlist."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta

from trading_pipeline.domain.errors import MissingResultError, OrderRefused, OutcomeUnknown
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import BarFeed, LedgerTransaction
from trading_pipeline.services.desk import Desk, Provenance, snapshots_of
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.session_loop import SessionLoop

log = logging.getLogger(__name__)


def newest_snapshot(
    tx: LedgerTransaction, session: date, now: datetime, max_age: timedelta, *, origin: Provenance
) -> ScanSnapshot:
    """The newest watchlist snapshot of the session made under `origin` (code and configuration).

    Raises MissingResultError when there is none or it is too old.
    """
    known = [snapshot for snapshot in snapshots_of(origin, tx, session) if snapshot.as_of <= now]
    if not known:
        raise MissingResultError(
            f"session {session} has no watchlist snapshot yet (of this code and configuration): nothing to decide "
            f"on. Materialise the research of {session}."
        )
    age = now - known[-1].as_of
    if age > max_age:
        raise MissingResultError(
            f"the newest watchlist snapshot of {session} is of {known[-1].as_of:%H:%M} UTC, {age} old; "
            f"at most {max_age} is allowed. Materialise sabr20_watchlist for {session} first."
        )
    return known[-1]


def decide_now(desk: Desk, feed: BarFeed, times: SessionTimes, max_age: timedelta) -> str:
    """Decide on the newest snapshot of the running session, when a Dagster job is the configured decider.

    Reads and writes the ledger and reads bars; never speaks to a venue. Returns what happened, in words.
    The session loop sends what was approved. Raises MissingResultError when no snapshot is recent enough.
    """
    if desk.rules.decider != "dagster_job":
        return "the session loop is the configured decider (execution.decider: loop); nothing decided here"
    now = desk.clock.now()
    with desk.ledger.read() as tx:
        snapshot = newest_snapshot(tx, times.session, now, max_age, origin=desk.provenance)
        symbols = [setup.symbol for setup in tx.setups(snapshot.snapshot_id) if setup.selected]
    decided = decide_on_snapshot(desk, snapshot, times, feed.quotes(times, now, symbols))
    return (
        f"snapshot {snapshot.snapshot_id}: {decided.planned} planned, {decided.approved} approved, "
        f"{decided.refused} refused, {decided.skipped} decided before"
    )


def run_live_session(loop: SessionLoop) -> SessionRecord:
    """Run a session's loop to the close or until a stop is requested."""
    announce(loop.desk)
    return loop.run()


def announce(desk: Desk) -> None:
    """Show the venue the leader's fencing token before anything else: from then on it hears no earlier leader.

    A cancel of an order that never was carries it there and does nothing else.
    """
    if desk.lease is not None:
        try:
            desk.broker.cancel(f"leader-{desk.lease.token}")
        except (OrderRefused, OutcomeUnknown) as answer:
            log.debug("announced fencing token %d: %s", desk.lease.token, answer)
