"""/v2/orders: submit, look up, list, replace, cancel."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from starlette.routing import Route

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.orders import (
    AnyRequest,
    BracketRequest,
    Leg,
    OcoRequest,
    OrderRequest,
    OrderType,
    Side,
)
from trading_pipeline.venue.alpaca import checks
from trading_pipeline.venue.alpaca.assets import Assets
from trading_pipeline.venue.alpaca.cancels import Cancels
from trading_pipeline.venue.alpaca.context import NOT_FOUND, AlpacaError, Asked, DoorContext, Reply
from trading_pipeline.venue.alpaca.model import ACCEPTED, HELD, NEW, PARTLY, PENDING_NEW, REPLACED, AlpacaOrder
from trading_pipeline.venue.alpaca.orders import Orders, remembered
from trading_pipeline.venue.alpaca.rendering import order_json, orders_json
from trading_pipeline.venue.alpaca.requests import (
    Change,
    ListQuery,
    NewOrder,
    change,
    flag,
    invalid,
    list_query,
    new_order,
    unprocessable,
)
from trading_pipeline.venue.alpaca.wire import LIVES, uuid_of
from trading_pipeline.venue.faults import Fault
from trading_pipeline.venue.hours import Halt

REPLACEABLE = frozenset({NEW, PARTLY, HELD})


class OrderRoutes:
    """The trading side of the account."""

    def __init__(self, context: DoorContext, orders: Orders, assets: Assets, cancels: Cancels) -> None:
        self._context, self._hub, self._assets, self._cancels = context, context.hub, assets, cancels
        self.orders = orders

    def routes(self) -> list[Route]:
        route = self._context.route
        return [
            route("/v2/orders", "orders.submit", self.submit, method="POST", subject=_client_id_sent),
            route("/v2/orders", "orders.list", self.listed),
            route("/v2/orders", "orders.cancel_all", self.cancel_all, method="DELETE"),
            route(
                "/v2/orders:by_client_order_id", "orders.by_client_order_id", self.by_client_id,
                subject=lambda asked: asked.query.get("client_order_id", ""),
            ),
            route("/v2/orders/{id}", "orders.get", self.get, subject=self._client_id_of),
            route("/v2/orders/{id}", "orders.replace", self.replace, method="PATCH", subject=self._client_id_of),
            route("/v2/orders/{id}", "orders.cancel", self.cancel, method="DELETE", subject=self._client_id_of),
        ]  # fmt: skip

    # submitting

    def submit(self, asked: Asked) -> Reply:
        order = new_order(asked.document())
        checks.form_checks(order)
        self._permit()
        sent = self.send(order, asked)
        shown = sent if sent.status == ACCEPTED else replace(sent, status=PENDING_NEW)
        return Reply(order_json(self.orders, shown, nested=True))

    def send(self, order: NewOrder, asked: Asked | None = None) -> AlpacaOrder:
        """Check by Alpaca's rules, put on the engine's book, and play a fault that belongs to submissions."""
        rule = asked.rule if asked else None
        request = self._engine_request(order)
        self._check(order, request)
        if rule is not None and rule.fault is Fault.HALT:
            self._hub.call(
                lambda venue, now: venue.halt(Halt(order.symbol, now, now + timedelta(seconds=rule.seconds)))
            )
        try:
            self._hub.call(lambda venue, now: venue.submit(request, now, remembers_refusal=False))
        except OrderRefused as error:
            checks.refuse_as_alpaca(error)
        accepted = self.orders.current(_first(request).client_order_id)
        if rule is not None and rule.fault is Fault.REJECT_LATER:
            self._hub.call(lambda venue, now: venue.reject(accepted.engine_id, now, "rejected by script"))
        return accepted

    def _permit(self) -> None:
        rules = self._context.rules
        if rules.account_blocked or rules.trading_blocked:
            raise checks.forbidden("account is restricted")
        if rules.trade_suspended_by_user:
            raise checks.forbidden("new orders are rejected by user request")

    def _check(self, order: NewOrder, request: AnyRequest) -> None:
        """What needs the account, the market, or the other orders."""
        book = self._hub.venue.book()
        self._assets.require_tradable(order.symbol)
        ids = [one.client_order_id for one in _all(request)]
        if any(self._is_taken(name) for name in ids):
            raise invalid("client_order_id must be unique")
        mark = book.marks.get(order.symbol)
        checks.leg_price_checks(order, mark.price if mark else None)
        checks.wash_checks(order, self.orders.all())
        checks.account_checks(book, order, _first(request))

    def _is_taken(self, client_order_id: str) -> bool:
        return (
            self.orders.by_client_id(client_order_id) is not None or client_order_id in self._hub.venue.book().tickets
        )

    def _engine_request(self, order: NewOrder) -> AnyRequest:
        """Leg ids follow from the entry's, ids Alpaca has to find itself from the engine's next number."""
        account, book = self._hub.venue.rules.account, self._hub.venue.book()
        name = order.client_order_id or uuid_of(account, "order", book.sequence + 1)
        first = OrderRequest(
            client_order_id=name,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            quantity=order.quantity,
            leg=Leg.ENTRY if order.side is Side.BUY else Leg.EXIT,
            limit_price=order.limit_price,
            stop_price=order.stop_price,
            time_in_force=order.life,
            trail_amount=order.trail_price,
        )
        if not order.order_class:
            return first
        return _family(order, first, uuid_of(account, "stop_loss", name), uuid_of(account, "take_profit", name))

    # looking up

    def get(self, asked: Asked) -> Reply:
        return Reply(order_json(self.orders, self._known(asked), nested=flag(asked.query, "nested")))

    def by_client_id(self, asked: Asked) -> Reply:
        """Without legs unless these are asked for: the API's document does not say that they come."""
        self.orders.route(self._hub.time.now())
        name = asked.query.get("client_order_id", "")
        found = self.orders.by_client_id(name)
        if found is None:
            raise AlpacaError(404, NOT_FOUND, f"order not found for {name}")
        return Reply(order_json(self.orders, found, nested=flag(asked.query, "nested")))

    def listed(self, asked: Asked) -> Reply:
        self.orders.route(self._hub.time.now())
        query = list_query(asked.query)
        found = [order for order in self.orders.all() if _matches(order, query)]
        found = self._window(found, query)
        found = found if query.is_ascending else found[::-1]
        return Reply(orders_json(self.orders, found[: query.limit], nested=query.nested))

    def _window(self, found: Sequence[AlpacaOrder], query: ListQuery) -> list[AlpacaOrder]:
        """Orders submitted after or before another one, both exclusive."""
        after, before = (self._submitted_at(name) for name in (query.after_id, query.before_id))
        return [
            order
            for order in found
            if (after is None or order.created_at > after) and (before is None or order.created_at < before)
        ]

    def _submitted_at(self, order_id: str | None) -> int | None:
        if order_id is None:
            return None
        found = self.orders.get(order_id)
        if found is None:
            raise unprocessable(f"order not found for {order_id}")
        return found.created_at

    def _known(self, asked: Asked) -> AlpacaOrder:
        """The order of the path, as it stands now."""
        self.orders.route(self._hub.time.now())
        order_id = asked.path["id"]
        try:
            uuid.UUID(order_id)
        except ValueError as error:
            raise invalid(f"invalid order id {order_id!r}: it must be a UUID") from error
        found = self.orders.get(order_id)
        if found is None:
            raise AlpacaError(404, NOT_FOUND, f"order not found for {order_id}")
        return found

    def _client_id_of(self, asked: Asked) -> str:
        found = self.orders.get(asked.path["id"])
        return found.client_order_id if found else ""

    # changing

    def replace(self, asked: Asked) -> Reply:
        order, asked_for = self._known(asked), change(asked.document())
        self._check_change(order, asked_for)
        number = order.generation + 1
        name = asked_for.client_order_id or self.orders.next_client_id(order.engine_id, number)
        if self._is_taken(name):
            raise invalid("client_order_id must be unique")
        given = self._hub.venue.book().facts.get(remembered(order.engine_id), [])
        unnamed = [""] * (order.generation - len(given))
        facts = {remembered(order.engine_id): [*given, *unnamed, name]}
        try:
            self._hub.call(
                lambda venue, now: venue.replace(
                    order.engine_id, now, asked_for.stop_price, asked_for.limit_price, asked_for.quantity, facts
                )
            )
        except OrderRefused as error:
            checks.refuse_as_alpaca(error)
        return Reply(order_json(self.orders, self.orders.current(order.engine_id), nested=True))

    def _check_change(self, order: AlpacaOrder, asked: Change) -> None:
        if order.status == REPLACED:
            raise unprocessable("order already replaced")
        if order.status not in REPLACEABLE:
            raise unprocessable(f"cannot replace order in {order.status} status")
        if asked.life not in {None, order.request.time_in_force}:
            raise unprocessable("time_in_force cannot be replaced at this venue")
        if asked.quantity not in {None, order.quantity}:
            if order.order_class:
                raise unprocessable("qty cannot be changed for advanced orders")
            if asked.quantity is not None and asked.quantity <= order.filled:
                raise unprocessable("qty must be > filled_qty")
        if not _changes_anything(order, asked):
            raise unprocessable("order parameters are not changed")

    def cancel(self, asked: Asked) -> Reply:
        """Where the venue refuses by report, what has ended is told on the stream only."""
        order = self._known(asked)
        if not order.is_open and (order.status == REPLACED or not self._hub.venue.rules.refuses_by_report):
            raise unprocessable(f'order is already in "{order.status}" state')
        self._cancels.ask(order)
        return Reply(None, 204)

    def cancel_all(self, asked: Asked) -> Reply:  # noqa: ARG002
        return Reply([{"id": order.id, "status": 200} for order in self.cancel_open()], 207)

    def cancel_open(self) -> Sequence[AlpacaOrder]:
        """Cancel everything; returns what was open (a held leg goes with the order it belongs to)."""
        found = [order for order in self.orders.all() if order.is_open and order.status != HELD]
        for order in found:
            self._cancels.ask(order)
        return found


