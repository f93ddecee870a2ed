"""Sending, changing and cancelling at Alpaca: registered before the socket, looked up when an answer leaves doubt."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import requests

from trading_pipeline.adapters.brokers.alpaca.book import replacement_id, replacement_number
from trading_pipeline.adapters.brokers.alpaca.checks import require_prices
from trading_pipeline.adapters.brokers.alpaca.listing import Listing
from trading_pipeline.adapters.brokers.alpaca.rest import AlpacaRest, Refused
from trading_pipeline.adapters.brokers.alpaca.wire import WireOrder, payload_of, sent_under, text
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.errors import NotTaken, OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import AnyRequest, BracketRequest, OcoRequest, OrderRequest
from trading_pipeline.ports import Clock
from trading_pipeline.venue.checks import orders_of

TRIES = 3
"""Of a replacement that finds the order replaced meanwhile by an earlier request of ours."""
LONGEST_CHAIN = 100
"""Replacements of one order that are followed in one look."""


class Orders:
    """The orders of one account. Every method may be repeated after any failure."""

    def __init__(self, rest: AlpacaRest, listing: Listing, ids: VenueIds, clock: Clock) -> None:
        self._rest, self._listing, self._ids, self._clock = rest, listing, ids, clock
        self._turned_away: set[str] = set()

    # sending

    def register(self, request: AnyRequest) -> None:
        """Keep what an id was sent with, before it is sent; what is kept already stays."""
        if self._ids.family(orders_of(request)[0].client_order_id) is None:
            self._ids.register(request, self._clock.now())

    def submit(self, request: AnyRequest) -> str:
        """The venue's id. Raises OrderRefused, NotTaken or OutcomeUnknown."""
        first = orders_of(request)[0].client_order_id
        family = self._ids.family(first)
        if family is not None and family.request != request:
            self._require_free(request)
        elif self._ids.latest(first) is not None:
            return self._ids.venue_ids(first)[0]
        self._ids.register(request, self._clock.now())
        try:
            row = self._post(request, is_first=family is None or self.was_turned_away(first))
        except Refused as refused:
            if refused.refusal.is_duplicate:
                return self._sent_before(request)
            self._ids.finish(first)
            raise OrderRefused(str(refused)) from refused
        return self._acknowledged(request, row)

    def was_turned_away(self, client_order_id: str) -> bool:
        """True for an order of which every sending so far, all by this process, met "too many requests"."""
        return client_order_id in self._turned_away

    def _post(self, request: AnyRequest, *, is_first: bool) -> dict[str, Any]:
        """What Alpaca answers. is_first: no earlier sending may have arrived; only then is NotTaken certain."""
        first = orders_of(request)[0].client_order_id
        self._turned_away.discard(first)
        try:
            return self._rest.document("POST", "/orders", f"send {first}", payload_of(request))
        except NotTaken as busy:
            if not is_first:
                raise OutcomeUnknown(f"{busy}, once it is known that an earlier sending did not arrive") from busy
            self._turned_away.add(first)
            raise

    def _require_free(self, request: AnyRequest) -> None:
        """Raises OrderRefused when the id was used for other content; what never arrived may be sent otherwise."""
        first = orders_of(request)[0].client_order_id
        if self._ids.latest(first) is not None or self.find(first) is not None:
            raise _other_content(request)

    def _acknowledged(self, request: AnyRequest, row: dict[str, Any]) -> str:
        first = orders_of(request)[0].client_order_id
        sent = self._listing.take(row)
        if self._ids.latest(first) is None or len(self._legs_known(request)) < len(orders_of(request)):
            self._listing.look_at(sent.venue_id)
        venue_ids = self._ids.venue_ids(first)
        if not venue_ids:
            raise OutcomeUnknown(f"Alpaca took {first} and does not tell of its legs: it is looked up before it counts")
        return venue_ids[0]

    def _legs_known(self, request: AnyRequest) -> list[str]:
        names = (order.client_order_id for order in orders_of(request))
        return [name for name in names if self._ids.latest(name) is not None]

    def _sent_before(self, request: AnyRequest) -> str:
        """The id was used: by an earlier sending of the same request, whose answer was lost, or for another one."""
        found = self._listing.look_for(sent_under(request))
        if found is None:
            raise OutcomeUnknown(
                f"Alpaca has used the id {sent_under(request)} and does not find it: it is asked again"
            )
        if not _is_same(request, found):
            raise _other_content(request)
        venue_ids = self._ids.venue_ids(orders_of(request)[0].client_order_id)
        if not venue_ids:
            raise OutcomeUnknown(f"Alpaca has {sent_under(request)} and does not tell of its legs: it is asked again")
        return venue_ids[0]

    # looking up

    def find(self, client_order_id: str) -> WireOrder | None:
        """How an order of ours, or of others by their id, stands now; None when Alpaca has none."""
        book = self._listing.book
        known = self._ids.latest(client_order_id) or self._known_here(client_order_id)
        if known is not None:
            self._listing.look_at(known)
        else:
            family = self._ids.family(client_order_id)
            self._listing.look_for(client_order_id if family is None else sent_under(family.request))
        return self._newest(client_order_id) if book.current(client_order_id) else None

    def _known_here(self, client_order_id: str) -> str | None:
        order = self._listing.book.current(client_order_id)
        return order.venue_id if order is not None else None

    def _newest(self, client_order_id: str) -> WireOrder | None:
        """Follow replacements to the one that stands now: on from a replaced one, back from one that was refused."""
        current = self._listing.book.current(client_order_id)
        if current is not None and not current.has_ended and len(self._listing.book.chain(client_order_id)) > 1:
            self._listing.look_at(current.venue_id)  # what it was replaced by is known: did that come about?
            current = self._listing.book.current(client_order_id)
        for _ in range(LONGEST_CHAIN):
            if current is None:
                break
            link = {"replaced": current.replaced_by, "rejected": current.replaces}.get(current.word)
            if link is None or self._listing.look_at(link) is None:
                break
            current = self._listing.book.current(client_order_id)
        return current

    # changing

    def replace(
        self, client_order_id: str, *, stop_price: Decimal | None, limit_price: Decimal | None, quantity: Decimal | None
    ) -> None:
        """Ask for new prices. Raises OrderRefused or OutcomeUnknown."""
        if quantity is not None:
            raise OrderRefused(
                f"{client_order_id} was not replaced: Alpaca does not change a leg's quantity ({quantity} was asked "
                "for). Cancel it, and send what is wanted"
            )
        require_prices(client_order_id, stop_price=stop_price, limit_price=limit_price)
        prices = {"stop_price": text(stop_price), "limit_price": text(limit_price)}
        wanted = {name: price for name, price in prices.items() if price is not None}
        order = self._known_here_or_found(client_order_id)
        if not order.is_stop:  # it may have been filled in part since it was last looked at; a resting stop cannot
            order = self.find(client_order_id) or order
        for _ in range(TRIES):
            refused = self._ask_replace(client_order_id, order, wanted)
            if refused is None:
                return
            found = self.find(client_order_id)
            if found is not None and _has_prices(found, wanted) and not found.has_ended:
                return  # it stands so: an earlier request of ours did it, and its answer was lost
            if found is None or found.venue_id == order.venue_id:
                raise OrderRefused(str(refused)) from refused
            order = found
        raise OutcomeUnknown(f"{client_order_id} is replaced by others as often as we ask: it is looked up again")

    def _known_here_or_found(self, client_order_id: str) -> WireOrder:
        order = self._listing.book.current(client_order_id) or self.find(client_order_id)
        if order is None:
            raise OrderRefused(
                f"Alpaca has no order {client_order_id}: nothing was asked. See trading-pipeline reconcile"
            )
        return order

    def _ask_replace(self, client_order_id: str, order: WireOrder, wanted: dict[str, str]) -> Refused | None:
        """None when Alpaca took the request (a report tells what came of it), else why not."""
        if order.filled and not order.has_ended:
            raise OrderRefused(
                f"{client_order_id} was not replaced: {order.filled} of {order.quantity} are filled, and Alpaca would "
                "replace it by the whole quantity again. Cancel it, and send the rest"
            )
        body = {**wanted, "client_order_id": replacement_id(client_order_id, self._next_number(client_order_id))}
        try:
            row = self._rest.document("PATCH", f"/orders/{order.venue_id}", f"replace {client_order_id}", body)
        except Refused as refused:
            return refused
        replacement = self._listing.take(row)
        self._ids.learn(client_order_id, replacement.venue_id)
        return None

    def _next_number(self, client_order_id: str) -> int:
        """One more than any replacement so far has, from whatever is still known of them."""
        chain = self._listing.book.chain(client_order_id)
        used = [replacement_number(order.client_id) for order in chain]
        return max(len(chain), len(self._ids.venue_ids(client_order_id)), *(number + 1 for number in used))

    def cancel(self, client_order_id: str) -> None:
        """Ask to cancel. Raises OrderRefused or OutcomeUnknown."""
        order = self._known_here_or_found(client_order_id)
        for _ in range(TRIES):
            refused = self._ask_cancel(client_order_id, order)
            if refused is None:
                return
            found = self.find(client_order_id)
            if found is not None and (found.has_ended or found.word == "pending_cancel"):
                return
            if found is None or found.venue_id == order.venue_id:
                raise _not_canceled(client_order_id, found, refused) from refused
            order = found
        raise OutcomeUnknown(f"{client_order_id} is replaced as often as it is canceled: it is looked up again")

    def _ask_cancel(self, client_order_id: str, order: WireOrder) -> Refused | None:
        """None when Alpaca took the request (a report tells what came of it), else why not."""
        try:
            self._rest.call("DELETE", f"/orders/{order.venue_id}", f"cancel {client_order_id}")
        except Refused as refused:
            return refused
        return None


