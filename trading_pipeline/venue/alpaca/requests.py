"""What clients ask of the orders: bodies and queries, read strictly, with Alpaca's words for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from trading_pipeline.domain.money import tick_size
from trading_pipeline.domain.orders import OrderType, Side, TimeInForce
from trading_pipeline.venue.alpaca.context import INVALID, UNPROCESSABLE, AlpacaError
from trading_pipeline.venue.alpaca.wire import LIVES, SIDES, TYPES, Nanos, read_stamp

T = TypeVar("T")
LONGEST_ID = 128
MOST_ORDERS = 500
LARGEST = 10**12
CLASSES = frozenset({"", "simple", "bracket", "oco", "oto"})


def invalid(message: str) -> AlpacaError:
    """422 for a request that is malformed."""
    return AlpacaError(422, INVALID, message)


def unprocessable(message: str, **details: Any) -> AlpacaError:
    """422 for a request that breaks a rule."""
    return AlpacaError(422, UNPROCESSABLE, message, **details)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """POST /v2/orders. Prices in USD per share; leg prices None where the body has no such leg."""

    symbol: str
    side: Side
    order_type: OrderType
    life: TimeInForce
    quantity: Decimal
    order_class: str
    client_order_id: str | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    target: Decimal | None
    stop: Decimal | None
    stop_limit: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """PATCH /v2/orders/{id}: None keeps what is."""

    quantity: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    client_order_id: str | None
    life: TimeInForce | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """GET /v2/orders."""

    status: str
    limit: int
    after: Nanos | None
    until: Nanos | None
    is_ascending: bool
    nested: bool
    symbols: frozenset[str] | None
    side: Side | None
    before_id: str | None
    after_id: str | None


def new_order(body: Mapping[str, Any]) -> NewOrder:
    """Raises AlpacaError for the first thing that is wrong with the form."""
    order_class = str(body.get("order_class") or "")
    if order_class not in CLASSES:
        raise invalid(f"invalid order_class {order_class!r}")
    if body.get("extended_hours"):
        raise unprocessable("extended hours order is not supported by this venue")
    target, stop = _leg(body, "take_profit"), _leg(body, "stop_loss")
    order_type = _word(body, "type", TYPES)
    if order_class == "oco" and "limit_price" in target:
        body = {**body, "limit_price": target["limit_price"]}
    return NewOrder(
        symbol=_text(body, "symbol"),
        side=_word(body, "side", SIDES),
        order_type=order_type,
        life=_word(body, "time_in_force", LIVES),
        quantity=_quantity(body),
        order_class="" if order_class == "simple" else order_class,
        client_order_id=client_order_id(body),
        limit_price=_price(body, "limit_price"),
        stop_price=_price(body, "stop_price"),
        trail_price=_trail(body),
        target=_price(target, "limit_price", "take_profit."),
        stop=_price(stop, "stop_price", "stop_loss."),
        stop_limit=_price(stop, "limit_price", "stop_loss."),
    )


def change(body: Mapping[str, Any]) -> Change:
    """Raises AlpacaError for the first thing that is wrong with the form."""
    if body.get("trail") is not None:
        raise unprocessable("trail cannot be replaced at this venue")
    return Change(
        quantity=None if body.get("qty") is None else _quantity(body),
        limit_price=_price(body, "limit_price"),
        stop_price=_price(body, "stop_price"),
        client_order_id=client_order_id(body),
        life=None if body.get("time_in_force") is None else _word(body, "time_in_force", LIVES),
    )


def list_query(query: Mapping[str, str]) -> ListQuery:
    """Raises AlpacaError for a parameter Alpaca would not take."""
    symbols = frozenset(query["symbols"].upper().split(",")) if query.get("symbols") else None
    before, after = query.get("before_order_id"), query.get("after_order_id")
    if before and after:
        raise unprocessable("before_order_id and after_order_id are mutually exclusive")
    return ListQuery(
        status=_one_of(query, "status", ("open", "closed", "all")),
        limit=whole_number(query, "limit", 50, MOST_ORDERS),
        after=instant(query, "after"),
        until=instant(query, "until"),
        is_ascending=is_ascending(query),
        nested=flag(query, "nested"),
        symbols=symbols,
        side=SIDES[_one_of(query, "side", tuple(SIDES))] if query.get("side") else None,
        before_id=before,
        after_id=after,
    )


def client_order_id(body: Mapping[str, Any]) -> str | None:
    found = body.get("client_order_id")
    if found in {None, ""}:
        return None
    if not isinstance(found, str) or len(found) > LONGEST_ID:
        raise invalid(f"client_order_id must be no more than {LONGEST_ID} characters")
    return found


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in {"true", "1", "t"}


def is_ascending(query: Mapping[str, str]) -> bool:
    """Newest first is the custom."""
    return _one_of(query, "direction", ("desc", "asc")) == "asc"


def instant(query: Mapping[str, str], name: str) -> Nanos | None:
    text = query.get(name)
    if not text:
        return None
    found = read_stamp(text)
    if found is None:
        raise unprocessable(f"invalid {name} {text!r}: it must be RFC 3339 or a date")
    return found


def whole_number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name)
    if not text:
        return default
    if not text.isdecimal() or not 0 < int(text) <= most:
        raise unprocessable(f"invalid {name} {text}: it must be from 1 to {most}")
    return int(text)


def on_tick(price: Decimal | None, name: str) -> None:
    """Raises AlpacaError for a price finer than the exchange takes."""
    if price is not None and price % tick_size(price):
        raise unprocessable(f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria")


def _one_of(query: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    found = query.get(name, "").lower() or words[0]
    if found not in words:
        raise unprocessable(f"invalid {name} {found!r}")
    return found


def _word(body: Mapping[str, Any], name: str, words: Mapping[str, T]) -> T:
    found = _text(body, name)
    if found not in words:
        raise invalid(f"invalid {name} {found!r}")
    return words[found]


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not found:
        raise invalid(f"{name} is required")
    return found


def _number(found: Any, name: str) -> Decimal | None:
    if found is None:
        return None
    try:
        number = Decimal(found if isinstance(found, str | int | Decimal) else "NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or isinstance(found, bool):
        raise invalid(f"{name} must be a number")
    if not 0 < number < LARGEST:
        raise invalid(f"{name} must be > 0 and < {LARGEST}")
    return number


def _price(body: Mapping[str, Any], name: str, prefix: str = "") -> Decimal | None:
    price = _number(body.get(name), prefix + name)
    on_tick(price, prefix + name)
    return price


def _quantity(body: Mapping[str, Any]) -> Decimal:
    if body.get("notional") is not None:
        raise AlpacaError(403, 40310000, f'asset "{body.get("symbol")}" is not fractionable')
    quantity = _number(body.get("qty"), "qty")
    if quantity is None:
        raise invalid("qty or notional is required")
    if quantity != quantity.to_integral_value():
        raise AlpacaError(403, 40310000, f'asset "{body.get("symbol", "")}" is not fractionable')
    return quantity


def _trail(body: Mapping[str, Any]) -> Decimal | None:
    if body.get("trail_percent") is not None:
        raise unprocessable("trail_percent is not supported by this venue; send trail_price")
    return _number(body.get("trail_price"), "trail_price")


def _leg(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise invalid(f"{name} must be an object")
    return found
