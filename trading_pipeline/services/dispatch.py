"""Sending what was decided: claim, then the socket; an unknown outcome is looked up, never assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.order_states import advance
from trading_pipeline.domain.orders import (
    BracketRequest,
    ExecType,
    ExecutionReport,
    Leg,
    Order,
    OrderRequest,
    OrdStatus,
    Side,
)
from trading_pipeline.services.desk import Desk

LOCAL = "local"
"""Broker name of reports we make ourselves: refusals heard in person, and entries that expired unsent."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What became of the orders that were due."""

    sent: int = 0
    refused: int = 0
    in_doubt: int = 0
    expired: int = 0


def dispatch_due(desk: Desk, *, owner: str = "loop", fence: int = 0, sells_only: bool = False) -> Dispatched:
    """Send every order that is due, oldest first; each is claimed before it leaves. Buys stay when `sells_only`.

    One claimed before a crash, and one in doubt, is looked up at the venue: it is sent under the same id only when
    it never arrived and has not outlived its time.
    """
    with desk.ledger.read() as tx:
        doubted = [order for order in tx.open_orders(desk.account) if order.status is OrdStatus.IN_DOUBT]
        due = [order for order in (*doubted, *tx.unsent_orders(desk.account)) if order.parent_id is None]
    if sells_only:
        due = [order for order in due if order.side is Side.SELL]
    outcome = Dispatched()
    for order in due:
        outcome = _dispatch(desk, order, owner, fence, outcome)
    return outcome


def _dispatch(desk: Desk, order: Order, owner: str, fence: int, outcome: Dispatched) -> Dispatched:
    now = desk.clock.now()
    with desk.ledger.transaction() as tx:
        claimed = tx.claim_order(order.client_order_id, owner, fence)
        children = {leg.leg: leg for leg in tx.children(order.client_order_id)}
    try:
        if not claimed and desk.broker.order(order.client_order_id) is not None:
            _adopt(desk, order, now)
            return outcome
        if order.expires_at is not None and now >= order.expires_at:
            end_locally(desk, order, ExecType.EXPIRED, "expired before it was sent", now)
            return replace(outcome, expired=outcome.expired + 1)
        desk.broker.submit(_request(order, children))
    except OrderRefused as refusal:
        end_locally(desk, order, ExecType.REJECTED, str(refusal), now)
        return replace(outcome, refused=outcome.refused + 1)
    except OutcomeUnknown as doubt:
        _mark_in_doubt(desk, order, str(doubt), now)
        return replace(outcome, in_doubt=outcome.in_doubt + 1)
    return replace(outcome, sent=outcome.sent + 1)


def _request(order: Order, children: dict[Leg, Order]) -> OrderRequest | BracketRequest:
    if not children:
        return to_request(order)
    return BracketRequest(
        entry=to_request(order), stop=to_request(children[Leg.STOP]), target=to_request(children[Leg.TARGET])
    )


def to_request(order: Order) -> OrderRequest:
    """The part of an order a venue needs."""
    return OrderRequest(
        client_order_id=order.client_order_id, symbol=order.symbol, side=order.side, order_type=order.order_type,
        quantity=order.quantity, leg=order.leg, limit_price=order.limit_price, stop_price=order.stop_price,
        time_in_force=order.time_in_force,
    )  # fmt: skip


def end_locally(desk: Desk, order: Order, exec_type: ExecType, text: str, now: datetime) -> None:
    """End an order, and the legs that depend on it, by a report of our own."""
    with desk.ledger.transaction() as tx:
        for member in (tx.order(order.client_order_id) or order, *tx.children(order.client_order_id)):
            report = ExecutionReport(
                exec_id=f"{member.client_order_id}-{exec_type.value}", client_order_id=member.client_order_id,
                venue_order_id="", exec_type=exec_type, occurred_at=now, text=text,
            )  # fmt: skip
            if tx.add_report(LOCAL, report):
                tx.save_order(advance(member, report))


def _mark_in_doubt(desk: Desk, order: Order, text: str, now: datetime) -> None:
    with desk.ledger.transaction() as tx:
        current = tx.order(order.client_order_id) or order
        if current.status is OrdStatus.PENDING_NEW:  # a report may have said more in the meantime
            tx.save_order(replace(current, status=OrdStatus.IN_DOUBT, updated_at=now, text=text))


def _adopt(desk: Desk, order: Order, now: datetime) -> None:
    """An earlier attempt did reach the venue: that ends a doubt, by a report of our own; the venue's tell the rest."""
    with desk.ledger.transaction() as tx:
        current = tx.order(order.client_order_id) or order
        if current.status is not OrdStatus.IN_DOUBT:
            return
        report = ExecutionReport(
            exec_id=f"{order.client_order_id}-adopted", client_order_id=order.client_order_id, venue_order_id="",
            exec_type=ExecType.NEW, occurred_at=now, text="found at the venue after its answer was lost",
        )  # fmt: skip
        if tx.add_report(LOCAL, report):
            tx.save_order(advance(current, report))
