"""Orders that join others already on the book: a leg its entry, one side of an OCO the other."""

from __future__ import annotations

from dataclasses import replace

from trading_pipeline.domain.orders import BracketRequest, OcoRequest, OrderRequest
from trading_pipeline.venue.book import Book
from trading_pipeline.venue.checks import STOPS, form_faults
from trading_pipeline.venue.tickets import Ticket

Family = BracketRequest | OcoRequest


def joined(book: Book, known: Ticket, order: OrderRequest) -> Family | None:
    """What both are together, as the book stands; None when they make no family the venue knows.

    A leg for more than its entry buys is one for what it buys.
    """
    if not known.is_buy:
        return _oco(known, order)
    sent = known.sent
    legs = [book.tickets[name].request for name in known.leg_ids] if isinstance(sent, BracketRequest) else []
    quantity = known.quantity if known.is_open else known.cum_qty
    same = [replace(one, quantity=quantity) for one in (known.request, *legs)]
    cut = replace(order, quantity=min(order.quantity, quantity))
    stops = [leg for leg in (*same[1:], cut) if leg.order_type in STOPS]
    targets = [leg for leg in (*same[1:], cut) if leg.order_type not in STOPS]
    if len(stops) != 1 or len(targets) > 1:
        return None
    return BracketRequest(entry=same[0], stop=stops[0], target=targets[0] if targets else None)


def join_faults(book: Book, known: Ticket, family: Family | None, order: OrderRequest) -> list[str]:
    """Why an order cannot join; empty when it can."""
    if family is None:
        return ["the venue carries brackets of a stop, or a stop and a target, and pairs of a stop and a target"]
    if not known.is_open and not (known.is_buy and known.cum_qty):
        return [f"{known.client_order_id} has ended ({known.status})"]
    faults = form_faults(family)
    if faults or not known.is_buy or known.leg_ids:
        return faults
    sellable = book.sellable(order.symbol)
    return (
        [f"{sellable} shares are free to sell, {known.cum_qty} are to be covered"] if known.cum_qty > sellable else []
    )


def _oco(known: Ticket, order: OrderRequest) -> OcoRequest | None:
    if known.entry_id is not None or known.oco_ids:
        return None
    first = replace(known.request, quantity=known.quantity)
    if (first.order_type in STOPS) == (order.order_type in STOPS):
        return None
    stop, target = (first, order) if first.order_type in STOPS else (order, first)
    return OcoRequest(stop=stop, target=target)