def _matches(order: AlpacaOrder, query: ListQuery) -> bool:
    """Held legs are in no list of open orders; nested lists show legs under their entry only."""
    is_shown = {
        "open": order.is_open and order.status != HELD,
        "closed": not order.is_open,
        "all": True,
    }[query.status]
    return (
        is_shown
        and not (query.nested and order.parent_id is not None)
        and (query.symbols is None or order.request.symbol in query.symbols)
        and (query.side is None or order.request.side is query.side)
        and (query.after is None or order.created_at > query.after)
        and (query.until is None or order.created_at < query.until)
    )


def _changes_anything(order: AlpacaOrder, asked: Change) -> bool:
    pairs = (
        (asked.quantity, order.quantity),
        (asked.limit_price, order.limit_price),
        (asked.stop_price, order.stop_price),
    )
    return any(new is not None and new != old for new, old in pairs)


def _client_id_sent(asked: Asked) -> str:
    try:
        return str(asked.document().get("client_order_id", ""))
    except AlpacaError:
        return ""


def _first(request: AnyRequest) -> OrderRequest:
    """The order the client's own id belongs to: an entry, or an OCO's target."""
    if isinstance(request, OcoRequest):
        return request.target
    return request.entry if isinstance(request, BracketRequest) else request


def _all(request: AnyRequest) -> Iterable[OrderRequest]:
    if isinstance(request, OrderRequest):
        return (request,)
    first = _first(request)
    others = (request.stop, request.target) if isinstance(request, BracketRequest) else (request.stop,)
    return (first, *(order for order in others if order is not None))


