"""Comparing our record with the venue's, and what a difference leads to: an alarm, and a lock on its symbol.

A lock clears itself when its break clears. No pass invents anything: orders found at the venue are adopted with the
fills the venue reports, an end the venue confirms is taken over, and an entry of ours that works there after its end
here is cancelled; everything else is for a person to adjust.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby

from trading_pipeline.domain.control import Block, BlockKind
from trading_pipeline.domain.errors import MissingResultError, OutcomeUnknown
from trading_pipeline.domain.orders import EXTERNAL, TERMINAL, ExecType, OrdStatus
from trading_pipeline.domain.reconciliation import Break, BreakKind, Reconciliation, judged
from trading_pipeline.domain.submission import grows_exposure
from trading_pipeline.domain.trading_session import RiskEvent, SessionRecord
from trading_pipeline.ports import ClientIdScope, LedgerTransaction, VenueOrder
from trading_pipeline.services.adoption import adopt_orders
from trading_pipeline.services.care.asking import ask_cancel
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.doubt import end_lost_legs
from trading_pipeline.services.entries import digest
from trading_pipeline.services.local_reports import end_never_live, report_locally, settle_blocks
from trading_pipeline.services.venue_sides import Look, import_cash, look

BY = "reconcile"
"""Who sets and clears these blocks."""
TICK = timedelta(microseconds=1)
ENDS = {
    OrdStatus.FILLED: ExecType.CANCELED,  # open here with as many shares: a bust took some, and the rest is not working
    OrdStatus.CANCELED: ExecType.CANCELED,
    OrdStatus.EXPIRED: ExecType.EXPIRED,
    OrdStatus.REJECTED: ExecType.REJECTED,
    OrdStatus.REPLACED: ExecType.CANCELED,
}


@dataclass(slots=True)
class Reconciler:
    """Makes a pass when one is due: at once after a start or a reconnect, then as often as the rules say."""

    desk: Desk
    session: date
    _next_at: datetime | None = None

    def due(self, now: datetime) -> bool:
        """True when the next pass should be made; a suspicion is looked at again as soon as it can be confirmed."""
        return self._next_at is None or now >= self._next_at

    def reconnected(self) -> None:
        """The connection to the venue is new: a pass is due."""
        self._next_at = None

    def run(self) -> Reconciliation | None:
        """Make a pass, due or not; None when the venue gave no answer (the next one is due soon)."""
        is_first, rules = self._next_at is None, self.desk.rules.reconcile
        passed = reconcile(self.desk, self.session, importing=is_first)
        is_settled = passed is not None and not passed.suspected
        wait = rules.every_seconds if is_settled else rules.confirm_seconds
        if passed is not None or not is_first:
            self._next_at = self.desk.clock.now() + timedelta(seconds=wait)
        return passed

    def run_if_due(self) -> Reconciliation | None:
        """Make a pass when one is due."""
        return self.run() if self.due(self.desk.clock.now()) else None


def reconcile(desk: Desk, session: date, *, importing: bool = True) -> Reconciliation | None:
    """One pass, on record; None when the venue gave no answer: that is neither clean nor a break, and nothing is done.

    importing: ask for cash activities even when the cash agrees. Raises MissingResultError when the session was never
    started.
    """
    record = started(desk, session)
    try:
        if importing:
            import_cash(desk, record)
        end_lost_legs(desk)
        seen = look(desk, record)
        passed = _settle(desk, record, seen)
        adopt_orders(desk, record, _strangers(passed, seen))
        _withdraw(desk, passed, seen)
    except OutcomeUnknown:
        return None
    return passed


def started(desk: Desk, session: date) -> SessionRecord:
    """The session's record; raises MissingResultError when it was never started."""
    with desk.ledger.read() as tx:
        record = tx.session_record(desk.account, session)
    if record is None:
        raise MissingResultError(
            f"session {session} of account {desk.account} has not been started: there is no record to compare with the "
            f"venue. Start it: trading-pipeline session replay --session {session}"
        )
    return record


def _settle(desk: Desk, record: SessionRecord, seen: Look) -> Reconciliation:
    """Put the pass on record with all it leads to, in one transaction."""
    with desk.ledger.transaction() as tx:
        before, now = tx.last_reconciliation(desk.account), desk.clock.now()
        at = now if before is None or now > before.at else before.at + TICK
        confirmed, suspected = judged(seen.found, before, at, desk.rules.reconcile)
        passed = Reconciliation(
            account=desk.account, session=record.session, at=at, breaks=confirmed, suspected=suspected
        )
        if before is not None and before.at == now and replace(passed, at=now) == before:
            return before  # the same instant again, after a crash
        tx.add_reconciliation(passed)
        for one in confirmed:
            _alarm(desk, tx, record, one, at)
        _lock(tx, passed)
        _take_over_ends(desk, tx, seen, confirmed, at)
        _release_external(tx, passed)
        settle_blocks(desk, tx, at)
    return passed


# alarms and locks


