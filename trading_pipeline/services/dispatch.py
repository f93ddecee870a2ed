"""Sending what was decided: claim, the last look, then the socket; an unknown outcome is looked up, never assumed.

What may not leave: an entry while trading is not ACTIVE is canceled here, before it was sent, and never leaves later;
an entry in a blocked symbol waits for the block to clear until it expires. Sells and cancels always leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import (
    AnyRequest,
    BracketRequest,
    ExecType,
    Leg,
    OcoRequest,
    Order,
    OrderRequest,
    OrdStatus,
)
from trading_pipeline.domain.submission import barrier, grows_exposure
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.doubt import Verdict, look_for
from trading_pipeline.services.local_reports import (
    acknowledge,
    end_all_locally,
    end_locally,
    give_up_looking,
    put_in_doubt,
    settle_blocks,
)
from trading_pipeline.services.runaway import halt_a_runaway, watch_the_border
from trading_pipeline.services.trading_state import current_state


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What became of the orders that were due. held: not allowed out now; canceled: not allowed out any more."""

    sent: int = 0
    refused: int = 0
    in_doubt: int = 0
    expired: int = 0
    held: int = 0
    canceled: int = 0

    def __add__(self, other: Dispatched) -> Dispatched:
        return Dispatched(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


SENT, REFUSED, IN_DOUBT = Dispatched(sent=1), Dispatched(refused=1), Dispatched(in_doubt=1)
EXPIRED, HELD, CANCELED = Dispatched(expired=1), Dispatched(held=1), Dispatched(canceled=1)
NOTHING = Dispatched()


def dispatch_due(desk: Desk, *, sells_only: bool = False) -> Dispatched:
    """Send every order that is due: sells first, then what is in doubt, then entries, oldest first.

    Each is claimed before it leaves. One claimed before a crash, and one in doubt, is looked up at the venue: it is
    sent under the same id only when it never arrived and has not outlived its time. Buys stay when `sells_only`.
    Raises LeaseLost, having sent nothing more, once this process no longer leads.
    """
    desk.require_lead()
    due = _due(desk)
    outcome = NOTHING
    for order in [order for order in due if not grows_exposure(order)]:
        outcome += _dispatch(desk, order)
    if not sells_only:
        outcome += _dispatch_entries(desk, [order for order in due if grows_exposure(order)])
    failed = max(order.session for order in due) if outcome.refused + outcome.in_doubt else None
    watch_the_border(desk, failed)
    return outcome


def _due(desk: Desk) -> list[Order]:
    with desk.ledger.read() as tx:
        doubted = [order for order in tx.open_orders(desk.account) if order.status is OrdStatus.IN_DOUBT]
        due = [order for order in (*doubted, *tx.unsent_orders(desk.account)) if order.parent_id is None]
        is_blocked = bool(tx.blocks(desk.account))
    if is_blocked:
        with desk.ledger.transaction() as tx:
            settle_blocks(desk, tx, desk.clock.now())
    return due


def _dispatch_entries(desk: Desk, entries: Sequence[Order]) -> Dispatched:
    """Entries that are too late, or meet a halt, end together; the rest leave one by one."""
    now = desk.clock.now()
    fresh = [order for order in entries if order.submitted_at is None]
    late = [order for order in fresh if _has_expired(order, now)]
    if late:
        end_all_locally(desk, late, ExecType.EXPIRED, "expired before it was sent", now)
    waiting = [order for order in fresh if not _has_expired(order, now)]
    halt_a_runaway(desk, waiting)
    halted = _halted(desk) if waiting else ""
    if halted:
        end_all_locally(desk, waiting, ExecType.CANCELED, f"not sent: {halted}", now)
        waiting = []
    outcome = Dispatched(expired=len(late), canceled=len(fresh) - len(late) - len(waiting))
    for order in [order for order in entries if order.submitted_at is not None] + waiting:
        outcome += _dispatch(desk, order)
    return outcome


def _halted(desk: Desk) -> str:
    with desk.ledger.read() as tx:
        state = current_state(tx, desk.account)
    return "" if state.allows_entries else f"trading is {state.value}"


def _has_expired(order: Order, now: datetime) -> bool:
    return order.expires_at is not None and now >= order.expires_at


def _dispatch(desk: Desk, order: Order) -> Dispatched:
    if order.submitted_at is not None:
        return _resolve(desk, order)
    if _barrier(desk, order):
        return HELD
    take_turn(desk, order)  # a wait belongs before the claim and before the last look, never behind them
    if not _claim(desk, order):
        return _resolve(desk, order)
    return _send(desk, order, is_first=True)


def _claim(desk: Desk, order: Order) -> bool:
    """Make the sending ours, on record, before anything leaves; the instant is that of the claim."""
    owner, fence = (desk.lease.holder, desk.lease.token) if desk.lease else ("loop", 0)
    with desk.ledger.transaction() as tx:
        if not tx.claim_order(order.client_order_id, owner, fence):
            return False
        current = tx.order(order.client_order_id) or order
        tx.save_order(replace(current, submitted_at=desk.clock.now()))
    return True


def take_turn(desk: Desk, order: Order) -> None:
    """Wait for the order's turn at the border."""
    if desk.border is None:
        return
    if not grows_exposure(order):
        desk.border.pacer.protection()
        return
    with desk.ledger.read() as tx:
        left = [o.submitted_at for o in tx.orders(desk.account, order.session) if o.submitted_at and grows_exposure(o)]
    desk.border.pacer.seed(left)
    desk.border.pacer.entry()


def _resolve(desk: Desk, order: Order) -> Dispatched:
    """What was claimed earlier and never acknowledged: it may be at the venue."""
    verdict = look_for(desk, order)
    now = desk.clock.now()
    if verdict is Verdict.UNKNOWABLE:
        give_up_looking(desk, order, now)
    if verdict is not Verdict.NEVER_ARRIVED:
        return NOTHING if verdict is Verdict.FOUND else IN_DOUBT
    if _has_expired(order, now):
        end_locally(desk, order, ExecType.EXPIRED, "it never arrived, and expired", now)
        return EXPIRED
    take_turn(desk, order)
    return _send(desk, order, is_first=False)


def _barrier(desk: Desk, order: Order) -> str:
    if not grows_exposure(order):
        return ""
    with desk.ledger.read() as tx:
        return barrier(order, current_state(tx, desk.account), tx.blocks(desk.account, symbol=order.symbol))


def _send(desk: Desk, order: Order, *, is_first: bool) -> Dispatched:
    """The last look, then the socket, with nothing in between."""
    with desk.ledger.read() as tx:
        request = request_of(order, {leg.leg: leg for leg in tx.children(order.client_order_id)})
    stopped = _barrier(desk, order)
    if stopped:
        return _not_sent(desk, order, stopped, is_first=is_first)
    now = desk.clock.now()
    if _has_expired(order, now):  # it had to wait for its turn
        end_locally(desk, order, ExecType.EXPIRED, "expired before it was sent", now)
        return EXPIRED
    desk.require_lead()
    return _cross(desk, order, request)


def _not_sent(desk: Desk, order: Order, why: str, *, is_first: bool) -> Dispatched:
    """A first sending that was stopped is over: nothing left. A doubt stays, to be looked at again."""
    if not is_first:
        return HELD
    end_locally(desk, order, ExecType.CANCELED, f"not sent: {why}", desk.clock.now())
    return CANCELED


def _cross(desk: Desk, order: Order, request: AnyRequest) -> Dispatched:
    try:
        venue_order_id = desk.broker.submit(request)
    except OrderRefused as refusal:
        end_locally(desk, order, ExecType.REJECTED, str(refusal), desk.clock.now())
        return REFUSED
    except OutcomeUnknown as doubt:
        put_in_doubt(desk, order, str(doubt), desk.clock.now())
        return IN_DOUBT
    acknowledge(desk, order, venue_order_id, desk.clock.now())
    return SENT


def request_of(order: Order, legs: dict[Leg, Order]) -> AnyRequest:
    """What is sent for an order and the legs that hang on it: a bracket, an OCO (under its stop), or the order."""
    target = to_request(legs[Leg.TARGET]) if Leg.TARGET in legs else None
    if Leg.STOP in legs:
        return BracketRequest(entry=to_request(order), stop=to_request(legs[Leg.STOP]), target=target)
    return to_request(order) if target is None else OcoRequest(stop=to_request(order), target=target)


def to_request(order: Order) -> OrderRequest:
    """The part of an order a venue needs."""
    return OrderRequest(
        client_order_id=order.client_order_id, symbol=order.symbol, side=order.side, order_type=order.order_type,
        quantity=order.quantity, leg=order.leg, limit_price=order.limit_price, stop_price=order.stop_price,
        time_in_force=order.time_in_force, trail_amount=order.trail_amount,
    )  # fmt: skip
