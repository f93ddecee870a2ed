"""Execution reports made of how Alpaca's orders stand and of its fills: the same facts, the same reports."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from trading_pipeline.adapters.brokers.alpaca.book import OrderBook, replacement_number
from trading_pipeline.adapters.brokers.alpaca.fills import Fills, WireFill
from trading_pipeline.adapters.brokers.alpaca.wire import WireOrder
from trading_pipeline.adapters.brokers.venue_ids import VenueIds
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import ExecType, ExecutionReport, OrderType, OrdStatus

ENDS = {"canceled": ExecType.CANCELED, "expired": ExecType.EXPIRED, "rejected": ExecType.REJECTED}
Terms = tuple[Decimal, Decimal | None, Decimal | None]


def reports_of(book: OrderBook, fills: Fills, ids: VenueIds) -> list[ExecutionReport]:
    """Everything that can be said of the orders and fills told so far, in no order."""
    said = [_trade(book, fill) for fill in fills.all()]
    for name in list(book.names()):
        chain = book.chain(name)
        executed = fills.shares(one.venue_id for one in chain)
        by_id = {one.venue_id: one for one in chain}
        for order in chain:
            before = by_id.get(order.replaces or "")
            said += _of_order(ids, name, order, before)
            if executed >= order.filled:  # an order ends after its last fill, also where activities are late
                said += _end(name, order, before is not None or _is_replacement(ids, name, order))
        if chain[-1].word == "replaced" and not book.is_ours(name):  # others' replacements have ids of their own
            said.append(
                _said(name, chain[-1], ExecType.CANCELED, chain[-1].ended_at, "replaced", "replaced by another")
            )
    return said


def _trade(book: OrderBook, fill: WireFill) -> ExecutionReport:
    return ExecutionReport(
        exec_id=fill.exec_id, client_order_id=book.name(fill.order_id) or fill.order_id, venue_order_id=fill.order_id,
        exec_type=ExecType.TRADE, occurred_at=fill.at, last_qty=fill.quantity, last_px=fill.price,
    )  # fmt: skip


def _of_order(ids: VenueIds, name: str, order: WireOrder, before: WireOrder | None) -> Iterator[ExecutionReport]:
    asked = _asked(ids, name)
    if before is None and not _is_replacement(ids, name, order):
        yield _said(name, order, ExecType.NEW, order.submitted_at, "new")
    elif (before is None or before.word == "replaced") and order.word != "rejected":
        first = ids.first_said(_replaced(name, order, order.submitted_at, "replaced"))
        asked = (asked[0] if asked else order.quantity, first.limit_price, first.stop_price)
        yield first
    else:
        return
    if order.status is OrdStatus.IN_DOUBT:
        text = f"Alpaca gives it the status {order.word!r}, which this version does not know"
        yield _said(name, order, ExecType.IN_DOUBT, order.submitted_at, f"in-doubt-{order.word}", text)
    if asked is not None and _terms(order) != asked:
        tag = "terms-" + "-".join("" if one is None else plain(one) for one in _terms(order))
        yield ids.first_said(_replaced(name, order, order.updated_at, tag, quantity=order.quantity))


def _is_replacement(ids: VenueIds, name: str, order: WireOrder) -> bool:
    """True for a later generation of an order of ours; the one before need not have been listed to this process."""
    return bool(order.replaces) and ids.family(name) is not None


def _asked(ids: VenueIds, name: str) -> Terms | None:
    """Quantity, limit and stop as they were sent; None for an order that is not ours, or trails."""
    family = ids.family(name)
    sent = family.member(name) if family else None
    if sent is None or sent.order_type is OrderType.TRAILING_STOP:
        return None
    return (sent.quantity, sent.limit_price, sent.stop_price)


def _terms(order: WireOrder) -> Terms:
    return (order.quantity, order.limit_price, order.stop_price)


def _end(name: str, order: WireOrder, is_replacement: bool) -> Iterator[ExecutionReport]:
    if order.word in ENDS:
        if is_replacement and order.word == "rejected":
            yield _said(name, order, ExecType.REPLACE_REJECTED, order.ended_at, "replace-rejected", "not replaced")
        else:
            yield _said(name, order, ENDS[order.word], order.ended_at, order.word, f"{order.word} at Alpaca")


def _said(name: str, order: WireOrder, exec_type: ExecType, at: datetime, tag: str, text: str = "") -> ExecutionReport:
    return ExecutionReport(
        exec_id=f"{order.venue_id}:{tag}", client_order_id=name, venue_order_id=order.venue_id, exec_type=exec_type,
        occurred_at=at, text=text,
    )  # fmt: skip


def _replaced(name: str, order: WireOrder, at: datetime, tag: str, quantity: Decimal | None = None) -> ExecutionReport:
    number = replacement_number(order.client_id)  # of two at one instant the later one holds
    return ExecutionReport(
        exec_id=f"{number:04}:{order.venue_id}:{tag}", client_order_id=name, venue_order_id=order.venue_id,
        exec_type=ExecType.REPLACED, occurred_at=at, limit_price=order.limit_price, stop_price=order.stop_price,
        quantity=quantity,
    )  # fmt: skip