def _alarm(desk: Desk, tx: LedgerTransaction, record: SessionRecord, one: Break, at: datetime) -> None:
    """Say a break that blocks once, however long it lasts."""
    event_id = digest("reconcile_break", desk.account, *one.identity, one.since.isoformat() if one.since else "")
    if not one.blocks or tx.risk_event(event_id) is not None:
        return
    data = {"break": one.kind.value, "symbol": one.symbol, "subject": one.subject}
    tx.add_risk_event(
        RiskEvent(
            event_id=event_id, account=desk.account, session=record.session, occurred_at=at, kind="reconcile_break",
            severity="CRITICAL",
            message=f"{one.words}. No entry leaves {_where(one.symbol)} until it clears. Look closer, and adjust the "
            "record if the venue is right: trading-pipeline reconcile",
            data={**data, "ours": one.ours, "theirs": one.theirs},
        )
    )  # fmt: skip


def _where(symbol: str) -> str:
    return f"in {symbol}" if symbol else "the account"


def _lock(tx: LedgerTransaction, passed: Reconciliation) -> None:
    """A block for every symbol with a confirmed break; those whose symbol has none any more, suspected ones included,
    are cleared."""
    kept = [one for one in tx.blocks(passed.account) if one.kind is BlockKind.RECONCILE_BREAK]
    broken = {symbol: list(found) for symbol, found in _by_symbol(passed.breaks)}
    doubtful = broken.keys() | {one.symbol for one in passed.suspected if one.blocks}
    for block in kept:
        if block.symbol not in doubtful:
            tx.clear_block(block.block_id, passed.at, BY)
    for symbol in broken.keys() - {block.symbol for block in kept}:
        reason = "; ".join(one.words for one in broken[symbol])
        _block(tx, passed, symbol, BlockKind.RECONCILE_BREAK, reason)


def _by_symbol(breaks: Sequence[Break]) -> Iterable[tuple[str, Iterable[Break]]]:
    blocking = sorted((one for one in breaks if one.blocks), key=lambda one: (one.symbol, one.identity))
    return groupby(blocking, key=lambda one: one.symbol)


def _block(tx: LedgerTransaction, passed: Reconciliation, symbol: str, kind: BlockKind, reason: str) -> None:
    block_id = digest(kind.value, passed.account, symbol, passed.at.isoformat())
    tx.add_block(
        Block(block_id=block_id, account=passed.account, symbol=symbol, kind=kind, reason=reason, since=passed.at)
    )


def _release_external(tx: LedgerTransaction, passed: Reconciliation) -> None:
    """A symbol in which others traded is free again once nothing of theirs works or is held."""
    standing = [one for one in tx.blocks(passed.account) if one.kind is BlockKind.EXTERNAL]
    if not standing:
        return
    theirs = {order.symbol for order in tx.open_orders(passed.account) if order.strategy == EXTERNAL}
    for position in tx.positions(passed.account):
        opener = tx.order(position.trade_id)
        if opener is None or opener.strategy == EXTERNAL:
            theirs.add(position.symbol)
    for block in standing:
        if block.symbol not in theirs:
            tx.clear_block(block.block_id, passed.at, BY)


# what the venue's own word settles


def _take_over_ends(desk: Desk, tx: LedgerTransaction, seen: Look, confirmed: Sequence[Break], at: datetime) -> None:
    """End an order the venue, asked by id, says has ended with the shares we have; its own report was lost.

    Only where a venue knows an id for ever. One it does not know at all is never ended by itself: a person closes it.
    """
    if desk.broker.capabilities.client_id_scope is not ClientIdScope.FOREVER:
        return
    differing = {one.subject for one in confirmed if one.kind is BreakKind.STATE_DIFFERS}
    for view in seen.orders:
        order = tx.order(view.client_order_id) if view.client_order_id in differing else None
        if order is None or not order.is_open or view.cum_qty != order.cum_qty or view.status not in ENDS:
            continue
        text = "the venue says so when asked; its report was lost"
        report_locally(tx, order, ENDS[view.status], text, at, venue_order_id=view.venue_order_id)
        end_never_live(tx, order, ENDS[view.status], at)


def _withdraw(desk: Desk, passed: Reconciliation, seen: Look) -> None:
    """Cancel entries of ours that work at the venue though they have ended here: a request that arrived too late."""
    differing = {one.subject for one in passed.breaks if one.kind is BreakKind.STATE_DIFFERS}
    working = {view.client_order_id for view in seen.orders if view.status not in TERMINAL}
    for order in seen.ours.orders:
        is_over = grows_exposure(order) and not order.is_open and order.strategy != EXTERNAL
        if is_over and order.client_order_id in differing & working:
            ask_cancel(desk, order)


def _strangers(passed: Reconciliation, seen: Look) -> list[VenueOrder]:
    """Orders at the venue that two passes have found and we have not."""
    confirmed = {one.subject for one in passed.breaks if one.kind is BreakKind.UNKNOWN_ORDER}
    return [order for order in seen.orders if order.client_order_id in confirmed]
