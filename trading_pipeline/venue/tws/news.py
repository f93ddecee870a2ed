"""What clients hear unasked: their orders' states and fills, in the order recorded gateways tell them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.orders import ExecType, ExecutionReport
from trading_pipeline.venue.hours import session_hours
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.accounts import Account
from trading_pipeline.venue.tws.desk import Desk
from trading_pipeline.venue.tws.order_messages import (
    Execution,
    Shown,
    commission_report,
    error,
    execution,
    open_order,
    order_status,
)
from trading_pipeline.venue.tws.orders import WireOrder
from trading_pipeline.venue.tws.wire import Message, local_time

Tell = Callable[[WireOrder, Sequence[Message]], None]
CANCELED = "Order Canceled - reason:"


class OrderNews:
    """Turns the engine's reports into messages to the client whose order it is."""

    def __init__(self, hub: Hub, desk: Desk, account: Account, tell: Tell) -> None:
        self._hub, self._desk, self._account, self._tell = hub, desk, account, tell
        self._held: dict[int, tuple[WireOrder, str]] = {}
        """Told as PreSubmitted, and why: what they wait for may come without a report."""
        for order in desk.orders:
            if desk.orders.is_open(order) and not desk.orders.is_staged(order):
                self._shown(order)

    def on_reports(self, _: Sequence[ExecutionReport]) -> None:
        """The engine reported something."""
        for report, order, done in self._desk.showing.catch_up():
            self._tell(order, self._messages(report, self._shown(order), done))

    def on_bars(self, _: Sequence[MarketBar], __: datetime) -> None:
        """The market moved: parents fill, sessions begin, stops trigger. Told: who waits no more, or for less."""
        for order, before in list(self._held.values()):
            shown = self._shown(order)
            if (shown.status, shown.why_held) != ("PreSubmitted", before):
                self._tell(order, [open_order(shown), order_status(shown)])

    def _shown(self, order: WireOrder) -> Shown:
        shown = self._desk.showing.shown(order)
        if shown.status == "PreSubmitted":
            self._held[order.perm_id] = (order, shown.why_held)
        else:
            self._held.pop(order.perm_id, None)
        return shown

    def _messages(self, report: ExecutionReport, shown: Shown, done: Execution | None) -> list[Message]:
        order_id, state = shown.order.order_id, [open_order(shown), order_status(shown)]
        if done is not None and report.exec_type is ExecType.TRADE:
            return self._filled(shown, done)
        if done is not None:
            return [execution(-1, done, self._account.name), order_status(shown), commission_report(done)]
        if report.exec_type in {ExecType.CANCELED, ExecType.EXPIRED}:
            return [*state, error(order_id, 202, CANCELED)]
        if report.exec_type is ExecType.REJECTED:
            return [error(order_id, 201, f"Order rejected - reason:{report.text}"), *state]
        if report.exec_type is ExecType.CANCEL_REJECTED:
            text = f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {shown.status}."
            return [error(order_id, 10148, text)]
        if report.exec_type is ExecType.REPLACE_REJECTED:
            return [error(order_id, 201, f"Order rejected - reason:{report.text}"), order_status(shown)]
        return [*state, *self._warning(report, shown)]

    def _filled(self, shown: Shown, done: Execution) -> list[Message]:
        """As recorded: the execution, the state, the state again with what it cost, the commission."""
        told = [execution(-1, done, self._account.name), open_order(shown), order_status(shown)]
        if shown.status == "Filled":
            told += [open_order(_with_commission(shown, done)), order_status(shown)]
        return [*told, commission_report(done)]

    def _warning(self, report: ExecutionReport, shown: Shown) -> list[Message]:
        """A new order outside the session's hours waits for the next open."""
        hours = session_hours(self._desk.orders.book)
        ticket = self._desk.orders.ticket(shown.order)
        if report.exec_type is not ExecType.NEW or hours is None or not self._desk.showing.waits_for_open(ticket):
            return []
        wording = f"{shown.order.terms.action} {shown.quantity:f} {shown.order.stock.name} NASDAQ.NMS"
        opens = f" until {local_time(hours[0])}" if self._hub.time.now() < hours[0] else " until the next session"
        text = f"Order Message:\n{wording}\nWarning: your order will not be placed at the exchange{opens}"
        return [error(shown.order.order_id, 399, text)]


def _with_commission(shown: Shown, done: Execution) -> Shown:
    return replace(shown, commission=done.commission)
