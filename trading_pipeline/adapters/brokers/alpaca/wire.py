"""Alpaca's words for orders, both ways: what is sent, and what is read. Reading never fails for a word it lacks."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from trading_pipeline.domain.errors import NaiveDatetimeError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.money import ZERO, plain
from trading_pipeline.domain.orders import (
    TERMINAL,
    AnyRequest,
    BracketRequest,
    OcoRequest,
    OrderRequest,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading_pipeline.venue.checks import orders_of

log = logging.getLogger(__name__)
Raw = Mapping[str, Any]

STATUSES: Mapping[str, OrdStatus] = {
    "new": OrdStatus.NEW,
    "partially_filled": OrdStatus.PARTIALLY_FILLED,
    "filled": OrdStatus.FILLED,
    "done_for_day": OrdStatus.DONE_FOR_DAY,
    "canceled": OrdStatus.CANCELED,
    "expired": OrdStatus.EXPIRED,
    "replaced": OrdStatus.REPLACED,
    "pending_cancel": OrdStatus.PENDING_CANCEL,
    "pending_replace": OrdStatus.PENDING_REPLACE,
    "rejected": OrdStatus.REJECTED,
    # Taken, though not at an exchange yet, or not any more today:
    "accepted": OrdStatus.NEW,
    "pending_new": OrdStatus.NEW,
    "pending_review": OrdStatus.NEW,
    "accepted_for_bidding": OrdStatus.NEW,
    "held": OrdStatus.NEW,
    "stopped": OrdStatus.NEW,
    "suspended": OrdStatus.NEW,
    "calculated": OrdStatus.NEW,
}
"""Every status of Alpaca's document and client library; any other is InDoubt."""
_ENDED_AT = {"canceled": "canceled_at", "expired": "expired_at", "rejected": "failed_at", "replaced": "replaced_at"}
_FRACTION = re.compile(r"\.(\d+)")
_TYPES = {one.value.lower(): one for one in OrderType}
_LIVES = {one.value.lower(): one for one in TimeInForce}
STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class WireOrder:
    """One order as Alpaca tells it. client_id: ours, or what Alpaca made for a leg. parent: venue id of the order it
    hangs on. word: the status in Alpaca's own word. nanos: of submitted_at, which alone would tie two orders."""

    venue_id: str
    client_id: str
    symbol: str
    side: Side
    order_type: OrderType
    life: TimeInForce
    word: str
    quantity: Decimal
    filled: Decimal
    submitted_at: datetime
    nanos: str
    updated_at: datetime
    ended_at: datetime
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    parent: str | None = None

    @property
    def status(self) -> OrdStatus:
        """In FIX terms; working orders with fills are PartiallyFilled."""
        found = STATUSES.get(self.word, OrdStatus.IN_DOUBT)
        return OrdStatus.PARTIALLY_FILLED if found is OrdStatus.NEW and self.filled else found

    @property
    def key(self) -> tuple[datetime, str, str]:
        """By submission."""
        return (self.submitted_at, self.nanos, self.venue_id)

    @property
    def has_ended(self) -> bool:
        """True when no further update can come."""
        return self.status in TERMINAL

    @property
    def is_stop(self) -> bool:
        return self.order_type in STOPS


# what is sent


def payload_of(request: AnyRequest) -> dict[str, Any]:
    """The body of POST /v2/orders. A bracket has one life for all: GTC as soon as one of its orders has.

    The legs of a bracket and the stop of an OCO carry no id of ours: Alpaca has no field for one.
    """
    match request:
        case OrderRequest():
            return _order(request)
        case BracketRequest(entry=entry, stop=stop, target=target):
            legs = {"stop_loss": _stop_leg(stop)}
            if target is not None:
                legs["take_profit"] = {"limit_price": text(target.limit_price)}
            kind = {"order_class": "bracket" if target is not None else "oto"}
            return {**_order(entry), **kind, **legs, "time_in_force": _life(request)}
        case OcoRequest(stop=stop, target=target):
            legs = {"take_profit": {"limit_price": text(target.limit_price)}, "stop_loss": _stop_leg(stop)}
            return {**_order(target), "order_class": "oco", **legs}


def sent_under(request: AnyRequest) -> str:
    """The client_order_id Alpaca knows: of a bracket's entry; of an OCO's target, which is what its stop hangs on."""
    return request.target.client_order_id if isinstance(request, OcoRequest) else orders_of(request)[0].client_order_id


def text(price: Decimal | None) -> str | None:
    """A price as sent: exact, without an exponent."""
    return None if price is None else plain(price)


