"""Executing a set of signals when asked to: at an instant of a stored session, or into the running one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import Quote, SessionTimes
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.trading_session import SessionPhase
from trading_pipeline.ports import LedgerTransaction, SignalProvider
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.execution_summary import ExecutionSummary, summary_of
from trading_pipeline.services.rebalance import advance, desk_of, is_over
from trading_pipeline.services.research_desk import ResearchDesk
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline.services.signals import GivenSignals, record_signals


def execute_signals(
    desk: Desk,
    research: ResearchDesk,
    times: SessionTimes,
    strengths: Mapping[str, float],
    prices: Mapping[str, Decimal],
) -> ExecutionSummary:
    """Decide on strengths in [-1, 1] by symbol at the given prices (USD per share), now, in a session that runs.

    Sells are written at once, buys too where no sell is waited for; the session loop sends them and carries the rest
    on. The same strengths at the same instant change nothing. Raises SignalsError for rows of no use.
    """
    now = desk.clock.now()
    provider = GivenSignals(strengths, desk.rules.rebalance.max_rows)
    snapshot = record_signals(research, provider, times.session, now)
    advance(desk, snapshot, times, lambda symbols: {s: Quote(s, prices[s], now) for s in symbols if s in prices})
    with desk.ledger.read() as tx:
        return summary_of(desk, tx, snapshot)


def run_execution(
    loop: SessionLoop, research: ResearchDesk, provider: SignalProvider, at: datetime | None
) -> ExecutionSummary:
    """Record the signals known at an instant of the loop's session and run it until they are executed.

    at: None for the first instant at which entries are allowed; in a session under way no earlier than its next step.
    The session stays open. Raises InputError when it is closed or the instant is past, and what the provider raises.
    """
    desk, session = loop.desk, loop.times.session
    instant = _instant(loop, at)
    snapshot = record_signals(research, provider, session, instant)
    loop.stop_requested = lambda: desk.clock.now() > instant and _is_done(desk, snapshot)
    loop.run()
    with desk.ledger.read() as tx:
        return summary_of(desk, tx, snapshot)


def _instant(loop: SessionLoop, at: datetime | None) -> datetime:
    """The end of the base bar at which the loop decides: the first one not before `at`."""
    times, rules = loop.times, loop.desk.rules
    with loop.desk.ledger.read() as tx:
        record = tx.session_record(loop.desk.account, times.session)
    if record is not None and record.phase is SessionPhase.CLOSED:
        raise InputError(
            f"session {times.session} of account {record.account} is closed, its record is final. Execute in a later "
            f"session, or try it in a fresh account: --dry-run"
        )
    wanted = at or times.opens_at + timedelta(minutes=rules.entry_open_delay_minutes)
    done = record.cursor_at if record is not None else None
    if at is not None and done is not None and at <= done:
        raise InputError(f"{at.isoformat()} is past: the session stands at {done.isoformat()}. Leave --at away.")
    ends = [end for end in loop.feed.bar_ends(times) if end >= wanted and (done is None or end > done)]
    if len(ends) < 3:
        raise InputError(
            f"{wanted.isoformat()} leaves no time to trade: session {times.session} closes at "
            f"{times.closes_at.isoformat()}. Choose an earlier instant."
        )
    return ends[0]


def _is_done(desk: Desk, snapshot: ScanSnapshot) -> bool:
    """True when nothing more will be decided and no order of the execution is working."""
    with desk.ledger.read() as tx:
        return is_over(desk_of(desk, snapshot), tx, snapshot) and not _working(desk, tx, snapshot)


def _working(desk: Desk, tx: LedgerTransaction, snapshot: ScanSnapshot) -> bool:
    return any(
        order.leg is Leg.EXIT or (order.leg is Leg.ENTRY and order.strategy == snapshot.source)
        for order in tx.open_orders(desk.account)
    )


def tell_running_session(research: ResearchDesk, provider: SignalProvider, session: date) -> ScanSnapshot:
    """Put signals on record in the session that runs now: its loop executes them in its next step."""
    return record_signals(research, provider, session, research.clock.now())
