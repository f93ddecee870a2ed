"""Sending orders. What TWS objects to is a hint: what it then shows decides whether an order was taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trading_pipeline.adapters.brokers.ib.board import Complaint, Seen
from trading_pipeline.adapters.brokers.ib.codes import NOT_TAKEN, TAKEN, Meaning, meaning_of
from trading_pipeline.adapters.brokers.ib.contracts import Stock
from trading_pipeline.adapters.brokers.ib.shapes import Place, kind_of, order_of, terms_of_request
from trading_pipeline.adapters.brokers.ib.tools import Tools, require_ticks, words_of
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import AnyRequest, BracketRequest, OrderRequest
from trading_pipeline.ports import VenueOrder
from trading_pipeline.venue.checks import form_faults, orders_of

SECOND_LOOK_SECONDS = 0.25
_OBJECTIONS = frozenset({Meaning.REFUSED, Meaning.UNKNOWN, Meaning.ENDED, Meaning.REQUEST})


@dataclass(frozen=True, slots=True)
class Sent:
    """One order of a family under the id it left with."""

    request: OrderRequest
    order_id: int


class Submitting:
    """Sends one family at a time: whoever calls holds the turn."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def submit(self, request: AnyRequest) -> str:
        """Send, unless it is there; returns the permId. Raises OrderRefused or OutcomeUnknown."""
        _require_form(request)
        if self._was_sent(request):
            self._tools.link.require_ready()
            found = await self._look_for(orders_of(request)[0].client_order_id)
            if found is not None:
                return found.venue_order_id
        with _unsent():
            self._tools.link.require_ready()
            stock = await self._tools.stocks.of(orders_of(request)[0].symbol)
            require_ticks(stock, *orders_of(request))
            await self._tools.link.turn(len(orders_of(request)))
        sent = self._send(request, stock)
        with self._tools.reading.untold(order.client_order_id for order in orders_of(request)):
            permanent = await self._answer(sent)
        self._tools.reading.keep_news()
        return permanent

    def _was_sent(self, request: AnyRequest) -> bool:
        """True when it may have left before. Raises OrderRefused for what was refused, and for other content."""
        first, tools = orders_of(request)[0], self._tools
        refusal = tools.told.refusal(first.client_order_id)
        if refusal is not None:
            raise OrderRefused(refusal)
        family, seen = tools.ids.family(first.client_order_id), tools.names.find(first.client_order_id)
        has_left = bool(tools.ids.venue_ids(first.client_order_id)) or tools.names.is_known(first.client_order_id)
        is_other = has_left and family is not None and family.request != request
        if is_other or (family is None and seen is not None and not self._is_alike(first, seen)):
            raise OrderRefused(
                f"{first.client_order_id} is already the id of another order at Interactive Brokers; send a new intent "
                "under a new id"
            )
        return has_left or seen is not None

    def _is_alike(self, order: OrderRequest, seen: Seen) -> bool:
        """An order at TWS under an id of which we have no record."""
        view = self._tools.reading.view(seen)
        return (view.symbol, view.side, view.order_type) == (order.symbol, order.side, order.order_type)

    async def _look_for(self, client_order_id: str) -> VenueOrder | None:
        """Look twice: it may still be on its way when it is first not there. One that has ended was there too."""
        for look in range(2):
            if look:
                await asyncio.sleep(SECOND_LOOK_SECONDS)
            await self._tools.reading.refresh()
            found = self._tools.reading.order(client_order_id)
            if found is not None:
                return found
        return None

    # out

    def _send(self, request: AnyRequest, stock: Stock) -> Sequence[Sent]:
        """On file first, then the socket, in the turn that was taken: all of a family together, its last order
        transmits the others."""
        tools = self._tools
        sent = [Sent(order, tools.link.next_id()) for order in orders_of(request)]
        tools.ids.register(request, tools.clock.now())
        tools.ids.raise_floor(max(one.order_id for one in sent))
        tools.ids.learn_all((one.request.client_order_id, str(one.order_id)) for one in sent)
        for one in sent:
            tools.board.forget(tools.link.client_id, one.order_id)
        family = [self._built(request, sent, number) for number in range(len(sent))]

        def say(ib: Any) -> None:
            for order in family:
                ib.client.placeOrder(order.orderId, stock.contract, order)

        tools.link.say(say)
        return sent

    def _built(self, request: AnyRequest, sent: Sequence[Sent], number: int) -> Any:
        """One order of the family: a bracket's legs name their entry, and only the last one transmits."""
        one, is_bracket = sent[number], isinstance(request, BracketRequest)
        is_alone = isinstance(request, OrderRequest) or (is_bracket and number == 0)
        place = Place(
            one.order_id,
            parent_id=sent[0].order_id if is_bracket and number else 0,
            oca_group="" if is_alone else sent[0].request.client_order_id,
            transmit=not is_bracket or number == len(sent) - 1,
        )
        account = self._tools.reading.account
        return order_of(self._tools.sdk, one.request, terms_of_request(one.request), place, account)

    # and what comes back

    async def _answer(self, sent: Sequence[Sent]) -> str:
        """Wait until each order is taken, or something is said against one."""
        first = sent[0].request.client_order_id
        is_told = await self._tools.until(lambda: all(map(self._is_taken, sent)) or any(map(self._is_objected, sent)))
        if not is_told and not self._is_in_parts(sent):
            raise OutcomeUnknown(
                f"{first} was sent to Interactive Brokers and not acknowledged within {self._tools.timeout_seconds:g} "
                "s. Look it up before anything is sent again"
            )
        if not all(map(self._is_taken, sent)) or any(map(self._is_objected, sent)):
            await self._settle(sent)
        seen = self._seen(sent[0])
        if seen is None:
            raise OutcomeUnknown(f"{first}: TWS shows no order under its id. Look it up")
        return str(seen.perm_id)

    async def _settle(self, sent: Sequence[Sent]) -> None:
        """Something was said against an order. What TWS shows decides: a family stands whole, or is withdrawn."""
        tools = self._tools
        await tools.reading.refresh()
        if all(map(self._is_alive, sent)):
            return  # it was a remark
        words = words_of([said for one in sent for said in self._said(one)])
        if any(map(self._is_unexplained, sent)):
            raise OutcomeUnknown(f"Interactive Brokers says {words}, and shows no such order. Look it up")
        live = [seen for seen in map(self._seen, sent) if seen is not None and seen.is_open]
        await self._withdraw(live)
        if any(map(self._is_alive, sent)):
            return  # it has traded, or cannot be withdrawn: its reports tell the rest
        first = sent[0].request
        if any(seen.is_open for seen in live):
            raise OutcomeUnknown(f"{first.client_order_id} is held by TWS and may come back ({words}). Look it up")
        text = tools.advised(f"Interactive Brokers refused {first.client_order_id} ({first.symbol}): {words}")
        tools.told.refuse([one.request.client_order_id for one in sent], text)
        raise OrderRefused(text)

    async def withdraw_parts(self) -> None:
        """Cancel entries whose last leg never arrived, before a crash or a cut: nothing of them was transmitted."""
        names, told = self._tools.names, self._tools.told
        for family in self._tools.ids.unfinished():
            if not isinstance(family.request, BracketRequest):
                continue
            members = [order.client_order_id for order in orders_of(family.request)]
            found = {name: names.find(name) for name in members}
            if self._may_have_bought(members[0], found[members[0]]):
                continue  # its exits may be all that protects what was bought
            if any(seen is None and not told.of(name) for name, seen in found.items()):
                await self._withdraw([seen for seen in found.values() if seen is not None and seen.is_open])

    def _may_have_bought(self, entry_id: str, seen: Seen | None) -> bool:
        """False when TWS shows, or told, of an entry that it bought nothing."""
        told = self._tools.told.of(entry_id)
        if seen is None:
            return not told or any(one.last_qty for one in told)
        return seen.status == "Filled" or seen.filled > 0 or any(one.last_qty for one in told)

    def _is_in_parts(self, sent: Sequence[Sent]) -> bool:
        """TWS answers, and shows some of a family, and not all of it."""
        return self._tools.link.is_connected() and any(map(self._seen, sent)) and not all(map(self._seen, sent))

    async def _withdraw(self, live: Sequence[Seen]) -> None:
        """What was taken of a family must not stand alone, nor what is held come back without it."""
        for seen in live:
            await self._tools.ask_cancel(seen)
        if live:
            await self._tools.until(lambda: not any(seen.is_open for seen in live))
            await self._tools.reading.refresh()

    def _seen(self, sent: Sent) -> Seen | None:
        return self._tools.board.at(self._tools.link.client_id, sent.order_id)

    def _said(self, sent: Sent) -> Sequence[Complaint]:
        return self._tools.said((self._tools.link.client_id, sent.order_id))

    def _is_taken(self, sent: Sent) -> bool:
        seen = self._seen(sent)
        return seen is not None and seen.status in TAKEN

    def _is_objected(self, sent: Sent) -> bool:
        seen = self._seen(sent)
        is_off = seen is not None and seen.status in NOT_TAKEN
        return is_off or any(meaning_of(one.code) in _OBJECTIONS for one in self._said(sent))

    def _is_alive(self, sent: Sent) -> bool:
        """It works, or has traded."""
        seen = self._seen(sent)
        return seen is not None and (_works(seen) or seen.status == "Filled" or seen.filled > 0)

    def _is_unexplained(self, sent: Sent) -> bool:
        """TWS shows nothing of it, and what it said, if anything, is not known to be a refusal."""
        said = self._said(sent)
        return self._seen(sent) is None and all(meaning_of(one.code) is Meaning.UNKNOWN for one in said) and bool(said)


@contextmanager
def _unsent() -> Iterator[None]:
    """What stops an order before it is on file is no refusal of it: it is sent when TWS is there, unless it expires."""
    try:
        yield
    except OutcomeUnknown as error:
        raise OutcomeUnknown(f"nothing was sent. {error}") from error


def _works(seen: Seen) -> bool:
    return seen.is_open and seen.status not in NOT_TAKEN


def _require_form(request: AnyRequest) -> None:
    faults = form_faults(request)
    if faults:
        raise OrderRefused(f"not sent to Interactive Brokers: {'; '.join(faults)}")
    for order in orders_of(request):
        kind_of(order)
