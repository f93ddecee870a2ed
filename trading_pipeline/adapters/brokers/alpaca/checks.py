"""What Alpaca would refuse anyway, found before anything is sent: all reasons at once, and no request spent."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

from trading_pipeline.adapters.brokers.alpaca.book import REPLACEMENT, replacement_id
from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.money import CENT
from trading_pipeline.domain.orders import AnyRequest, BracketRequest, OcoRequest, OrderRequest, OrderType
from trading_pipeline.venue.checks import form_faults, orders_of, price_faults

LONGEST_ID = 128
"""Characters of a client_order_id."""
ROOM = len(replacement_id("", 9_999))
"""For the number of a replacement."""


def require_sendable(request: AnyRequest) -> None:
    """Raises OrderRefused with every reason why Alpaca would not take it."""
    faults = [*form_faults(request), *_faults(request)]
    if faults:
        first = orders_of(request)[0]
        raise OrderRefused(
            f"{first.client_order_id} ({first.symbol}) was not sent to Alpaca: {'; '.join(faults)}. Correct the plan"
        )


def require_prices(client_order_id: str, *, stop_price: Decimal | None, limit_price: Decimal | None) -> None:
    """Raises OrderRefused when a new price is none."""
    faults = [*price_faults(OrderType.LIMIT, limit_price, None)] if limit_price is not None else []
    faults += [*price_faults(OrderType.STOP, None, stop_price)] if stop_price is not None else []
    if faults:
        raise OrderRefused(f"{client_order_id} was not replaced: {'; '.join(faults)}")
    if stop_price is None and limit_price is None:
        raise OrderRefused(f"{client_order_id} was not replaced: no new price was given")


def _faults(request: AnyRequest) -> Iterator[str]:
    for order in orders_of(request):
        if REPLACEMENT.fullmatch(order.client_order_id):
            yield f"{order.client_order_id}: ids that end in ~ and a number are kept for replacements"
        if not 0 < len(order.client_order_id) <= LONGEST_ID - ROOM:
            yield f"a client_order_id has 1 to {LONGEST_ID - ROOM} characters, not {len(order.client_order_id)}"
    match request:
        case BracketRequest(entry=entry, stop=stop, target=target):
            if entry.order_type not in {OrderType.MARKET, OrderType.LIMIT}:
                yield f"the entry of a bracket is a market or limit order, no {entry.order_type}"
            yield from _too_close(stop, entry.limit_price, target)
        case OcoRequest(stop=stop, target=target):
            yield from _too_close(stop, None, target)


def _too_close(stop: OrderRequest, base: Decimal | None, target: OrderRequest | None) -> Iterator[str]:
    prices = [stop.stop_price, base, target.limit_price if target else None]
    known = [price for price in prices if price is not None and price.is_finite()]
    if any(high - low < CENT for low, high in pairwise(known)):
        yield "stop, entry and target must be at least 0.01 USD apart, in that order"