def _order(order: OrderRequest) -> dict[str, Any]:
    fields = {
        "symbol": order.symbol,
        "qty": plain(order.quantity),
        "side": order.side.value.lower(),
        "type": order.order_type.value.lower(),
        "time_in_force": order.time_in_force.value.lower(),
        "client_order_id": order.client_order_id,
        "limit_price": text(order.limit_price),
        "stop_price": text(order.stop_price) if order.trail_amount is None else None,
        "trail_price": text(order.trail_amount),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _stop_leg(stop: OrderRequest) -> dict[str, Any]:
    fields = {"stop_price": text(stop.stop_price), "limit_price": text(stop.limit_price)}
    return {name: value for name, value in fields.items() if value is not None}


def _life(request: BracketRequest) -> str:
    lives = {order.time_in_force for order in orders_of(request)}
    return (TimeInForce.GTC if TimeInForce.GTC in lives else request.entry.time_in_force).value.lower()


# what is read


def read_orders(rows: list[dict[str, Any]]) -> list[WireOrder]:
    """Every order of an answer, legs after their parents. One nobody can read is said, and left out."""
    return [order for row in rows for order in read_order(row)]


def read_order(row: Raw, parent: str | None = None) -> Iterator[WireOrder]:
    """An order and its legs."""
    try:
        order, legs = replace(_read(row), parent=parent), _legs(row)
    except (KeyError, TypeError, ValueError, InvalidOperation, NaiveDatetimeError) as error:
        log.critical("Alpaca tells of an order nobody can read (%r: %s): compare with its web page", error, _named(row))
        return
    if order.status is OrdStatus.IN_DOUBT:
        log.critical(
            "Alpaca gives order %s (%s) the status %r, which this version does not know: it counts as working and in "
            "doubt. Compare with its web page, and update trading-pipeline", order.client_id, order.symbol, order.word,
        )  # fmt: skip
    yield order
    for leg in legs:
        yield from read_order(leg, order.venue_id)


def _read(row: Raw) -> WireOrder:
    filled = number(row.get("filled_qty")) or ZERO
    submitted = row.get("submitted_at") or row["created_at"]
    submitted_at, nanos = instant(submitted), _FRACTION.search(submitted)
    updated_at = instant(row["updated_at"]) if row.get("updated_at") else submitted_at
    word = str(row["status"])
    ended = row.get(_ENDED_AT.get(word, "filled_at"))
    order = WireOrder(
        venue_id=_required(row, "id"), client_id=_required(row, "client_order_id"), symbol=_required(row, "symbol"),
        side=_side(row["side"]), order_type=_type(row), life=_LIVES.get(str(row["time_in_force"]), TimeInForce.DAY),
        word=word, quantity=number(row.get("qty")) or filled, filled=filled, submitted_at=submitted_at,
        nanos=(nanos[1] if nanos else "").ljust(9, "0"),
        updated_at=updated_at, ended_at=instant(ended) if ended else updated_at,
        limit_price=number(row.get("limit_price")),
        stop_price=number(row.get("stop_price")), trail=number(row.get("trail_price")),
        replaces=_link(row, "replaces"), replaced_by=_link(row, "replaced_by"),
    )  # fmt: skip
    if order.quantity <= 0 or order.filled < 0:
        raise ValueError("it has no quantity (an order by amount has none before its first fill)")
    return order


def number(found: Any) -> Decimal | None:
    """A finite number however it is written; None stays. Raises ValueError or InvalidOperation."""
    if found is None or found == "":
        return None
    value = Decimal(str(found))
    if not value.is_finite():
        raise ValueError(f"{found!r} is no number")
    return value


def instant(found: Any) -> datetime:
    """An instant with its zone, to the microsecond. Raises ValueError or TypeError."""
    return require_aware(datetime.fromisoformat(found)).astimezone(UTC)


def _required(row: Raw, name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}")
    return value


def _link(row: Raw, name: str) -> str | None:
    return _required(row, name) if row.get(name) else None


def _legs(row: Raw) -> list[Raw]:
    legs = row.get("legs") or []
    if not isinstance(legs, list) or not all(isinstance(leg, Mapping) for leg in legs):
        raise TypeError("its legs are no list of orders")
    return legs


def _side(word: Any) -> Side:
    if str(word).startswith("buy"):
        return Side.BUY
    if str(word).startswith("sell"):
        return Side.SELL
    raise ValueError(f"side {word!r}")


def _type(row: Raw) -> OrderType:
    """By its word, else by the prices it has."""
    known = _TYPES.get(str(row.get("type") or row.get("order_type")))
    if known is not None:
        return known
    if row.get("trail_price") or row.get("trail_percent"):
        return OrderType.TRAILING_STOP
    by_prices = {(True, True): OrderType.STOP_LIMIT, (True, False): OrderType.LIMIT, (False, True): OrderType.STOP}
    return by_prices.get((bool(row.get("limit_price")), bool(row.get("stop_price"))), OrderType.MARKET)


def _named(row: Raw) -> str:
    shown = row if isinstance(row, Mapping) else {}
    return ", ".join(f"{name} {shown.get(name)!r}" for name in ("client_order_id", "id", "symbol", "status", "side"))
