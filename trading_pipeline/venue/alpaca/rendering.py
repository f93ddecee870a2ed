"""Orders and news of them as Alpaca's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.orders import OrderType, Side
from trading_pipeline.venue.alpaca.model import CANCELED, EXPIRED, FILLED, REJECTED, REPLACED, AlpacaOrder, News
from trading_pipeline.venue.alpaca.orders import Orders
from trading_pipeline.venue.alpaca.wire import asset_id, nanos, stamp, text_of

FINEST_AVERAGE = Decimal("1e-9")
_ENDED_AT = {
    FILLED: "filled_at", EXPIRED: "expired_at", CANCELED: "canceled_at", REJECTED: "failed_at",
    REPLACED: "replaced_at",
}  # fmt: skip
_NEVER_HERE = dict.fromkeys(("notional", "trail_percent", "subtag", "source"))


def order_json(orders: Orders, order: AlpacaOrder, *, nested: bool = False) -> dict[str, Any]:
    """One order; nested: with its legs."""
    legs = orders.legs(order) if nested else ()
    return {
        **_identity(order),
        **_times(order),
        **_terms(orders, order),
        **_NEVER_HERE,
        "legs": [order_json(orders, leg) for leg in legs] or None,
    }


def orders_json(orders: Orders, found: Sequence[AlpacaOrder], *, nested: bool) -> list[dict[str, Any]]:
    return [order_json(orders, order, nested=nested) for order in found]


def news_json(orders: Orders, news: News) -> dict[str, Any]:
    """A message of the trade_updates stream."""
    told = {"event": news.event, "timestamp": stamp(news.at), "order": order_json(orders, news.order)}
    execution = news.execution or {}
    numbers = {name: text_of(value) for name, value in execution.items() if isinstance(value, Decimal)}
    if execution:
        told |= numbers | {"execution_id": execution["execution_id"]}
    return {"stream": "trade_updates", "data": told}


def _identity(order: AlpacaOrder) -> dict[str, Any]:
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "asset_id": asset_id(order.request.symbol),
        "symbol": order.request.symbol,
        "asset_class": "us_equity",
        "order_class": order.order_class,
        "status": order.status,
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
    }


def _times(order: AlpacaOrder) -> dict[str, Any]:
    ended: dict[str, str | None] = dict.fromkeys(_ENDED_AT.values())
    if order.ended_at is not None:
        ended[_ENDED_AT[order.status]] = stamp(order.ended_at)
    return {
        "created_at": stamp(order.created_at),
        "updated_at": stamp(order.updated_at),
        "submitted_at": stamp(order.created_at),
        "expires_at": stamp(nanos(order.expires_at)),
        **ended,
    }


def _terms(orders: Orders, order: AlpacaOrder) -> dict[str, Any]:
    request = order.request
    is_buy = request.side is Side.BUY
    average = (order.value_usd / order.filled).quantize(FINEST_AVERAGE) if order.filled else None
    return {
        "qty": text_of(order.quantity),
        "filled_qty": text_of(order.filled),
        "filled_avg_price": text_of(average),
        "type": request.order_type.value.lower(),
        "order_type": request.order_type.value.lower(),
        "side": request.side.value.lower(),
        "position_intent": "buy_to_open" if is_buy else "sell_to_close",
        "time_in_force": request.time_in_force.value.lower(),
        "limit_price": text_of(order.limit_price),
        "stop_price": text_of(order.stop_price),
        "extended_hours": False,
        **_trail(orders, order),
    }


def _trail(orders: Orders, order: AlpacaOrder) -> dict[str, Any]:
    """A trailing stop's level moves with the market; nobody reports it."""
    if order.request.order_type is not OrderType.TRAILING_STOP:
        return {"trail_price": None, "hwm": None}
    ticket = orders.ticket(order)
    stop, trail = ticket.terms[-1].stop_price, ticket.trail_amount or Decimal(0)
    mark = None if stop is None else stop - trail if ticket.is_buy else stop + trail
    return {"trail_price": text_of(trail), "stop_price": text_of(stop), "hwm": text_of(mark)}
