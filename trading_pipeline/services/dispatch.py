"""Sending what was decided: claim, the last look, then the socket; an unknown outcome is looked up, never assumed.

What may not leave: an entry while trading is not ACTIVE is canceled here, before it was sent, and never leaves later;
an entry in a blocked symbol waits for the block to clear until it expires. Sells and cancels always leave.
"""

from __future__ import annotations

from collections.abc import Sequence

from trading_pipeline.domain.control import BlockKind, strictest
from trading_pipeline.domain.orders import ExecType, Order, OrdStatus
from trading_pipeline.domain.submission import grows_exposure
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.doubt import Verdict, look_for
from trading_pipeline.services.latch import look_at
from trading_pipeline.services.local_reports import end_all_locally, end_locally, give_up_looking, settle_blocks
from trading_pipeline.services.runaway import halt_a_runaway, watch_the_border
from trading_pipeline.services.sending import (
    EXPIRED,
    HELD,
    IN_DOUBT,
    NOTHING,
    Dispatched,
    Stretch,
    has_expired,
    request_of,
    send_again,
    send_in_rounds,
    to_request,
)
from trading_pipeline.services.trading_state import current_state

__all__ = ["NOTHING", "Dispatched", "dispatch_due", "request_of", "to_request"]


def dispatch_due(desk: Desk, *, sells_only: bool = False) -> Dispatched:
    """Send every order that is due: sells first, then entries; of both first what was claimed before, oldest first.

    Each is claimed before it leaves. One claimed before a crash, and one in doubt, is looked up at the venue: it is
    sent under the same id only when it never arrived and has not outlived its time. Buys stay when `sells_only`.
    Raises LeaseLost, having sent nothing more, once this process no longer leads.
    """
    desk.require_lead()
    due = _due(desk)
    outcome = _dispatch(desk, [order for order in due if not grows_exposure(order)])
    if not sells_only:
        outcome += _dispatch_entries(desk, [order for order in due if grows_exposure(order)])
    failed = max(order.session for order in due) if outcome.refused + outcome.in_doubt else None
    watch_the_border(desk, failed)
    return outcome


def _due(desk: Desk) -> list[Order]:
    """What is in doubt, then what was not acknowledged; the blocks of doubts that others have ended are lifted."""
    with desk.ledger.read() as tx:
        due = tx.due_orders(desk.account)
        is_blocked = any(block.kind is BlockKind.IN_DOUBT for block in tx.blocks(desk.account))
    if is_blocked:
        with desk.ledger.transaction() as tx:
            settle_blocks(desk, tx, desk.clock.now())
    return sorted(due, key=lambda order: order.status is not OrdStatus.IN_DOUBT)


def _dispatch_entries(desk: Desk, entries: Sequence[Order]) -> Dispatched:
    """Entries that are too late, or meet a halt, end together; the rest leave."""
    now = desk.clock.now()
    fresh = [order for order in entries if order.submitted_at is None]
    late = [order for order in fresh if has_expired(order, now)]
    if late:
        end_all_locally(desk, late, ExecType.EXPIRED, "expired before it was sent", now)
    waiting = [order for order in fresh if not has_expired(order, now)]
    halt_a_runaway(desk, waiting)
    halted = _halted(desk) if waiting else ""
    if halted:
        end_all_locally(desk, waiting, ExecType.CANCELED, f"not sent: {halted}", now)
        waiting = []
    outcome = Dispatched(expired=len(late), canceled=len(fresh) - len(late) - len(waiting))
    return outcome + _dispatch(desk, [order for order in entries if order.submitted_at is not None] + waiting)


def _halted(desk: Desk) -> str:
    with desk.ledger.read() as tx:
        state = strictest(current_state(tx, desk.account), look_at(desk.latch).state)
    return "" if state.allows_entries else f"trading is {state.value}"


def _dispatch(desk: Desk, orders: Sequence[Order]) -> Dispatched:
    """Orders of one direction: what was claimed before is resolved one by one, then the others leave in rounds."""
    outcome, stretch = NOTHING, Stretch.of(desk)
    for order in [order for order in orders if order.submitted_at is not None]:
        outcome += HELD if stretch.is_over(order) else _resolve(desk, order)
    return outcome + send_in_rounds(desk, [order for order in orders if order.submitted_at is None], stretch)


def _resolve(desk: Desk, order: Order) -> Dispatched:
    """What was claimed earlier and never acknowledged: it may be at the venue."""
    verdict = look_for(desk, order)
    now = desk.clock.now()
    if verdict is Verdict.UNKNOWABLE:
        give_up_looking(desk, order, now)
    if verdict is not Verdict.NEVER_ARRIVED:
        return NOTHING if verdict is Verdict.FOUND else IN_DOUBT
    if has_expired(order, now):
        end_locally(desk, order, ExecType.EXPIRED, "it never arrived, and expired", now)
        return EXPIRED
    return send_again(desk, order)
