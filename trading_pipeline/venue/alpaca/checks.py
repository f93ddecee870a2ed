"""Why Alpaca would not take an order: its rules, codes and words, checked before the engine's own."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NoReturn

from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.money import CENT, plain
from trading_pipeline.domain.orders import OrderRequest, OrderType, Side, TimeInForce
from trading_pipeline.venue.alpaca.context import FORBIDDEN, AlpacaError
from trading_pipeline.venue.alpaca.model import AlpacaOrder
from trading_pipeline.venue.alpaca.requests import NewOrder, invalid, unprocessable
from trading_pipeline.venue.alpaca.wire import asset_id
from trading_pipeline.venue.book import Book

RESTING = frozenset({TimeInForce.DAY, TimeInForce.GTC})
_PRICES = {  # what each type must carry: (limit, stop)
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
    OrderType.TRAILING_STOP: (False, False),
}


def forbidden(message: str, **details: str) -> AlpacaError:
    """403 for what the account may or can not do."""
    return AlpacaError(403, FORBIDDEN, message, **details)


def form_checks(order: NewOrder) -> None:
    """Raises AlpacaError for prices, legs and lives that do not go together."""
    for name, price, needed in zip(
        ("limit", "stop"), (order.limit_price, order.stop_price), _PRICES[order.order_type], strict=True
    ):
        if needed and price is None:
            raise invalid(f"{order.order_type.value.lower()} orders require {name} price")
        if price is not None and not needed:
            raise invalid(f"{order.order_type.value.lower()} orders must not have {name} price")
    if (order.trail_price is not None) != (order.order_type is OrderType.TRAILING_STOP):
        raise invalid("trailing stop orders must specify one of trail_price or trail_percent, and no other order may")
    if order.order_class:
        _LEG_CHECKS[order.order_class](order)
    elif order.target or order.stop or order.stop_limit:
        raise invalid("simple orders must not have take_profit or stop_loss")


def _bracket_checks(order: NewOrder) -> None:
    _entry_checks(order)
    if order.target is None or order.stop is None:
        raise invalid("bracket orders require take_profit.limit_price and stop_loss.stop_price")


def _oto_checks(order: NewOrder) -> None:
    _entry_checks(order)
    if order.stop is None or order.target is not None:
        raise invalid("oto orders require one of take_profit or stop_loss; this venue carries stop_loss only")


def _entry_checks(order: NewOrder) -> None:
    name = order.order_class
    if order.order_type not in {OrderType.MARKET, OrderType.LIMIT}:
        raise invalid(f"{name} orders must be market or limit orders")
    if order.side is Side.SELL:
        raise invalid(f"{name} orders must be entry orders")
    _resting(order)


def _oco_checks(order: NewOrder) -> None:
    if order.order_type is not OrderType.LIMIT:
        raise invalid("oco orders must be limit orders")
    if order.side is Side.BUY:
        raise invalid("oco orders must be exit orders")
    if order.limit_price is None or order.stop is None:
        raise invalid("oco orders require take_profit.limit_price and stop_loss.stop_price")
    _resting(order)


def _resting(order: NewOrder) -> None:
    if order.life not in RESTING:
        raise unprocessable(f"invalid time_in_force for {order.order_class} order: it must be day or gtc")


_LEG_CHECKS = {"bracket": _bracket_checks, "oto": _oto_checks, "oco": _oco_checks}


def leg_price_checks(order: NewOrder, last_price: Decimal | None) -> None:
    """Legs must lie on their sides of the entry's price and of the market's. Raises AlpacaError with that price."""
    known = [price for price in (order.limit_price, last_price) if price is not None]
    if order.order_class == "oco":
        known = [last_price] if last_price is not None else []
        if order.stop and order.limit_price and order.stop >= order.limit_price:
            raise unprocessable("take_profit.limit_price must be > stop_loss.stop_price")
    if not order.order_class or not known:
        return
    lowest, first = min(known), known[0]
    if order.stop is not None and order.stop > lowest - CENT:
        raise unprocessable("stop_loss.stop_price must be <= base_price - 0.01", base_price=plain(lowest))
    if order.target is not None and order.target < first + CENT and order.order_class != "oco":
        raise unprocessable("take_profit.limit_price must be >= base_price + 0.01", base_price=plain(first))


def wash_checks(order: NewOrder, others: Iterable[AlpacaOrder]) -> None:
    """An order that could trade against one of our own is refused; complex and trailing orders are exempt."""
    if order.order_class or order.order_type is OrderType.TRAILING_STOP:
        return
    for other in others:
        is_rival = other.is_open and other.request.side is not order.side and other.request.symbol == order.symbol
        if not is_rival or other.order_class or other.request.order_type is OrderType.TRAILING_STOP:
            continue
        if _may_meet(order, other):
            raise forbidden(
                "potential wash trade detected. use complex orders",
                existing_order_id=other.id, reject_reason=_reason(other),
            )  # fmt: skip


def _may_meet(order: NewOrder, other: AlpacaOrder) -> bool:
    """Two orders with limits meet only where these cross."""
    if order.limit_price is None or other.limit_price is None:
        return True
    buy, sell = (
        (order.limit_price, other.limit_price) if order.side is Side.BUY else (other.limit_price, order.limit_price)
    )
    return buy >= sell


def _reason(other: AlpacaOrder) -> str:
    kind = "market/stop" if other.request.order_type in {OrderType.MARKET, OrderType.STOP} else "limit"
    return f"opposite side {kind} order exists"


def account_checks(book: Book, order: NewOrder, request: OrderRequest) -> None:
    """Shares to sell, and what buying needs. Raises AlpacaError."""
    if order.side is Side.SELL:
        _share_checks(book, order)
        return
    price = book.reserve_px(request)
    if price is None:
        raise unprocessable(f"no price of {order.symbol} is known yet: send a limit order or wait for its first trade")
    needed, free = book.new_cost_usd(order.quantity, price), book.buying_power_usd()
    if needed > free:
        raise forbidden("insufficient buying power", buying_power=plain(free), cost_basis=plain(needed))


def _share_checks(book: Book, order: NewOrder) -> None:
    held, sellable = book.holding(order.symbol).quantity, book.sellable(order.symbol)
    if not held:
        raise forbidden("account is not allowed to short")
    if order.quantity > sellable:
        raise short_of_shares(order.symbol, order.quantity, held, sellable)


def short_of_shares(symbol: str, asked: Decimal, held: Decimal, sellable: Decimal) -> AlpacaError:
    """Shares already promised to other orders."""
    return forbidden(
        f"insufficient qty available for order (requested: {plain(asked)}, available: {plain(sellable)})",
        symbol=symbol, asset_id=asset_id(symbol), available=plain(sellable), existing_qty=plain(held),
        held_for_orders=plain(held - sellable),
    )  # fmt: skip


def refuse_as_alpaca(error: OrderRefused) -> NoReturn:
    """What the engine refuses for reasons of its own, in the class Alpaca would put it."""
    text = str(error)
    if "buying power" in text:
        raise forbidden("insufficient buying power") from error
    if "free to sell" in text:
        raise forbidden("insufficient qty available for order") from error
    raise unprocessable(text) from error
