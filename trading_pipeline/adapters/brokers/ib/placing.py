"""Sending orders, changing and cancelling them. What TWS objects to is a hint: what it then shows is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from trading_pipeline.adapters.brokers.ib.board import Complaint, Seen
from trading_pipeline.adapters.brokers.ib.codes import TAKEN, Meaning, meaning_of
from trading_pipeline.adapters.brokers.ib.contracts import Stock, Stocks, tick_faults
from trading_pipeline.adapters.brokers.ib.link import READ_ONLY_ADVICE, Link
from trading_pipeline.adapters.brokers.ib.names import Names
from trading_pipeline.adapters.brokers.ib.reading import Reading
from trading_pipeline.adapters.brokers.ib.shapes import Place, kind_of, order_of, terms_of_request
from trading_pipeline.adapters.brokers.ib.told import ToldReports
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import AnyRequest, BracketRequest, OcoRequest, OrderRequest
from trading_pipeline.ports import Clock
from trading_pipeline.venue.checks import form_faults, orders_of

SECOND_LOOK_SECONDS = 0.25
_OBJECTIONS = frozenset({Meaning.REFUSED, Meaning.UNKNOWN, Meaning.ENDED, Meaning.REQUEST})
_NOT_TAKEN = frozenset({"Inactive", "Cancelled", "ApiCancelled"})


@dataclass(frozen=True, slots=True)
class Sent:
    """One order of a family under the id it left with."""

    request: OrderRequest
    order_id: int


class Placing:
    """Does one thing at a time: whoever calls holds the turn."""

    def __init__(
        self, sdk: Any, link: Link, clock: Clock, ids: VenueIds, told: ToldReports, names: Names, reading: Reading,
        timeout_seconds: float,
    ) -> None:  # fmt: skip
        self._sdk, self._link, self._clock, self._ids, self._told = sdk, link, clock, ids, told
        self._names, self._reading, self._timeout = names, reading, timeout_seconds
        self._stocks = Stocks(sdk, link)

    async def submit(self, request: AnyRequest) -> str:
        """Send, unless it is there; returns the permId. Raises OrderRefused or OutcomeUnknown."""
        self._require_form(request)
        first = orders_of(request)[0].client_order_id
        if self._was_sent(request):
            self._link.require_ready()
            found = await self._look_for(first)
            if found is not None:
                return str(found.perm_id)
        self._require_link()
        stock = await self._stocks.of(orders_of(request)[0].symbol)
        self._require_ticks(stock, *orders_of(request))
        sent = await self._send(request, stock)
        with self._reading.untold(order.client_order_id for order in orders_of(request)):
            permanent = await self._answer(sent)
        self._reading.keep_news()
        return permanent

    def _require_form(self, request: AnyRequest) -> None:
        faults = form_faults(request)
        if faults:
            raise OrderRefused(f"not sent to Interactive Brokers: {'; '.join(faults)}")
        for order in orders_of(request):
            kind_of(order)

    def _was_sent(self, request: AnyRequest) -> bool:
        """True when it may have left before. Raises OrderRefused for what was refused, and for other content."""
        first = orders_of(request)[0].client_order_id
        refusal = self._told.refusal(first)
        if refusal is not None:
            raise OrderRefused(refusal)
        family = self._ids.family(first)
        if family is not None:
            if family.request != request and (self._ids.venue_ids(first) or self._names.is_known(first)):
                raise OrderRefused(f"{first} is already the id of another order; send a new intent under a new id")
            return bool(self._ids.venue_ids(first)) or self._names.is_known(first)
        seen = self._names.find(first)
        if seen is not None:
            self._require_alike(orders_of(request)[0], seen)
        return seen is not None

    def _require_alike(self, order: OrderRequest, seen: Seen) -> None:
        """An order at TWS under an id of which we have no record."""
        view = self._reading.view(seen)
        if (view.symbol, view.side, view.order_type, view.quantity) != (
            order.symbol, order.side, order.order_type, order.quantity,
        ):  # fmt: skip
            raise OrderRefused(f"{order.client_order_id} is already the id of another order; send a new intent")

    def _require_link(self) -> None:
        """What was never sent is refused while there is no connection: that is definite, and nothing is lost."""
        try:
            self._link.require_ready()
        except OutcomeUnknown as error:
            raise OrderRefused(f"nothing was sent. {error}") from error

    def _require_ticks(self, stock: Stock, *orders: OrderRequest) -> None:
        faults = [f"{o.client_order_id}: {f}" for o in orders for f in tick_faults(stock, o.limit_price, o.stop_price)]
        if faults:
            raise OrderRefused(f"not sent to Interactive Brokers: {'; '.join(faults)}")

    async def _look_for(self, client_order_id: str) -> Seen | None:
        """Look twice: it may still be on its way when it is first not there."""
        for look in range(2):
            if look:
                await asyncio.sleep(SECOND_LOOK_SECONDS)
            await self._reading.refresh()
            seen = self._names.find(client_order_id)
            if seen is not None:
                return seen
        return None

    # out

    async def _send(self, request: AnyRequest, stock: Stock) -> Sequence[Sent]:
        """On file first, then the socket: all of a family together, its last order transmits the others."""
        orders = orders_of(request)
        sent = [Sent(order, self._link.next_id()) for order in orders]
        self._ids.register(request, self._clock.now())
        self._ids.raise_floor(max(one.order_id for one in sent))
        for one in sent:
            self._ids.learn(one.request.client_order_id, str(one.order_id))
            self._link.board.forget(self._link.client_id, one.order_id)
        family = [self._built(request, sent, number) for number in range(len(sent))]

        def say(ib: Any) -> None:
            for order in family:
                ib.client.placeOrder(order.orderId, stock.contract, order)

        try:
            await self._link.send(len(family), say)
        except OutcomeUnknown as error:
            raise OrderRefused(f"nothing was sent. {error}") from error
        return sent

    def _built(self, request: AnyRequest, sent: Sequence[Sent], number: int) -> Any:
        """One order of the family: a bracket's legs name their entry, and only the last one transmits."""
        one, is_bracket = sent[number], isinstance(request, BracketRequest)
        is_alone = isinstance(request, OrderRequest) or (is_bracket and number == 0)
        group = "" if is_alone else sent[0].request.client_order_id
        place = Place(
            one.order_id, parent_id=sent[0].order_id if is_bracket and number else 0, oca_group=group,
            transmit=not is_bracket or number == len(sent) - 1,
        )  # fmt: skip
        return order_of(self._sdk, one.request, terms_of_request(one.request), place, self._reading.account)

    # and what comes back

    async def _answer(self, sent: Sequence[Sent]) -> str:
        """Wait until each order is taken, or something is said against one."""
        first = sent[0]
        if not await self._until(lambda: all(map(self._is_taken, sent)) or any(map(self._is_objected, sent))):
            raise OutcomeUnknown(
                f"{first.request.client_order_id} was sent to Interactive Brokers and not acknowledged within "
                f"{self._timeout:g} s. Look it up before anything is sent again"
            )
        if any(map(self._is_objected, sent)):
            await self._settle(sent)
        seen = self._seen(first)
        if seen is None:
            raise OutcomeUnknown(f"{first.request.client_order_id}: TWS shows no order under its id. Look it up")
        return str(seen.perm_id)

    async def _settle(self, sent: Sequence[Sent]) -> None:
        """Something was said against an order. What TWS shows decides: a family stands whole, or is withdrawn."""
        await self._reading.refresh()
        if all(self._is_alive(one) for one in sent):
            return  # it was a remark
        words = self._words(sent)
        if any(self._is_unknown(one) for one in sent):
            raise OutcomeUnknown(f"Interactive Brokers says {words}, and shows no such order. Look it up")
        live = [one for one in sent if self._is_open(one)]
        if live:
            await self._withdraw(live)
        if any(self._is_alive(one) for one in sent):
            return  # it has traded, or cannot be withdrawn: its reports tell the rest
        text = f"Interactive Brokers refused {sent[0].request.client_order_id} ({sent[0].request.symbol}): {words}"
        self._told.refuse([one.request.client_order_id for one in sent], self._advised(text))
        raise OrderRefused(self._advised(text))

    def _advised(self, text: str) -> str:
        return f"{text}. {READ_ONLY_ADVICE}" if self._link.is_read_only else text

    async def _withdraw(self, live: Sequence[Sent]) -> None:
        """Part of a family was refused: what was taken must not stand alone."""
        for one in live:
            await self._ask_cancel(one.order_id)
        await self._until(lambda: not any(map(self._is_open, live)))
        await self._reading.refresh()

    def _seen(self, sent: Sent) -> Seen | None:
        return self._link.board.at(self._link.client_id, sent.order_id)

    def _is_taken(self, sent: Sent) -> bool:
        seen = self._seen(sent)
        return seen is not None and seen.status in TAKEN

    def _is_objected(self, sent: Sent) -> bool:
        seen = self._seen(sent)
        is_off = seen is not None and seen.status in _NOT_TAKEN
        return is_off or any(meaning_of(one.code) in _OBJECTIONS for one in self._said(sent))

    def _is_alive(self, sent: Sent) -> bool:
        """It works, or has traded."""
        seen = self._seen(sent)
        return seen is not None and (self._is_open(sent) or seen.status == "Filled" or seen.filled > 0)

    def _is_open(self, sent: Sent) -> bool:
        seen = self._seen(sent)
        return seen is not None and seen.is_open and seen.status not in _NOT_TAKEN

    def _is_unknown(self, sent: Sent) -> bool:
        """TWS shows nothing of it, and what it said is not known to be a refusal."""
        said = self._said(sent)
        return self._seen(sent) is None and not any(meaning_of(one.code) is not Meaning.UNKNOWN for one in said)

    def _said(self, sent: Sent) -> Sequence[Complaint]:
        return self._link.board.complaints.get((self._link.client_id, sent.order_id), ())

    def _words(self, sent: Sequence[Sent]) -> str:
        said = {f"{one.code} {one.text}": None for order in sent for one in self._said(order)}
        return "; ".join(said) or "nothing about why"

    # changes

    async def replace(
        self, client_order_id: str, quantity: Decimal | None, limit_price: Decimal | None, stop_price: Decimal | None
    ) -> None:
        """Change an order of ours, and with its quantity that of the other exit of its family."""
        self._link.require_ready()
        await self._reading.refresh()
        seen = self._require_own(client_order_id)
        request = self._reading.request_of(client_order_id)
        if request is None:
            raise OrderRefused(f"{client_order_id} was not sent by this system: change it in TWS")
        if not seen.is_open:
            raise OrderRefused(f"{client_order_id} was not replaced: it has ended ({seen.status})")
        terms = self._reading.terms_of(seen, request).changed(quantity, limit_price, stop_price)
        asked = replace(
            request, quantity=terms.quantity, limit_price=terms.limit_price, stop_price=terms.stop_price
        )  # fmt: skip
        self._require_change(asked, (quantity, limit_price, stop_price), seen)
        stock = await self._stocks.of(request.symbol)
        self._require_ticks(stock, asked)
        await self._change(asked, seen, stock)
        if quantity is not None:
            await self._follow(asked, stock)

    def _require_change(self, asked: OrderRequest, given: tuple[Decimal | None, ...], seen: Seen) -> None:
        faults = form_faults(asked) if any(one is not None for one in given) else ["nothing to change was given"]
        if not faults and asked.quantity <= Decimal(seen.filled):
            faults = [f"{seen.filled:g} shares are already filled; cancel the rest instead"]
        family = self._ids.family(asked.client_order_id)
        if not faults and family is not None and not isinstance(family.request, OrderRequest):
            most = orders_of(family.request)[0].quantity
            if asked.quantity > most:
                faults = [f"its {'OCO' if isinstance(family.request, OcoRequest) else 'bracket'} is for {most} shares"]
        if faults:
            raise OrderRefused(f"{asked.client_order_id} was not replaced: {'; '.join(faults)}")

    async def _follow(self, asked: OrderRequest, stock: Stock) -> None:
        """The other exit sells the same shares: it takes over the quantity."""
        for other in self._exits_with(asked.client_order_id):
            seen = self._names.find(other.client_order_id)
            if seen is not None and seen.is_open:
                shown = self._reading.terms_of(seen, other)
                if shown.quantity != asked.quantity:
                    follower = replace(
                        other, quantity=asked.quantity, limit_price=shown.limit_price, stop_price=shown.stop_price
                    )  # fmt: skip
                    await self._change(follower, seen, stock)

    async def _change(self, asked: OrderRequest, seen: Seen, stock: Stock) -> None:
        """The same order, under its own id, with other terms; nothing else of it changes."""
        terms = terms_of_request(asked)
        if self._reading.terms_of(seen, asked) == terms:
            return
        shown = seen.order
        place = Place(seen.order_id, seen.parent_id, shown.ocaGroup if shown.ocaType else "")
        order = order_of(self._sdk, asked, terms, place, self._reading.account)
        self._link.board.complaints.pop(seen.key, None)
        sent = Sent(asked, seen.order_id)
        await self._link.send(1, lambda ib: ib.client.placeOrder(order.orderId, stock.contract, order))

        def is_answered() -> bool:
            return self._reading.terms_of(seen, asked) == terms or self._is_objected(sent) or not seen.is_open

        if not await self._until(is_answered):
            raise OutcomeUnknown(f"the change of {asked.client_order_id} was not acknowledged. Look, then ask again")
        if self._reading.terms_of(seen, asked) != terms or self._is_objected(sent):
            await self._reading.refresh()
        if self._reading.terms_of(seen, asked) != terms or not (seen.is_open or seen.filled):
            raise OrderRefused(f"{asked.client_order_id} was not replaced: {self._advised(self._words([sent]))}")
        self._reading.keep_news()

    # cancels

    async def cancel(self, client_order_id: str) -> None:
        """Ask; with one exit of a family the other goes too, as TWS does by itself in a bracket."""
        self._link.require_ready()
        await self._reading.refresh()
        seen = self._names.find(client_order_id)
        if seen is None and self._reading.order(client_order_id) is not None:
            return
        seen = self._require_own(client_order_id)
        if not seen.is_open:
            return
        await self._cancel(client_order_id, seen)
        for other in self._exits_with(client_order_id):
            sibling = self._names.find(other.client_order_id)
            if sibling is not None and sibling.is_open:
                await self._cancel(other.client_order_id, sibling)

    async def _cancel(self, client_order_id: str, seen: Seen) -> None:
        self._link.board.complaints.pop(seen.key, None)
        before = seen.status
        await self._ask_cancel(seen.order_id, seen.order)
        sent_key = seen.key

        def is_answered() -> bool:
            return seen.status != before or not seen.is_open or bool(self._link.board.complaints.get(sent_key))

        if before == "PendingCancel":
            return
        if not await self._until(is_answered):
            raise OutcomeUnknown(f"the cancel of {client_order_id} was not acknowledged. Ask again")
        said = self._link.board.complaints.get(sent_key, ())
        if any(meaning_of(one.code) in {Meaning.NOT_CANCELED, Meaning.REFUSED, Meaning.UNKNOWN} for one in said):
            await self._reading.refresh()
            if seen.is_open and seen.status != "PendingCancel":
                words = "; ".join(f"{one.code} {one.text}" for one in said)
                raise OrderRefused(f"{client_order_id} was not cancelled: {self._advised(words)}")

    async def _ask_cancel(self, order_id: int, order: Any = None) -> None:
        """The library wants the order, not its id; an order read from TWS may lack it."""
        asked = order if order is not None else self._sdk.Order(orderId=order_id)
        asked.orderId, asked.clientId = order_id, self._link.client_id
        await self._link.send(1, lambda ib: ib.cancelOrder(asked))

    def _require_own(self, client_order_id: str) -> Seen:
        seen = self._names.find(client_order_id)
        if seen is None or self._told.refusal(client_order_id) is not None:
            raise OrderRefused(f"Interactive Brokers has no order {client_order_id}, open or ended today")
        if seen.is_open and seen.client_id != self._link.client_id:
            raise OrderRefused(
                f"{client_order_id} was made by client {seen.client_id} (0: by hand), and only it may change or cancel "
                "it: do it in TWS"
            )
        return seen

    def _exits_with(self, client_order_id: str) -> Sequence[OrderRequest]:
        """The other exits of the order's family; none for an entry."""
        family = self._ids.family(client_order_id)
        if family is None or isinstance(family.request, OrderRequest):
            return ()
        orders = orders_of(family.request)
        exits = orders[1:] if isinstance(family.request, BracketRequest) else orders
        is_exit = any(one.client_order_id == client_order_id for one in exits)
        return [one for one in exits if one.client_order_id != client_order_id] if is_exit else ()

    async def _until(self, is_so: Callable[[], bool]) -> bool:
        """Wait for messages until something is so; False when it is not in time, or the connection went."""
        try:
            async with asyncio.timeout(self._timeout):
                while not is_so():
                    if not self._link.is_connected():
                        return False
                    await self._link.board.change()
        except TimeoutError:
            return is_so()
        return True
