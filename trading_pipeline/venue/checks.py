"""Why the simulated venue refuses an order: pure checks, every one run, all reasons given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from trading_pipeline.domain.money import SUB_PENNY, ZERO, tick_size
from trading_pipeline.domain.orders import (
    AnyRequest,
    BracketRequest,
    OcoRequest,
    OrderRequest,
    OrderType,
    Side,
    TimeInForce,
)

RESTING = frozenset({TimeInForce.DAY, TimeInForce.GTC})
AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})
STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
HIGHEST_PRICE_USD = Decimal(10_000_000)
_PRICES = {  # what each type must carry: (limit, stop); None: as it likes
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
    OrderType.TRAILING_STOP: (False, None),
}


def orders_of(request: AnyRequest) -> tuple[OrderRequest, ...]:
    """The entry first, then a bracket's stop and target; an OCO's stop before its target."""
    if isinstance(request, OrderRequest):
        return (request,)
    if isinstance(request, OcoRequest):
        return (request.stop, request.target)
    return (request.entry, request.stop, *([request.target] if request.target else []))


def form_faults(request: AnyRequest) -> list[str]:
    """What is wrong with a request whatever the account holds; empty when it is well formed."""
    faults = [f"{order.client_order_id}: {fault}" for order in orders_of(request) for fault in _order_faults(order)]
    if faults or isinstance(request, OrderRequest):
        return faults
    name, found = (
        ("OCO", _oco_faults(request)) if isinstance(request, OcoRequest) else ("bracket", _bracket_faults(request))
    )
    return [f"{name} {orders_of(request)[0].client_order_id}: {fault}" for fault in found]


def as_kept(order: OrderRequest) -> OrderRequest:
    """A refused order as the venue can keep it: NaN and infinity are left out."""
    return replace(
        order,
        quantity=_finite(order.quantity) or ZERO,
        limit_price=_finite(order.limit_price),
        stop_price=_finite(order.stop_price),
        trail_amount=_finite(order.trail_amount),
    )


def _finite(number: Decimal | None) -> Decimal | None:
    return number if number is not None and number.is_finite() else None


def price_faults(order_type: OrderType, limit_price: Decimal | None, stop_price: Decimal | None) -> Iterator[str]:
    """Prices missing, needless, not a price, or finer than the tick."""
    for name, price, needed in zip(("limit", "stop"), (limit_price, stop_price), _PRICES[order_type], strict=True):
        if needed is not None and (price is not None) != needed:
            yield f"a {order_type} order {'needs a' if needed else 'takes no'} {name} price"
        elif price is None:
            continue
        elif not price.is_finite() or not 0 < price <= HIGHEST_PRICE_USD:
            yield f"{name} price {price} must be finite and above zero, at most {HIGHEST_PRICE_USD} USD"
        elif price % tick_size(price):
            yield f"{name} price {price} is finer than the tick of {tick_size(price)} USD"


def quantity_faults(quantity: Decimal) -> Iterator[str]:
    """A quantity that is not a number of shares."""
    if not quantity.is_finite() or quantity <= 0 or quantity != quantity.to_integral_value():
        yield f"quantity {quantity} must be whole shares above zero"


def trail_faults(order: OrderRequest) -> Iterator[str]:
    """A trailing distance missing, needless, or no distance."""
    trail, trails = order.trail_amount, order.order_type is OrderType.TRAILING_STOP
    if (trail is not None) != trails:
        yield f"a {order.order_type} order {'needs a' if trails else 'takes no'} trail amount"
    elif trail is not None and (not trail.is_finite() or not 0 < trail <= HIGHEST_PRICE_USD or trail % SUB_PENNY):
        yield f"trail amount {trail} must be above zero, at most {HIGHEST_PRICE_USD} USD, in steps of {SUB_PENNY}"


def _order_faults(order: OrderRequest) -> Iterator[str]:
    yield from quantity_faults(order.quantity)
    if order.time_in_force in AUCTIONS and order.order_type not in {OrderType.MARKET, OrderType.LIMIT}:
        yield f"an auction takes MARKET and LIMIT orders, no {order.order_type}"
    yield from trail_faults(order)
    yield from price_faults(order.order_type, order.limit_price, order.stop_price)


def _bracket_faults(bracket: BracketRequest) -> Iterator[str]:
    entry, stop, target = bracket.entry, bracket.stop, bracket.target
    orders = orders_of(bracket)
    if len({order.client_order_id for order in orders}) < len(orders):
        yield (
            f"entry and legs need {len(orders)} different ids"
            if target is None
            else "entry, stop and target need three different ids"
        )
    if entry.side is not Side.BUY or any(leg.side is not Side.SELL for leg in orders[1:]):
        yield "the account is long only: buy the entry, sell the stop and the target"
    if len({(order.symbol, order.quantity) for order in orders}) > 1:
        yield "entry, stop and target must agree in symbol and quantity"
    if not {order.time_in_force for order in orders} <= RESTING:
        yield "entry, stop and target must be DAY or GTC"
    yield from _exit_faults(stop, target, entry.limit_price)
    if entry.time_in_force is TimeInForce.GTC and TimeInForce.DAY in {leg.time_in_force for leg in orders[1:]}:
        yield "DAY legs would expire under a GTC entry and leave its fills unprotected; make the legs GTC"


def _oco_faults(oco: OcoRequest) -> Iterator[str]:
    stop, target = oco.stop, oco.target
    if stop.client_order_id == target.client_order_id:
        yield "stop and target need two different ids"
    if {stop.side, target.side} != {Side.SELL}:
        yield "the account is long only: both sides sell"
    if (stop.symbol, stop.quantity, stop.time_in_force) != (target.symbol, target.quantity, target.time_in_force):
        yield "stop and target must agree in symbol, quantity and time in force"
    if stop.time_in_force not in RESTING:
        yield "stop and target must be DAY or GTC"
    yield from _exit_faults(stop, target, None)


def _exit_faults(stop: OrderRequest, target: OrderRequest | None, entry_price: Decimal | None) -> Iterator[str]:
    if stop.order_type not in STOPS or (target is not None and target.order_type is not OrderType.LIMIT):
        yield "the stop must be a STOP or STOP_LIMIT and the target a LIMIT"
    elif not _ascending(stop.stop_price, entry_price, target.limit_price if target else None):
        yield "prices must rise from stop over entry to target"


def _ascending(*prices: Decimal | None) -> bool:
    known = [price for price in prices if price is not None]
    return all(low < high for low, high in pairwise(known))
