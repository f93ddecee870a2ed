"""What a client asks with placeOrder, and what the engine is asked in its place."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from trading_pipeline.domain.money import tick_size
from trading_pipeline.domain.orders import Leg, OrderRequest, OrderType, Side, TimeInForce
from trading_pipeline.venue.tws.contracts import Asked
from trading_pipeline.venue.tws.wire import Fields

ORDER_TYPES = {
    "MKT": OrderType.MARKET,
    "LMT": OrderType.LIMIT,
    "STP": OrderType.STOP,
    "STP LMT": OrderType.STOP_LIMIT,
    "TRAIL": OrderType.TRAILING_STOP,
    "MOC": OrderType.MARKET,
    "LOC": OrderType.LIMIT,
}
LIVES = {name: TimeInForce(name) for name in ("DAY", "GTC", "IOC", "FOK", "OPG")}
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
AT_CLOSE = frozenset({"MOC", "LOC"})
STOP_TYPES = frozenset({"STP", "STP LMT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """An order as a client words it. Numbers as text, as they came: the wire shows them again.

    aux_price: the stop, or the distance of a trailing one. parent_id: the client's order id of the entry, 0 for none.
    """

    action: str
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None
    aux_price: Decimal | None
    tif: str
    oca_group: str
    oca_type: int
    account: str
    order_ref: str
    transmit: bool
    parent_id: int
    outside_rth: bool
    trail_stop_price: Decimal | None
    trailing_percent: Decimal | None


@dataclass(frozen=True, slots=True)
class Placing:
    """Message 3 from a client. is_plain: it has none of the parts (legs, conditions, algorithms) no stock order has."""

    order_id: int
    contract: Asked
    terms: Terms
    what_if: bool
    is_plain: bool


def read_placing(fields: Fields) -> Placing:
    """Positions as in the message's description: field 0 is the message's number."""
    first, mid, late = fields.to(16), fields.to(24), fields.to(69)
    action, quantity, order_type = first.text(), first.number(), first.text()
    limit_price, aux_price, tif = first.number(), first.number(), first.text()
    oca_group, account = first.text(), first.text()
    mid.skip(2)
    order_ref, transmit, parent_id = mid.text(), mid.flag(), mid.whole()
    terms = Terms(
        action=action, quantity=quantity or Decimal(0), order_type=order_type, limit_price=limit_price,
        aux_price=aux_price, tif=tif, oca_group=oca_group, oca_type=fields.to(47).whole(), account=account,
        order_ref=order_ref, transmit=transmit, parent_id=parent_id, outside_rth=fields[33] == "1",
        trail_stop_price=late.number(), trailing_percent=late.number(),
    )  # fmt: skip
    is_plain = not (fields[65] or fields[73] or fields[77] or fields[82] == "1" or fields[83])
    return Placing(fields.to(1).whole(), Asked.read(fields.to(2)), terms, fields[85] == "1", is_plain)


def request_of(terms: Terms, symbol: str, engine_id: str) -> OrderRequest:
    """The order as the engine knows it."""
    kind = ORDER_TYPES[terms.order_type]
    return OrderRequest(
        client_order_id=engine_id,
        symbol=symbol,
        side=SIDES[terms.action],
        order_type=kind,
        quantity=terms.quantity,
        leg=_leg(terms, kind),
        limit_price=terms.limit_price if kind in {OrderType.LIMIT, OrderType.STOP_LIMIT} else None,
        stop_price=_stop_price(terms, kind),
        time_in_force=TimeInForce.CLS if terms.order_type in AT_CLOSE else LIVES[terms.tif],
        trail_amount=terms.aux_price if kind is OrderType.TRAILING_STOP else None,
    )


def is_off_tick(terms: Terms) -> bool:
    """True for a price finer than the contract's increment."""
    kind = ORDER_TYPES[terms.order_type]
    used = (terms.limit_price, terms.aux_price if kind is not OrderType.TRAILING_STOP else None)
    return any(price is not None and price > 0 and price % tick_size(price) for price in used)


def _leg(terms: Terms, kind: OrderType) -> Leg:
    if terms.action == "BUY":
        return Leg.ENTRY
    if kind in {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP}:
        return Leg.STOP
    return Leg.TARGET if terms.parent_id or terms.oca_group else Leg.EXIT


def _stop_price(terms: Terms, kind: OrderType) -> Decimal | None:
    if kind is OrderType.TRAILING_STOP:
        return terms.trail_stop_price
    return terms.aux_price if kind in {OrderType.STOP, OrderType.STOP_LIMIT} else None
