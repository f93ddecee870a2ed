"""Ending a doubt: the venue is asked what became of an order, several times, before the order may be sent again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, auto

from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.orders import ExecType, Order, OrdStatus
from trading_pipeline.domain.submission import grows_exposure
from trading_pipeline.ports import ClientIdScope, LedgerTransaction, VenueOrder
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.local_reports import Taken, acknowledge, is_given_up, report_locally

UNSEEN_FOR = timedelta(seconds=10)
"""How long after it was sent a sell of which a venue that keeps no ids shows nothing counts as never arrived."""


class Verdict(Enum):
    """What the venue's answers allow."""

    FOUND = auto()
    NEVER_ARRIVED = auto()
    UNKNOWN = auto()
    UNKNOWABLE = auto()


def look_for(desk: Desk, order: Order) -> Verdict:
    """Ask for an order that may or may not have arrived; one that is found is adopted.

    NEVER_ARRIVED: the same id may be sent again. UNKNOWN: the venue does not answer now, or it is too early to judge.
    UNKNOWABLE: this venue does not keep our ids, so its not knowing a buy proves too little. An adapter that noted
    before the socket what it sends may know without asking that an order never left.
    """
    if desk.broker.never_left(order.client_order_id, order.created_at):
        return Verdict.NEVER_ARRIVED
    try:
        found = _found(desk, order)
        if found is None:
            return _absence(desk, order)
        adopt(desk, order, found)
    except OutcomeUnknown:
        return Verdict.UNKNOWN
    return Verdict.FOUND


def _found(desk: Desk, order: Order) -> VenueOrder | None:
    """Look several times, at increasing waits: a request may still be on its way when its answer is given up.

    One that a dead process had claimed is looked for once where the venue refuses a second order under its id; so is
    one that was given up before.
    """
    rules = desk.rules.submission
    keeps_ids = desk.broker.capabilities.client_id_scope is ClientIdScope.FOREVER
    is_plain = order.status is OrdStatus.PENDING_NEW if keeps_ids else is_given_up(desk, order)
    looks = 1 if is_plain else rules.lookups
    for look in range(looks):
        if look:
            wait = rules.lookup_wait_seconds * 2 ** (look - 1)
            desk.clock.sleep_until(desk.clock.now() + timedelta(seconds=wait))
        found = desk.broker.order(order.client_order_id)
        if found is not None:
            return found
    return None


def _absence(desk: Desk, order: Order) -> Verdict:
    match desk.broker.capabilities.client_id_scope:
        case ClientIdScope.FOREVER:
            return Verdict.NEVER_ARRIVED
        case ClientIdScope.OPEN_ORDERS:
            return Verdict.FOUND if _left_a_trace(desk, order) else Verdict.NEVER_ARRIVED
        case ClientIdScope.NONE:
            return Verdict.UNKNOWABLE if grows_exposure(order) else _absence_of_a_sell(desk, order)


def _absence_of_a_sell(desk: Desk, order: Order) -> Verdict:
    """Where ids are not kept: shares without their stop weigh more than a stop that shows up later, once open orders,
    completed ones and executions have shown nothing for a while."""
    if _left_a_trace(desk, order):
        return Verdict.FOUND
    is_old = order.submitted_at is not None and desk.clock.now() - order.submitted_at >= UNSEEN_FOR
    return Verdict.NEVER_ARRIVED if is_old else Verdict.UNKNOWN


def _left_a_trace(desk: Desk, order: Order) -> bool:
    """True when open orders or executions since its creation name it: reports will tell the rest."""
    if any(one.client_order_id == order.client_order_id for one in desk.broker.open_orders()):
        return True
    reports = desk.broker.execution_reports(order.created_at)
    return any(report.client_order_id == order.client_order_id for report in reports)


def end_lost_legs(desk: Desk) -> None:
    """End legs that never arrived beside an order that did, where each goes out by a message of its own.

    Only where ids are not kept: there all that was ever placed is listed. An order of unknown fate keeps its family
    from being changed, and a position from being left. Raises OutcomeUnknown.
    """
    if desk.broker.capabilities.client_id_scope is not ClientIdScope.NONE:
        return
    for leg, sent_at in _unheard_legs(desk):
        is_old = desk.clock.now() - sent_at >= UNSEEN_FOR
        if is_old and desk.broker.order(leg.client_order_id) is None and not _left_a_trace(desk, leg):
            with desk.ledger.transaction() as tx:
                text = "it never arrived: the venue lists the order it belongs to, and nothing of it"
                report_locally(tx, leg, ExecType.CANCELED, text, desk.clock.now())


def _unheard_legs(desk: Desk) -> list[tuple[Order, datetime]]:
    """Open legs without a word of them, whose head the venue has taken; and when that was sent."""
    with desk.ledger.read() as tx:
        legs = [o for o in tx.open_orders(desk.account) if o.parent_id and o.status is OrdStatus.PENDING_NEW]
        heads = tx.orders_named([leg.parent_id for leg in legs if leg.parent_id])
    found = ((leg, heads.get(leg.parent_id or "")) for leg in legs)
    return [(leg, head.submitted_at) for leg, head in found if head and head.submitted_at and _is_taken(head)]


def _is_taken(head: Order) -> bool:
    return head.status not in {OrdStatus.PENDING_NEW, OrdStatus.IN_DOUBT}


def adopt(desk: Desk, order: Order, found: VenueOrder) -> None:
    """An earlier attempt did reach the venue: that ends a doubt, and the venue's reports tell the rest."""
    if order.status is OrdStatus.IN_DOUBT:
        acknowledge(desk, [Taken(order, found.venue_order_id, desk.clock.now())])
    if not _names_our_legs(desk):
        _name_legs(desk, order)


def _names_our_legs(desk: Desk) -> bool:
    """False at a venue that makes a bracket's legs itself and so numbers them its own way."""
    return desk.broker.capabilities.client_id_scope is not ClientIdScope.NONE


def _name_legs(desk: Desk, order: Order) -> None:
    """Note the venue's ids of a bracket's legs, matched by parent, side and type."""
    at_venue = [one for one in desk.broker.open_orders() if one.parent_id == order.client_order_id]
    with desk.ledger.transaction() as tx:
        for leg in tx.children(order.client_order_id):
            _name_leg(tx, leg, at_venue)


def _name_leg(tx: LedgerTransaction, leg: Order, at_venue: list[VenueOrder]) -> None:
    same = [one for one in at_venue if (one.side, one.order_type) == (leg.side, leg.order_type)]
    if len(same) == 1 and leg.venue_order_id is None:
        tx.save_order(replace(leg, venue_order_id=same[0].venue_order_id))