def _not_canceled(client_order_id: str, found: WireOrder | None, refused: Refused) -> OrderRefused:
    if found is None or refused.refusal.status == requests.codes.not_found:
        return OrderRefused(f"Alpaca has no order {client_order_id}: {refused}")
    return OrderRefused(f"{client_order_id} is {found.word} at Alpaca and was not canceled: {refused}")


def _other_content(request: AnyRequest) -> OrderRefused:
    first = orders_of(request)[0]
    return OrderRefused(
        f"{first.client_order_id} is already the id of another order at Alpaca than {first.side} {first.quantity} "
        f"{first.symbol}; send a new intent under a new id"
    )


def _is_same(request: AnyRequest, found: WireOrder) -> bool:
    """True for what this request makes of the order it is sent as; prices that were replaced since do not count."""
    sent = _sent(request)
    told = (found.symbol, found.side, found.order_type, found.quantity)
    if told != (sent.symbol, sent.side, sent.order_type, sent.quantity):
        return False
    was_replaced = found.replaces is not None or found.replaced_by is not None
    trails = sent.trail_amount is not None
    return was_replaced or trails or (found.limit_price, found.stop_price) == (sent.limit_price, sent.stop_price)


def _sent(request: AnyRequest) -> OrderRequest:
    match request:
        case OrderRequest():
            return request
        case BracketRequest():
            return request.entry
        case OcoRequest():
            return request.target


def _has_prices(order: WireOrder, wanted: dict[str, str]) -> bool:
    told = {"stop_price": order.stop_price, "limit_price": order.limit_price}
    return all(told[name] == Decimal(price) for name, price in wanted.items())
