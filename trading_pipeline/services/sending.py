"""One round of orders out: claimed together, each looked at last and sent by itself, acknowledged together.

A round is what the pacer lets through without waiting, and a fixed number of orders at most: between its claim and the
socket an order waits for nothing but the answers to those before it. Each has a last look of its own (lease, the order,
trading state, blocks) right before its own socket call.

Acknowledgements go on record together when the round is over; sooner, before the next order leaves, when one is older
than LAG or when an answer was no plain success; and when an error ends the round, as far as the lease permits. After
LONGEST no further entry leaves before the loop has heard the venue and looked after what is held; exits do not wait.
Orders that a crash leaves claimed are looked up at the venue. Where a venue does not keep our ids for good that proves
less and takes longer: there a round is one order.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

from trading_pipeline.domain.control import TradingState, strictest
from trading_pipeline.domain.correlation import working_on
from trading_pipeline.domain.errors import NotTaken, OrderRefused, OutcomeUnknown
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
from trading_pipeline.ports import ClientIdScope, Ledger
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.latch import look_at
from trading_pipeline.services.local_reports import Taken, acknowledge, end_locally, put_in_doubt

log = logging.getLogger(__name__)
MOST = 10
"""Orders of a round: as many as one execution enters."""
LAG = timedelta(seconds=1)
"""How long an acknowledgement may wait for others before the next order leaves."""

LONGEST = timedelta(seconds=2)
"""How long entries may keep the loop from hearing the venue: stops are looked after in between."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What time it is while orders leave: a stepped clock stands still until they have."""

    desk: Desk
    clock_at: datetime
    elapsed_at: float

    @classmethod
    def of(cls, desk: Desk) -> Stretch:
        """It begins now."""
        return cls(desk, desk.clock.now(), desk.elapsed())

    def now(self) -> datetime:
        """The desk's clock, or what has passed since the beginning where that is more."""
        return max(self.desk.clock.now(), self.clock_at + self._passed())

    def is_over(self, order: Order) -> bool:
        """True for an entry that is not to keep the loop any longer, and for all once the process is to end."""
        return grows_exposure(order) and (self._passed() > LONGEST or self.desk.stop_requested())

    def _passed(self) -> timedelta:
        return timedelta(seconds=self.desk.elapsed() - self.elapsed_at)


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


@dataclass(frozen=True, slots=True)
class Sending:
    """A claimed order and the legs that hang on it. is_first: it has certainly not left before."""

    order: Order
    legs: Mapping[Leg, Order]
    is_first: bool = True


def send_in_rounds(desk: Desk, waiting: Sequence[Order], stretch: Stretch) -> Dispatched:
    """Send orders that nobody has claimed, in this order; blocked ones, and all once it is over, are held."""
    most = MOST if desk.broker.capabilities.client_id_scope is ClientIdScope.FOREVER else 1
    outcome, left = NOTHING, list(waiting)
    while left and not stretch.is_over(left[0]) and not is_left_alone(desk, left[0]):
        group, left = left[:most], left[most:]
        free = _unblocked(desk, group)
        ready = free[: take_turn(desk, free[0])] if free else []
        if free and not ready:
            return outcome + Dispatched(held=len(group) + len(left))
        outcome += _send_round(desk, ready, stretch) + Dispatched(held=len(group) - len(free))
        left = free[len(ready) :] + left
    return outcome + Dispatched(held=len(left))


def send_again(desk: Desk, order: Order) -> Dispatched:
    """Send under its id what was claimed earlier and never arrived."""
    if is_left_alone(desk, order) or not take_turn(desk, order):
        return HELD
    with desk.ledger.read() as tx:
        sending = Sending(order, _by_leg(tx.children(order.client_order_id)), is_first=False)
    taken: list[Taken] = []
    outcome = _send(desk, sending, taken, Stretch.of(desk))
    _record(desk, taken)
    return outcome


def _unblocked(desk: Desk, orders: list[Order]) -> list[Order]:
    """Those that no block holds back. What meets a halt does not wait for its end: its last look ends it."""
    if not any(grows_exposure(order) for order in orders):
        return orders
    with desk.ledger.read() as tx:
        blocks = tx.blocks(desk.account)
    standing = {order.symbol: [one for one in blocks if one.symbol in {"", order.symbol}] for order in orders}
    return [order for order in orders if not barrier(order, TradingState.ACTIVE, standing[order.symbol])]


def take_turn(desk: Desk, order: Order) -> int:
    """Wait for the order's turn at the border; how many like it may leave then without waiting, itself included.

    Zero when its turn is too far away to keep the loop waiting.
    """
    if desk.border is None:
        return MOST
    pacer = desk.border.pacer
    if not grows_exposure(order):
        pacer.protection()
        return 1 + pacer.room_for_protection()
    if not pacer.is_seeded:
        pacer.seed(_left_at(desk, order))
    if not pacer.entry():
        return 0
    return 1 + pacer.room_for_entries()


def is_left_alone(desk: Desk, order: Order) -> bool:
    """True while the venue, which has turned an order away unread, is sent no order like this one."""
    return desk.border is not None and desk.border.pacer.is_quiet(for_entries=grows_exposure(order))


def _must_wait(desk: Desk, order: Order, stretch: Stretch) -> bool:
    """True for an entry of a round that is to keep neither the loop nor a busy venue any longer."""
    return stretch.is_over(order) or (grows_exposure(order) and is_left_alone(desk, order))


