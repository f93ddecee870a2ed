"""Orders as TWS words them, from ours and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from trading_pipeline.adapters.brokers.ib_client import NEW_YORK
from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.orders import OrderRequest, OrderType, Side, TimeInForce

REDUCE_WITH_BLOCK = 2
"""OCA: what one sells the others give up, and only one is at an exchange at a time, so that both never fill."""
UNSET = 1e15
"""TWS's doubles that nobody set are far above, prices and shares far below."""
_KINDS: Mapping[OrderType, str] = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STP LMT",
    OrderType.TRAILING_STOP: "TRAIL",
}
_AT_CLOSE: Mapping[OrderType, str] = {OrderType.MARKET: "MOC", OrderType.LIMIT: "LOC"}
_TYPES: Mapping[str, OrderType] = {
    **{word: kind for kind, word in _KINDS.items()},
    **{word: kind for kind, word in _AT_CLOSE.items()},
    "STPLMT": OrderType.STOP_LIMIT,
}
_LIVES: Mapping[str, TimeInForce] = {life.value: life for life in TimeInForce if life is not TimeInForce.CLS}
ORDER_TYPES, TIMES_IN_FORCE = frozenset(_KINDS), frozenset(TimeInForce)


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be changed of an order: prices in USD per share, quantity in shares."""

    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None

    def changed(self, quantity: Decimal | None, limit_price: Decimal | None, stop_price: Decimal | None) -> Terms:
        """With what is given; None keeps."""
        return Terms(
            self.quantity if quantity is None else quantity,
            self.limit_price if limit_price is None else limit_price,
            self.stop_price if stop_price is None else stop_price,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where an order stands: its id at TWS, its entry's (0: none), the group of which one cancels the others."""

    order_id: int
    parent_id: int = 0
    oca_group: str = ""
    transmit: bool = True


def symbol_at_ib(symbol: str) -> str:
    """BRK.B is "BRK B" there."""
    return symbol.replace(".", " ")


def symbol_of(contract: Any) -> str:
    """Our name of a stock; anything else goes by its local name, so that it is seen and never traded."""
    name = contract.symbol if contract.secType == "STK" else contract.localSymbol or contract.symbol
    return str(name).replace(" ", ".") if contract.secType == "STK" else str(name)


def kind_of(request: OrderRequest) -> str:
    """TWS's order type. Raises OrderRefused for a closing auction of anything but a market or limit order."""
    if request.time_in_force is not TimeInForce.CLS:
        return _KINDS[request.order_type]
    if request.order_type not in _AT_CLOSE:
        raise OrderRefused(f"{request.client_order_id}: the closing auction takes no {request.order_type} order")
    return _AT_CLOSE[request.order_type]


def order_of(sdk: Any, request: OrderRequest, terms: Terms, place: Place, account: str) -> Any:
    """The order as it is sent. The stop of a stop order, and the distance of a trailing one, is auxPrice.

    Time in force and account are always said: TWS fills in its presets else (10349, 435).
    """
    order = sdk.Order(
        orderId=place.order_id, action=request.side.value, totalQuantity=int(terms.quantity),
        orderType=kind_of(request), tif=_life(request), account=account, orderRef=request.client_order_id,
        parentId=place.parent_id, transmit=place.transmit, ocaGroup=place.oca_group,
        ocaType=REDUCE_WITH_BLOCK if place.oca_group else 0, outsideRth=False,
    )  # fmt: skip
    if terms.limit_price is not None:
        order.lmtPrice = float(terms.limit_price)
    if request.trail_amount is not None:
        order.auxPrice = float(request.trail_amount)
        if terms.stop_price is not None:
            order.trailStopPrice = float(terms.stop_price)
    elif terms.stop_price is not None:
        order.auxPrice = float(terms.stop_price)
    return order


def _life(request: OrderRequest) -> str:
    return "DAY" if request.time_in_force is TimeInForce.CLS else request.time_in_force.value


def terms_of_request(request: OrderRequest) -> Terms:
    """What was asked."""
    return Terms(request.quantity, request.limit_price, request.stop_price)


def terms_of(order: Any, total: float) -> Terms:
    """What TWS shows."""
    kind = order_type_of(order)
    limits = {OrderType.LIMIT, OrderType.STOP_LIMIT}
    stop = order.trailStopPrice if kind is OrderType.TRAILING_STOP else order.auxPrice
    stops = {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP}
    return Terms(
        number(total) or Decimal(0),
        number(order.lmtPrice) if kind in limits else None,
        (number(stop) or None) if kind in stops else None,
    )


def order_type_of(order: Any) -> OrderType:
    """An unknown type (somebody else's algorithm) is shown as what it is at worst: a market order."""
    return _TYPES.get(order.orderType, OrderType.MARKET)


def life_of(order: Any) -> TimeInForce:
    """DAY where TWS shows a time in force we have no word for."""
    return TimeInForce.CLS if order.orderType in _AT_CLOSE.values() else _LIVES.get(order.tif, TimeInForce.DAY)


def side_of(order: Any) -> Side:
    """SSHORT sells too."""
    return Side.BUY if order.action == "BUY" else Side.SELL


def number(value: float) -> Decimal | None:
    """A double of the wire as the decimal it was written as; None for one nobody set."""
    return None if not abs(value) < UNSET else Decimal(repr(value)).normalize() + 0


def amount(value: float) -> Decimal:
    """Shares, a price, a commission: as `number`, to the 8 decimals of the record, for a double may carry the error of
    a sum (0.30000000000000004). 0 for one nobody set."""
    return round(number(value) or Decimal(0), 8).normalize() + 0


_TIME = re.compile(r"(\d{8})[ -]+(\d\d:\d\d:\d\d)(?: (\S+))?$")


def instant_of(text: str) -> datetime | None:
    """TWS's "20250610 16:00:00 US/Eastern" in UTC; without a zone New York's time is meant. None for other text."""
    found = _TIME.match(text.strip())
    if found is None:
        return None
    day, clock, zone = found.groups()
    try:
        naive = datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - its zone follows
        return naive.replace(tzinfo=ZoneInfo(zone or NEW_YORK)).astimezone(UTC)
    except (ValueError, KeyError):
        return None


def closes_of(liquid_hours: str) -> dict[date, datetime]:
    """When each session closes (UTC), from a contract's "20250610:0930-20250610:1600;20250611:CLOSED"."""
    found = {}
    for part in liquid_hours.split(";"):
        close = re.fullmatch(r"\d{8}:\d{4}-(\d{8}):(\d\d)(\d\d)", part)
        if close is not None:
            text = f"{close[1]} {close[2]}:{close[3]}:00"
            at = instant_of(text)
            if at is not None:
                found[datetime.strptime(close[1], "%Y%m%d").date()] = at  # noqa: DTZ007 - a date has no zone
    return found
