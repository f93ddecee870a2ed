"""What the wire is shown of the engine: orders as they stand, executions with what they add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from trading_pipeline.domain.money import ZERO, average_price
from trading_pipeline.domain.orders import ExecType, ExecutionReport, OrderType
from trading_pipeline.venue.hours import session_hours
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tickets import Ticket
from trading_pipeline.venue.tws.cancels import Cancels
from trading_pipeline.venue.tws.order_messages import Execution, Shown
from trading_pipeline.venue.tws.orders import WireOrder, WireOrders, status_of, why_held

HELD = "tws:held"
"""The fact that names orders the broker holds: Inactive until they are let go."""
GATEWAY = "0000e0d5"
"""First part of every execId: which server of the broker's executed."""


class Showing:
    """The engine's orders and fills in the wire's terms."""

    def __init__(self, hub: Hub, orders: WireOrders, cancels: Cancels, account: str) -> None:
        self._hub, self._orders, self._cancels, self.account = hub, orders, cancels, account
        self._executions: dict[int, list[Execution]] = {}
        self._told_at: dict[str, datetime] = {}
        """When an order's newest report was made, by its id at the engine."""
        self._places: dict[str, tuple[int, int]] = {}
        """Where the fill of a report is, by the report's exec_id, in the order they were made."""
        self._read = 0
        self.catch_up()

    def catch_up(self) -> Sequence[tuple[ExecutionReport, WireOrder, Execution | None]]:
        """The engine's reports since the last call, each with its order, and its execution where it is one."""
        reports = self._hub.venue.reports
        fresh, self._read = reports[self._read :], len(reports)
        return [(report, *self._noted(report)) for report in fresh]

    def executions(self) -> Sequence[Execution]:
        """Every fill so far, oldest first; a corrected one as corrected."""
        return [self._executions[perm_id][at] for perm_id, at in self._places.values()]

    def report_of(self, exec_id: str) -> str | None:
        """The engine's own id of a fill, by the wire's; None for one nobody made."""
        stems = {done.exec_id.rpartition(".")[0]: name for name, done in self._by_report()}
        return stems.get(exec_id.rpartition(".")[0])

    def _by_report(self) -> Iterator[tuple[str, Execution]]:
        for name, (perm_id, at) in self._places.items():
            yield name, self._executions[perm_id][at]

    def shown(self, order: WireOrder) -> Shown:
        """An order as it stands."""
        ticket = self._orders.ticket(order)
        parent = self._orders.parent_of(order)
        shown = Shown(
            order=order, account=self.account, status="", quantity=order.terms.quantity,
            limit_price=order.terms.limit_price, aux_price=order.terms.aux_price,
            trail_stop_price=order.terms.trail_stop_price, remaining=order.terms.quantity,
            parent_id=order.terms.parent_id, parent_perm_id=parent.perm_id if parent else 0,
        )  # fmt: skip
        entry_cum = self._has_bought(ticket)
        status = status_of(order, ticket, waits_for_open=self.waits_for_open(ticket), entry_cum=entry_cum)
        is_held = order.perm_id in self._orders.book.facts.get(HELD, []) and self._orders.is_open(order)
        status = "Inactive" if is_held else status
        status = "PendingCancel" if self._cancels.is_pending(order) else status
        held = why_held(ticket, entry_cum=entry_cum)
        return replace(shown if ticket is None else self._filled(shown, ticket), status=status, why_held=held)

    def estimated(self, order: WireOrder) -> Shown:
        """An order as it would be: what it binds is its value at its own price, or at the last."""
        terms, book = order.terms, self._orders.book
        mark = book.marks.get(order.symbol)
        price = terms.limit_price or terms.aux_price or (mark.price if mark else ZERO)
        account, held = self._hub.venue.account(), book.holdings_usd()
        value = price * terms.quantity * (1 if terms.action == "BUY" else -1)
        before, change = (held, held, account.equity_usd), (value, value, ZERO)
        after = tuple(was + more for was, more in zip(before, change, strict=True))
        cost = book.new_cost_usd(terms.quantity, price) - price * terms.quantity
        return Shown(
            order=order, account=self.account, status="PreSubmitted", quantity=terms.quantity,
            limit_price=terms.limit_price, aux_price=terms.aux_price, parent_id=terms.parent_id, commission=cost,
            what_if=(*before, *change, *after),
        )  # fmt: skip

    def waits_for_open(self, ticket: Ticket | None) -> bool:
        """True while the session has not begun, or is over, for an order that came in between."""
        hours = session_hours(self._orders.book)
        if ticket is None or hours is None:
            return False
        return not hours[0] <= self._hub.time.now() < hours[1]

    def _has_bought(self, ticket: Ticket | None) -> bool:
        if ticket is None or ticket.entry_id is None:
            return False
        return ticket.is_detached or self._orders.book.tickets[ticket.entry_id].cum_qty > 0

    def _filled(self, shown: Shown, ticket: Ticket) -> Shown:
        made, prices = self._executions.get(shown.order.perm_id, []), ticket.terms[-1]
        trails = ticket.request.order_type is OrderType.TRAILING_STOP
        return replace(
            shown,
            quantity=ticket.quantity,
            limit_price=prices.limit_price,
            aux_price=ticket.trail_amount if trails else prices.stop_price,
            trail_stop_price=prices.stop_price if trails else None,
            filled=ticket.cum_qty,
            remaining=ticket.quantity - ticket.cum_qty,
            avg_price=made[-1].avg_price if made else ZERO,
            last_price=made[-1].price if made else ZERO,
            ended_at=None if ticket.is_open else self._told_at.get(ticket.client_order_id, prices.from_at),
            end_text=ticket.text or f"Filled Size: {ticket.cum_qty:f}",
        )

    def _noted(self, report: ExecutionReport) -> tuple[WireOrder, Execution | None]:
        self._told_at[report.client_order_id] = report.occurred_at
        order = self._orders.at_engine(report.client_order_id) or self._orders.adopt(report.client_order_id)
        if report.exec_type is ExecType.TRADE:
            return order, self._filled_by(order, report)
        if report.exec_type is ExecType.TRADE_CORRECT:
            return order, self._corrected(report)
        return order, None

    def _filled_by(self, order: WireOrder, report: ExecutionReport) -> Execution:
        made = self._executions.setdefault(order.perm_id, [])
        self._places[report.exec_id] = (order.perm_id, len(made))
        stem = f"{GATEWAY}.{order.perm_id:08x}.{len(made) + 1:02d}"
        made.append(
            Execution(
                exec_id=f"{stem}.01", order=order, time=report.occurred_at, shares=report.last_qty,
                price=report.last_px, commission=report.commission,
            )
        )  # fmt: skip
        _add_up(made)
        return made[-1]

    def _corrected(self, report: ExecutionReport) -> Execution:
        """The same fill under its next version: the last part of the execId, as IB counts them."""
        perm_id, at = self._places[report.ref_exec_id]
        made = self._executions[perm_id]
        stem, _, version = made[at].exec_id.rpartition(".")
        made[at] = replace(made[at], exec_id=f"{stem}.{int(version) + 1:02d}", price=report.last_px)
        _add_up(made)
        return made[at]


def _add_up(made: list[Execution]) -> None:
    """What each fill makes of its order: shares and average price so far."""
    shares = value = ZERO
    for at, done in enumerate(made):
        shares, value = shares + done.shares, value + done.shares * done.price
        made[at] = replace(done, cum_quantity=shares, avg_price=round(average_price(value, shares), 8))
