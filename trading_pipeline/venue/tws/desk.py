"""The order desk behind the TWS door: what clients place, change and cancel, done at the engine.

Orders wait here untransmitted; a transmitted child takes its parent and siblings along. What is said here is what TWS
says at once; what the engine reports is told by the door's news.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from trading_pipeline.domain.errors import OrderRefused, TradingPipelineError
from trading_pipeline.domain.orders import BracketRequest
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws import checks
from trading_pipeline.venue.tws.cancels import Cancels
from trading_pipeline.venue.tws.checks import Trouble
from trading_pipeline.venue.tws.contracts import Contracts
from trading_pipeline.venue.tws.order_messages import error, open_order, order_status
from trading_pipeline.venue.tws.orders import WireOrder, WireOrders
from trading_pipeline.venue.tws.placing import STOP_TYPES, Placing, Terms, request_of
from trading_pipeline.venue.tws.rules import TwsDoorRules
from trading_pipeline.venue.tws.showing import Showing
from trading_pipeline.venue.tws.wire import Message

DAY_PRESET = "Order TIF was set to DAY based on order preset."
SHAPE = "this venue carries brackets of a stop, or a stop and a target"


Say = Callable[[int, Message], None]
Work = Callable[[SimulatedVenue, datetime], object]


class Desk:
    """Orders of all clients of a door. `say` writes to a client, if it is there."""

    def __init__(self, hub: Hub, rules: TwsDoorRules, contracts: Contracts, account: str, say: Say) -> None:
        self._hub, self._rules, self._contracts, self._say = hub, rules, contracts, say
        self.orders = WireOrders(hub.venue)
        self.cancels = Cancels(hub, self.orders, wait=rules.cancels_wait_for_bars)
        self.showing = Showing(hub, self.orders, self.cancels, account)

    def place(self, client_id: int, placing: Placing) -> None:
        """Message 3: a new order, or other terms for one that is open under the same id."""
        try:
            self._place(client_id, placing)
        except Trouble as trouble:
            self._say(client_id, error(placing.order_id, trouble.code, str(trouble)))

    def cancel(self, client_id: int, order_id: int) -> None:
        """Message 4. Only one's own; what has ended stays as it ended. Raises Trouble."""
        order = self.orders.own(client_id, order_id)
        if self._rules.read_only:
            raise Trouble(321, checks.READ_ONLY)
        unknown, ended = map(int, self._rules.cancel_errors.split("/"))
        if order is None:
            raise Trouble(unknown, f"OrderId {order_id} that needs to be cancelled is not found.")
        if not self.orders.is_open(order):
            status = self.showing.shown(order).status
            raise Trouble(ended, f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {status}.")
        self._withdraw(order)

    def cancel_all(self) -> None:
        """Message 58: every client's orders, whoever asks."""
        for order in list(self.orders):
            if self.orders.is_open(order):
                self._withdraw(order)

    # new orders

    def _place(self, client_id: int, placing: Placing) -> None:
        if self._rules.read_only:
            raise Trouble(321, checks.READ_ONLY)
        stock = self._contracts.find(placing.contract)
        if stock is None:
            raise Trouble(200, checks.NO_CONTRACT)
        terms = self._preset(client_id, placing)
        if placing.what_if:
            return self._estimate(client_id, placing, stock.symbol, terms)
        known = self.orders.own(client_id, placing.order_id)
        if known is not None and (self.orders.is_open(known) or not self._may_reuse(known)):
            return self._change(known, stock.symbol, terms)
        checks.check_terms(terms, self.showing.account, is_plain=placing.is_plain)
        self._check_id(client_id, placing.order_id, terms)
        order = WireOrder(
            perm_id=self.orders.next_perm_id(), client_id=client_id, order_id=placing.order_id, symbol=stock.symbol,
            exchange=placing.contract.exchange or "SMART", terms=terms,
        )  # fmt: skip
        return self._take(order)

    def _preset(self, client_id: int, placing: Placing) -> Terms:
        if placing.terms.tif or not self._rules.presets_day:
            return placing.terms
        self._say(client_id, error(placing.order_id, 10349, DAY_PRESET))
        return replace(placing.terms, tif="DAY")

    def _may_reuse(self, known: WireOrder) -> bool:
        """An id rolled back is free again, whatever once bore it."""
        return known.order_id >= self.orders.next_order_id(known.client_id)

    def _check_id(self, client_id: int, order_id: int, terms: Terms) -> None:
        if order_id < self.orders.next_order_id(client_id):
            raise Trouble(103, "Duplicate order id")
        if terms.parent_id and self.orders.own(client_id, terms.parent_id) is None:
            raise Trouble(10006, "Missing parent order.")

    def _take(self, order: WireOrder) -> None:
        self.orders.put(order)
        if order.terms.transmit:
            return self._transmit(order)
        return self._done(lambda venue, _: venue.note(order.fact))

    def _transmit(self, order: WireOrder) -> None:
        parent = self.orders.parent_of(order)
        if parent is None:
            partner = self._partner(order)
            return self._submit([order]) if partner is None else self._join(partner, order)
        waiting = [child for child in self.orders.children_of(parent) if self.orders.is_staged(child)]
        if self.orders.is_staged(parent):
            return self._send_family(parent, waiting)
        for child in sorted(waiting, key=_stops_first):
            self._join(parent, child)
        return None

    def _send_family(self, parent: WireOrder, children: Sequence[WireOrder]) -> None:
        stops = [child for child in children if child.terms.order_type in STOP_TYPES]
        targets = [child for child in children if child.terms.order_type == "LMT"]
        if len(stops) != 1 or len(targets) > 1 or len(stops) + len(targets) != len(children):
            return self._turn_away([parent, *children], SHAPE)
        return self._submit([parent, *stops, *targets])

    def _submit(self, orders: Sequence[WireOrder]) -> None:
        """An order, or an entry with its stop and target, to the engine; what the wire knows of them goes along."""
        named = self.orders.named(orders)
        first, *legs = [request_of(order.terms, order.symbol, order.engine_id) for order in named]
        request = BracketRequest(entry=first, stop=legs[0], target=legs[1] if legs[1:] else None) if legs else first
        facts = _facts(named)
        self._send(named, lambda venue, now: venue.submit(request, now, facts))

    def _join(self, known: WireOrder, order: WireOrder) -> None:
        """An order to the engine, as one of a family that is there."""
        if not self.orders.is_open(known) and not self.showing.shown(known).filled:
            return self._turn_away([order], "Parent order is being cancelled.")
        (named,) = self.orders.named([order])
        request, facts = request_of(named.terms, named.symbol, named.engine_id), named.fact
        return self._send([named], lambda venue, now: venue.join(known.engine_id, request, now, facts))

    def _send(self, named: Sequence[WireOrder], work: Work) -> None:
        for order in named:
            self.orders.put(order)
        try:
            self._done(work)
        except OrderRefused as refusal:
            self._tell_refusal(named, str(refusal))

    def _turn_away(self, orders: Sequence[WireOrder], text: str) -> None:
        """Refused before the engine saw them."""
        gone = [self.orders.put(replace(order, engine_id=f"refused-{order.perm_id}")) for order in orders]
        self._done(lambda venue, _: venue.note(_facts(gone)))
        self._tell_refusal(gone, text)

    def _tell_refusal(self, orders: Sequence[WireOrder], text: str) -> None:
        for order in orders:
            self._say(order.client_id, error(order.order_id, 201, f"Order rejected - reason:{text}"))
            self._say(order.client_id, order_status(self.showing.shown(order)))

    def _done(self, work: Work) -> None:
        """Do it at the engine; what it could not save, the door does not know either."""
        try:
            self._hub.call(work)
        except OrderRefused:
            raise
        except TradingPipelineError:
            self.orders.reload()
            raise

    def _partner(self, order: WireOrder) -> WireOrder | None:
        """The open order of its OCA group, if any: both then cancel one another."""
        group = order.terms.oca_group
        for other in self.orders if group else ():
            if other.terms.oca_group == group and other.engine_id and self.orders.is_open(other):
                return other
        return None

    def _estimate(self, client_id: int, placing: Placing, symbol: str, terms: Terms) -> None:
        """What an order would cost and bind; it is not placed."""
        checks.check_terms(terms, self.showing.account, is_plain=placing.is_plain)
        order = WireOrder(
            perm_id=0, client_id=client_id, order_id=placing.order_id, symbol=symbol, exchange="SMART", terms=terms
        )
        self._say(client_id, open_order(self.showing.estimated(order)))

    # changes

    def _change(self, order: WireOrder, symbol: str, terms: Terms) -> None:
        checks.check_change(order, self.showing.shown(order).status, symbol, terms)
        checks.check_terms(terms, self.showing.account, is_plain=True)
        ticket = self.orders.ticket(order)
        if ticket is None:
            return self._take(replace(order, terms=terms))
        asked, now = request_of(terms, symbol, order.engine_id), ticket.terms[-1]
        stop = asked.stop_price if asked.stop_price not in {None, now.stop_price} else None
        limit = asked.limit_price if asked.limit_price not in {None, now.limit_price} else None
        quantity = asked.quantity if asked.quantity != ticket.quantity else None
        if stop is limit is quantity is None:
            return self._tell_state(order)
        try:
            return self._done(lambda venue, at: venue.replace(order.engine_id, at, stop, limit, quantity))
        except OrderRefused as refusal:
            self._say(order.client_id, error(order.order_id, 201, f"Order rejected - reason:{refusal}"))
            return self._tell_state(order)

    def _tell_state(self, order: WireOrder) -> None:
        shown = self.showing.shown(order)
        self._say(order.client_id, open_order(shown))
        self._say(order.client_id, order_status(shown))

    def _withdraw(self, order: WireOrder) -> None:
        if self.orders.is_staged(order):
            gone = self.orders.put(replace(order, is_withdrawn=True))
            self._done(lambda venue, _: venue.note(gone.fact))
            self._say(order.client_id, order_status(self.showing.shown(gone)))
            return self._say(order.client_id, error(order.order_id, 202, "Order Canceled - reason:"))
        self._say(order.client_id, order_status(replace(self.showing.shown(order), status="PendingCancel")))
        return self.cancels.ask(order)


def _facts(orders: Sequence[WireOrder]) -> dict[str, Any]:
    return {name: fact for order in orders for name, fact in order.fact.items()}


def _stops_first(order: WireOrder) -> bool:
    return order.terms.order_type not in STOP_TYPES
