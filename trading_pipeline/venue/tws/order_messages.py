"""Messages about orders and executions, field by field, as server version 176 writes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.venue.tws.orders import WireOrder
from trading_pipeline.venue.tws.wire import UNSET, UNSET_INT, Field, Message, local_time

NO_MARGINS: Message = (UNSET,) * 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An order as it is shown at a moment. Prices in USD per share; commission None while it is not known."""

    order: WireOrder
    account: str
    status: str
    quantity: Decimal
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    trail_stop_price: Decimal | None = None
    filled: Decimal = ZERO
    remaining: Decimal = ZERO
    avg_price: Decimal = ZERO
    last_price: Decimal = ZERO
    parent_id: int = 0
    parent_perm_id: int = 0
    why_held: str = ""
    commission: Decimal | None = None
    ended_at: datetime | None = None
    end_text: str = ""
    what_if: Message = ()
    """Margins and equity before, their change, and after (nine figures in USD); of an order that is not placed."""

    @property
    def oca_group(self) -> str:
        """The group it names; a bracket's children are one by their parent's permId."""
        return self.order.terms.oca_group or (str(self.parent_perm_id) if self.parent_perm_id else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill, or its correction. `time` by the venue; cum_quantity and avg_price of the order so far."""

    exec_id: str
    order: WireOrder
    time: datetime
    shares: Decimal
    price: Decimal
    commission: Decimal
    cum_quantity: Decimal = ZERO
    avg_price: Decimal = ZERO


def order_status(shown: Shown) -> Message:
    """Message 3."""
    order = shown.order
    return (
        3, order.order_id, shown.status, shown.filled, shown.remaining, shown.avg_price, order.perm_id,
        shown.parent_id, shown.last_price, order.client_id, shown.why_held, 0,
    )  # fmt: skip


def error(request_id: int, code: int, text: str) -> Message:
    """Message 4; request_id: an order's id, a request's, or -1."""
    return (4, 2, request_id, code, text, "")


def open_order(shown: Shown) -> Message:
    """Message 5."""
    order, terms = shown.order, shown.order.terms
    head = (5, order.order_id, *order.stock.fields(order.exchange))
    ids = (order.client_id, order.perm_id, terms.outside_rth, 0, 0, "")
    shares = (f"{order.perm_id}.0/{shown.account}/{shown.quantity:f}", "", "", "", "", "", "", "", "", "")
    return (
        *head, *_wording(shown), *ids, *shares, 0, "", -1, 0, "", "", "", "", "", UNSET_INT, 0, 0, 0, "",
        terms.oca_type, 0, 0, "", shown.parent_id, 0, "", 0, "None", "", 0, "", "", "", "?", 0, 0, "",
        0, 0, shown.trail_stop_price, terms.trailing_percent, "", "", "", 0, 0, 0, UNSET_INT, UNSET_INT, "", "",
        0, "", "IB", 0, 0, "", 0, bool(shown.what_if), shown.status, *(shown.what_if or NO_MARGINS),
        *_commission(shown), "", 0, 0, 0, "None", *_adjustments(shown), 0, "", "", "", 0, 1, 0, 0, 0, "", "",
        0, *_competition(),
    )  # fmt: skip


def completed_order(shown: Shown) -> Message:
    """Message 101. Its quantity is what is left, as recorded gateways tell: nothing, of a filled order."""
    order, terms = shown.order, shown.order.terms
    return (
        101, *order.stock.fields(order.exchange), *_wording(shown), order.perm_id, terms.outside_rth, 0, 0, "",
        "", "", "", "", "", "", "", "", "", 0, "", -1, "", "", "", "", "", UNSET_INT, 0, 0, "", terms.oca_type,
        0, "", 0, "None", "", 0, 0, 0, "", 0, 0, shown.trail_stop_price, terms.trailing_percent, "", 0, 0, 0,
        UNSET_INT, UNSET_INT, "", "", "", "IB", 0, 0, "", 0, shown.status, 0, 0, 0, shown.trail_stop_price or UNSET,
        UNSET, 0, 1, 0, "", shown.filled, UNSET_INT, 0, "Not an insider or substantial shareholder", 0, 0,
        shown.parent_perm_id or "9223372036854775807", local_time(shown.ended_at) if shown.ended_at else "",
        shown.end_text, *_competition(),
    )  # fmt: skip


def execution(request_id: int, done: Execution, account: str) -> Message:
    """Message 11; request_id -1 for news nobody asked for."""
    order = done.order
    side = "BOT" if order.terms.action == "BUY" else "SLD"
    return (
        11, request_id, order.order_id, *order.stock.fields("ISLAND", strike="0.0", right=""), done.exec_id,
        local_time(done.time), account, "ISLAND", side, done.shares, done.price, order.perm_id, order.client_id, 0,
        done.cum_quantity, done.avg_price, order.terms.order_ref, "", "", "", 2,
    )  # fmt: skip


def commission_report(done: Execution) -> Message:
    """Message 59. The profit it realized is left out: a double nobody set."""
    return (59, 1, done.exec_id, done.commission, "USD", UNSET, UNSET, "")


def _wording(shown: Shown) -> Message:
    """action to orderRef."""
    terms = shown.order.terms
    prices = (_price(shown.limit_price), _price(shown.aux_price))
    wording = (terms.action, shown.quantity, terms.order_type, *prices, terms.tif)
    return (*wording, shown.oca_group, shown.account, "", 0, terms.order_ref)


def _price(price: Decimal | None) -> Field:
    return "0.0" if price is None else price


def _commission(shown: Shown) -> Message:
    """commission, its least and most, its currency."""
    return (shown.commission, "", "", "USD" if shown.commission is not None else "")


def _adjustments(shown: Shown) -> Message:
    """triggerPrice to adjustedTrailingAmount."""
    return (UNSET, shown.trail_stop_price or UNSET, UNSET, UNSET, UNSET, UNSET)


def _competition() -> Message:
    """minTradeQty to midOffsetAtHalf: fields of server version 170 and later."""
    return ("", "", "", "", "")