def _family(order: NewOrder, first: OrderRequest, stop_id: str, target_id: str) -> AnyRequest:
    stop = replace(
        first,
        client_order_id=stop_id,
        side=Side.SELL,
        order_type=OrderType.STOP if order.stop_limit is None else OrderType.STOP_LIMIT,
        leg=Leg.STOP,
        limit_price=order.stop_limit,
        stop_price=order.stop,
    )
    if order.order_class == "oco":
        return OcoRequest(stop=stop, target=replace(first, leg=Leg.TARGET))
    if order.target is None:
        return BracketRequest(entry=first, stop=stop)
    target = replace(
        stop, client_order_id=target_id, order_type=OrderType.LIMIT, leg=Leg.TARGET, stop_price=None,
        limit_price=order.target,
    )  # fmt: skip
    return BracketRequest(entry=first, stop=stop, target=target)


def market_exit(symbol: str, quantity: Decimal) -> NewOrder:
    """What closing a position sends."""
    return NewOrder(
        symbol=symbol, side=Side.SELL, order_type=OrderType.MARKET, life=LIVES["day"], quantity=quantity,
        order_class="", client_order_id=None, limit_price=None, stop_price=None, trail_price=None, target=None,
        stop=None, stop_limit=None,
    )  # fmt: skip
