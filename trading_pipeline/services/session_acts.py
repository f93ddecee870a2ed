"""What people do to an account while a session runs: its loop notes it at its own instant, a replay does it again then.

An operator's clock and the instants of a session are two things (a stored session runs in seconds), so what counts is
when the loop saw it. Requests to close a position carry their own instant and are copied as they are (care/requests).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading_pipeline.domain.audit import MODE_CHANGED
from trading_pipeline.domain.control import BlockKind, TradingState, TradingStateRecord
from trading_pipeline.domain.trading_session import RiskEvent, SessionRecord
from trading_pipeline.ports import Ledger, LedgerTransaction
from trading_pipeline.services.book import REARMED
from trading_pipeline.services.breaker import BEGAN, ENDED
from trading_pipeline.services.care.requests import REQUESTED
from trading_pipeline.services.condition_watch import begin, end
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import digest
from trading_pipeline.services.keeping_back import do_again
from trading_pipeline.services.modes.noting import SUGGESTED, take_terms
from trading_pipeline.services.modes.terms import TERMS_SEEN
from trading_pipeline.services.readiness import OF_THE_HOST, SELF_TEST, START_UP, TURN
from trading_pipeline.services.trading_state import STATE_SEEN, is_of_a_rule, tripped_by

BY_PEOPLE = frozenset({REQUESTED, REARMED})
OF_THE_MODE = frozenset({TERMS_SEEN, MODE_CHANGED, SUGGESTED})
UNSEEN = frozenset({STATE_SEEN, REARMED, BEGAN, ENDED, START_UP, SELF_TEST, *OF_THE_MODE})
"""What a replay cannot come to by itself: people's words, what only a running clock shows, start-ups, modes."""


def note_trading_state(
    desk: Desk, record: SessionRecord, known: TradingStateRecord | None
) -> TradingStateRecord | None:
    """Put on record, at the loop's instant, a state it was given since it saw `known`; returns the present one.

    What a rule of this session has set needs no note: a replay comes to it by itself.
    """
    with desk.ledger.read() as tx:
        current = tx.trading_state(desk.account)
        if current is None or current == known or _is_told(tx, record, current):
            return current
    event = _seen(record, current, desk.clock.now())
    with desk.ledger.transaction() as tx:
        if tx.risk_event(event.event_id) is None:
            tx.add_risk_event(event)
    return current


def _is_told(tx: LedgerTransaction, record: SessionRecord, current: TradingStateRecord) -> bool:
    """True when the session has it on record already, or was ACTIVE from the start."""
    by_rule = tripped_by(tx, current)
    if by_rule is not None and by_rule.session == record.session:
        return True
    told = tx.risk_events(record.account, record.session) if current.state.allows_entries else ()
    return current.state.allows_entries and not any(one.kind == STATE_SEEN or is_of_a_rule(one) for one in told)


def _seen(record: SessionRecord, current: TradingStateRecord, now: datetime) -> RiskEvent:
    changed_at = current.changed_at.isoformat()
    return RiskEvent(
        event_id=digest(STATE_SEEN, record.account, record.session.isoformat(), current.state.value, changed_at),
        account=record.account, session=record.session, occurred_at=now, kind=STATE_SEEN, severity="INFO",
        message=f"trading is {current.state.value} ({current.set_by}: {current.reason})",
        data={
            "state": current.state.value, "reason": current.reason, "set_by": current.set_by, "changed_at": changed_at,
            **({"flattens": "yes"} if current.flattens else {}),
        },
    )  # fmt: skip


@dataclass(slots=True)
class RecordedActs:
    """What people did in a recorded session, and the rounds between bars in which its loop acted."""

    acts: tuple[RiskEvent, ...]
    rounds: tuple[datetime, ...]
    done: int = 0

    def repeat(self, desk: Desk) -> None:
        """Do again what was done by the desk's instant."""
        now = desk.clock.now()
        due = [act for act in self.acts[self.done :] if act.occurred_at <= now]
        for act in due:
            with desk.ledger.transaction() as tx:
                _do_again(tx, act)
        self.done += len(due)

    def rounds_between(self, since: datetime, until: datetime, every: timedelta) -> list[datetime]:
        """Rounds the recorded loop made in between, both ends left out; they are a multiple of `every` apart."""
        return [at for at in self.rounds if since < at < until and (at - since) % every == timedelta(0)]


def recorded_acts(source: Ledger, record: SessionRecord) -> RecordedActs:
    """Read them from the ledger of the recorded session."""
    with source.read() as tx:
        events = tx.risk_events(record.account, record.session)
        orders = tx.orders(record.account, record.session)
        told = [report.occurred_at for order in orders for report in tx.reports(order.client_order_id)]
    acts = sorted(
        (one for one in events if one.kind in UNSEEN), key=lambda one: (one.occurred_at, one.data.get(TURN, ""))
    )
    rounds = {one.occurred_at for one in events if one.kind not in BY_PEOPLE | OF_THE_HOST}
    return RecordedActs(tuple(acts), tuple(sorted(rounds | {order.created_at for order in orders} | set(told))))


def carry_over(source: Ledger, target: Ledger, record: SessionRecord, before: SessionRecord | None) -> None:
    """Bring another ledger to where people had left the account when the session opened.

    before: the session that the other ledger has run last; None for the first.
    """
    with source.read() as tx:
        is_seen_at_open = any(
            one.kind == STATE_SEEN and one.occurred_at <= record.started_at
            for one in tx.risk_events(record.account, record.session)
        )
        standing = [] if before else [one for one in tx.blocks(record.account) if one.since < record.started_at]
        later = tx.risk_events(record.account, before.session) if before else ()
    with target.transaction() as tx:
        for block in standing:
            tx.add_block(block)
        for act in later:
            if act.kind == REARMED:
                _lift(tx, act)
        state = tx.trading_state(record.account)
        if state is not None and not state.state.allows_entries and not is_seen_at_open:
            tx.set_trading_state(
                TradingStateRecord(
                    account=record.account, state=TradingState.ACTIVE, reason="resumed before the session",
                    set_by="replay", changed_at=record.started_at,
                )
            )  # fmt: skip


def _do_again(tx: LedgerTransaction, act: RiskEvent) -> None:
    if act.kind == REARMED:
        _lift(tx, act)
        tx.add_risk_event(act)
        return
    if act.kind in OF_THE_HOST:
        do_again(tx, act)
        return
    if act.kind in OF_THE_MODE:
        take_terms(tx, act)
        return
    if act.kind in {BEGAN, ENDED}:
        (begin if act.kind == BEGAN else end)(tx, act)
        return
    tx.set_trading_state(
        TradingStateRecord(
            account=act.account, state=TradingState(act.data["state"]), reason=act.data["reason"],
            set_by=act.data["set_by"], changed_at=datetime.fromisoformat(act.data["changed_at"]),
            flattens=act.data.get("flattens") == "yes",
        )
    )  # fmt: skip


def _lift(tx: LedgerTransaction, act: RiskEvent) -> None:
    """End the blocks that a person has ended."""
    for block in _latched(tx, act):
        tx.clear_block(block, act.occurred_at, act.data["operator"])


def _latched(tx: LedgerTransaction, act: RiskEvent) -> Iterable[str]:
    standing = tx.blocks(act.account, symbol=act.data["symbol"])
    return [one.block_id for one in standing if one.kind is BlockKind.REPEATED_EXECUTION and one.symbol]