def _left_at(desk: Desk, order: Order) -> list[datetime]:
    with desk.ledger.read() as tx:
        orders = tx.orders(desk.account, order.session)
    return [one.submitted_at for one in orders if one.submitted_at and grows_exposure(one)]


def _send_round(desk: Desk, orders: Sequence[Order], stretch: Stretch) -> Dispatched:
    """The first has had its turn; the others had room when the round was made, and wait for none.

    What is claimed and may not leave any more when the stretch is over is looked up and sent by a later dispatch.
    """
    claimed = _claim(desk, orders) if orders else []
    outcome, taken, this = Dispatched(held=len(orders) - len(claimed)), list[Taken](), Stretch.of(desk)
    try:
        for number, sending in enumerate(claimed):
            if number and _must_wait(desk, sending.order, stretch):
                outcome += HELD
                continue
            if number:
                take_turn(desk, sending.order)
            outcome += _send(desk, sending, taken, this)
    except Exception:
        _record(desk, taken)  # the venue has these, whatever kept the others
        raise
    _record(desk, taken)
    return outcome


def _claim(desk: Desk, orders: Sequence[Order]) -> list[Sending]:
    """Make the sending ours, on record, before anything leaves. What somebody else has claimed meanwhile is his."""
    owner, fence = (desk.lease.holder, desk.lease.token) if desk.lease else ("loop", 0)
    with desk.ledger.transaction() as tx:
        leaving = {order.client_order_id: desk.clock.now() for order in orders}
        claimed, legs = tx.claim_orders(leaving, owner, fence), tx.children_of(list(leaving))
    ours = [
        replace(order, submitted_at=leaving[order.client_order_id])
        for order in orders
        if order.client_order_id in claimed
    ]
    return [Sending(order, _by_leg(legs[order.client_order_id])) for order in ours]


def _by_leg(legs: Sequence[Order]) -> dict[Leg, Order]:
    return {leg.leg: leg for leg in legs}


def _send(desk: Desk, sending: Sending, taken: list[Taken], stretch: Stretch) -> Dispatched:
    """The last look, then the socket, with nothing in between; what the venue takes is added to `taken`."""
    if taken and stretch.now() - taken[0].at > LAG:
        _record(desk, taken)
    order, request = sending.order, request_of(sending.order, sending.legs)
    with desk.ledger.read() as tx:
        look = tx.last_look(order.client_order_id)
    if look is None or look.status not in {OrdStatus.PENDING_NEW, OrdStatus.IN_DOUBT}:
        return NOTHING  # somebody has ended it meanwhile
    latched = look_at(desk.latch)
    if latched.hands_off:
        return HELD
    if stopped := barrier(order, strictest(look.state, latched.state), look.blocks):
        return _not_sent(desk, sending, stopped)
    if has_expired(order, stretch.now()):  # it had to wait for its turn
        end_locally(desk, order, ExecType.EXPIRED, "expired before it was sent", desk.clock.now())
        return EXPIRED
    desk.require_lead()
    return _cross(desk, order, request, taken)


def has_expired(order: Order, now: datetime) -> bool:
    """True when the order has outlived its time."""
    return order.expires_at is not None and now >= order.expires_at


def _not_sent(desk: Desk, sending: Sending, why: str) -> Dispatched:
    """A first sending that was stopped is over: nothing left. A doubt stays, to be looked at again."""
    if not sending.is_first:
        return HELD
    end_locally(desk, sending.order, ExecType.CANCELED, f"not sent: {why}", desk.clock.now())
    return CANCELED


def _cross(desk: Desk, order: Order, request: AnyRequest, taken: list[Taken]) -> Dispatched:
    with working_on(intent=order.intent_id, order=order.client_order_id, symbol=order.symbol):
        return _crossed(desk, order, request, taken)


def _crossed(desk: Desk, order: Order, request: AnyRequest, taken: list[Taken]) -> Dispatched:
    try:
        venue_order_id = desk.broker.submit(request)
    except OrderRefused as refusal:
        log.info("refused by the venue: %s", refusal)
        _record(desk, taken)
        end_locally(desk, order, ExecType.REJECTED, str(refusal), desk.clock.now())
        return REFUSED
    except NotTaken:  # no doubt: it is sent again under its id as soon as the venue may be asked
        _record(desk, taken)
        return HELD
    except OutcomeUnknown as doubt:
        log.info("nobody knows whether the venue has it: %s", doubt)
        _record(desk, taken)
        put_in_doubt(desk, order, str(doubt), desk.clock.now())
        return IN_DOUBT
    taken.append(Taken(order, venue_order_id, desk.clock.now()))
    log.info("%s of %s %s is at the venue", order.leg.value, order.quantity, order.symbol)
    return SENT


def _record(desk: Desk, taken: list[Taken]) -> None:
    """Put on record what the venue took; nothing is left to record then."""
    if taken:
        acknowledge(desk, taken)
        taken.clear()


def open_requests(ledger: Ledger, account: str) -> list[AnyRequest]:
    """What was sent for every order that is open on record: an adapter that lost its own notes learns them again."""
    with ledger.read() as tx:
        orders = tx.open_orders(account)
        firsts = {order.parent_id or order.client_order_id for order in orders if order.submitted_at or order.parent_id}
        found = [order for first in sorted(firsts) if (order := tx.order(first)) is not None and order.submitted_at]
        return [request_of(order, {leg.leg: leg for leg in tx.children(order.client_order_id)}) for order in found]


def request_of(order: Order, legs: Mapping[Leg, Order]) -> AnyRequest:
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
