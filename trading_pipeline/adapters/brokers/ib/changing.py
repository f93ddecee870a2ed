"""Changing and cancelling orders of ours: the same order under its own id, with other terms or with none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from trading_pipeline.adapters.brokers.ib.board import Seen
from trading_pipeline.adapters.brokers.ib.codes import NOT_TAKEN, Meaning, meaning_of
from trading_pipeline.adapters.brokers.ib.contracts import Stock
from trading_pipeline.adapters.brokers.ib.shapes import Place, Terms, order_of, terms_of_request
from trading_pipeline.adapters.brokers.ib.tools import Tools, require_ticks, words_of
from trading_pipeline.domain.errors import OrderRefused, OutcomeUnknown
from trading_pipeline.domain.orders import BracketRequest, OrderRequest
from trading_pipeline.venue.checks import form_faults, orders_of

PENDING_CANCEL = "PendingCancel"
_OBJECTIONS = frozenset({Meaning.REFUSED, Meaning.NOT_CANCELED, Meaning.UNKNOWN, Meaning.REQUEST})


class Changing:
    """Does one thing at a time: whoever calls holds the turn."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    # other terms

    async def replace(
        self, client_order_id: str, quantity: Decimal | None, limit_price: Decimal | None, stop_price: Decimal | None
    ) -> None:
        """Change prices, or the quantity with that of the family's other exit. Raises OrderRefused, OutcomeUnknown."""
        seen = await self._own(client_order_id)
        request = self._tools.reading.request_of(client_order_id)
        if request is None:
            raise OrderRefused(f"{client_order_id} was not sent by this system: change it in TWS")
        if not seen.is_open:
            raise OrderRefused(f"{client_order_id} was not replaced: it has ended ({seen.status})")
        if quantity is limit_price is stop_price is None:
            raise OrderRefused(f"{client_order_id} was not replaced: neither a price nor a quantity was given")
        asked = _worded(request, self._shown(seen, request).changed(quantity, limit_price, stop_price))
        self._require_change(asked, seen)
        stock = await self._tools.stocks.of(request.symbol)
        require_ticks(stock, asked)
        await self._change(asked, seen, stock)
        if quantity is not None:
            await self._follow(asked, stock)

    def _require_change(self, asked: OrderRequest, seen: Seen) -> None:
        faults = form_faults(asked)
        if not faults and asked.quantity <= Decimal(seen.filled):
            faults = [f"{seen.filled:g} shares are already filled; cancel the rest instead"]
        family = self._tools.ids.family(asked.client_order_id)
        if not faults and family is not None and not isinstance(family.request, OrderRequest):
            most = orders_of(family.request)[0].quantity
            faults = [f"it was sent with others for {most} shares"] if asked.quantity > most else []
        if faults:
            raise OrderRefused(f"{asked.client_order_id} was not replaced: {'; '.join(faults)}")

    async def _follow(self, asked: OrderRequest, stock: Stock) -> None:
        """The other exit sells the same shares: it takes over the quantity."""
        for other in self._exits_beside(asked.client_order_id):
            seen = self._tools.names.find(other.client_order_id)
            if seen is not None and seen.is_open:
                terms = replace(self._shown(seen, other), quantity=asked.quantity)
                await self._change(_worded(other, terms), seen, stock)

    async def _change(self, asked: OrderRequest, seen: Seen, stock: Stock) -> None:
        """Send the order again with other terms; nothing else of it changes. Nothing leaves when it has them."""
        tools, terms = self._tools, terms_of_request(asked)
        if self._shown(seen, asked) == terms:
            return
        group = seen.order.ocaGroup if seen.order.ocaType else ""
        place = Place(seen.order_id, seen.parent_id, group)
        order = order_of(tools.sdk, asked, terms, place, tools.reading.account)
        tools.board.complaints.pop(seen.key, None)
        await tools.link.send(1, lambda ib: ib.client.placeOrder(order.orderId, stock.contract, order))

        def is_answered() -> bool:
            return self._shown(seen, asked) == terms or self._is_objected(seen) or not seen.is_open

        if not await tools.until(is_answered):
            raise OutcomeUnknown(f"the change of {asked.client_order_id} was not acknowledged. Look, then ask again")
        await self._require_changed(asked, seen)
        tools.reading.keep_news()

    async def _require_changed(self, asked: OrderRequest, seen: Seen) -> None:
        """What TWS shows decides, whatever it said."""
        tools, terms = self._tools, terms_of_request(asked)
        said = tools.said(seen.key)
        if self._is_objected(seen) or self._shown(seen, asked) != terms:
            await tools.reading.refresh()
        if self._shown(seen, asked) != terms:
            why = words_of(said) if seen.is_open else f"it has ended ({seen.status})"
            raise OrderRefused(f"{asked.client_order_id} was not replaced: {tools.advised(why)}")

    def _shown(self, seen: Seen, request: OrderRequest) -> Terms:
        return self._tools.reading.terms_of(seen, request)

    def _is_objected(self, seen: Seen) -> bool:
        is_off = seen.status in NOT_TAKEN
        return is_off or any(meaning_of(one.code) in _OBJECTIONS for one in self._tools.said(seen.key))

    # no terms

    async def cancel(self, client_order_id: str) -> None:
        """Ask; with one exit of a family the other goes too. Raises OrderRefused, OutcomeUnknown."""
        seen = await self._own(client_order_id)
        if not seen.is_open:
            return
        await self._cancel(client_order_id, seen)
        for other in self._exits_beside(client_order_id):
            sibling = self._tools.names.find(other.client_order_id)
            if sibling is not None and sibling.is_open:
                await self._cancel(other.client_order_id, sibling)

    async def _cancel(self, client_order_id: str, seen: Seen) -> None:
        tools, before = self._tools, seen.status
        if before == PENDING_CANCEL:
            return
        tools.board.complaints.pop(seen.key, None)
        await tools.ask_cancel(seen)
        if not await tools.until(lambda: seen.status != before or not seen.is_open or bool(tools.said(seen.key))):
            raise OutcomeUnknown(f"the cancel of {client_order_id} was not acknowledged. Ask again")
        said = tools.said(seen.key)
        if any(meaning_of(one.code) in _OBJECTIONS for one in said):
            await tools.reading.refresh()
            if seen.is_open and seen.status != PENDING_CANCEL:
                raise OrderRefused(f"{client_order_id} was not cancelled: {tools.advised(words_of(said))}")

    # both

    async def _own(self, client_order_id: str) -> Seen:
        """An order of this client, as TWS shows it now. Raises OrderRefused for any other."""
        tools = self._tools
        tools.link.require_ready()
        await tools.reading.refresh()
        seen = tools.names.find(client_order_id)
        if seen is None or tools.told.refusal(client_order_id) is not None:
            raise OrderRefused(f"Interactive Brokers has no order {client_order_id}, open or ended today")
        if seen.is_open and seen.client_id != tools.link.client_id:
            raise OrderRefused(
                f"{client_order_id} was made by client {seen.client_id} (0: by hand) and this is client "
                f"{tools.link.client_id}: only who made an order may change or cancel it. Correct broker.ib.client_id, "
                "or do it in TWS"
            )
        return seen

    def _exits_beside(self, client_order_id: str) -> Sequence[OrderRequest]:
        """The other exits of the order's family; none for an entry."""
        family = self._tools.ids.family(client_order_id)
        if family is None or isinstance(family.request, OrderRequest):
            return ()
        orders = orders_of(family.request)
        exits = orders[1:] if isinstance(family.request, BracketRequest) else orders
        is_exit = any(one.client_order_id == client_order_id for one in exits)
        return [one for one in exits if one.client_order_id != client_order_id] if is_exit else ()


def _worded(request: OrderRequest, terms: Terms) -> OrderRequest:
    return replace(
        request, quantity=terms.quantity, limit_price=terms.limit_price, stop_price=terms.stop_price
    )  # fmt: skip
