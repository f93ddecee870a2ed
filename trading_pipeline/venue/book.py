"""The order book of the simulated venue: what accepting, changing and ending an order does to everything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import (
    AnyRequest,
    BracketRequest,
    ExecType,
    ExecutionReport,
    OcoRequest,
    OrderRequest,
    OrdStatus,
)
from trading_pipeline.venue.accounting import Accounting
from trading_pipeline.venue.checks import as_kept, orders_of
from trading_pipeline.venue.tickets import Terms, Ticket, trailing_stop


class Book(Accounting):
    """The changes of one call, made by the rules of the house."""

    # accepting

    def accept(self, request: AnyRequest, now: datetime) -> Ticket:
        """Put an order (and a bracket's legs, or both sides of an OCO) on the book; returns the first."""
        first, *others = orders_of(request)
        if isinstance(request, OcoRequest):
            tickets = [
                self._add(request, order, OrdStatus.NEW, now, whole=order.quantity) for order in (first, *others)
            ]
        else:
            tickets = [self._add(request, first, OrdStatus.NEW, now)]
            tickets += [self._add(leg, leg, OrdStatus.NEW, now, entry_id=first.client_order_id) for leg in others]
        for ticket in tickets:
            self.report(ticket, ExecType.NEW, now)
        return tickets[0]

    def join(self, known: Ticket, family: BracketRequest | OcoRequest, order: OrderRequest, now: datetime) -> Ticket:
        """Put an order on the book as one of a family that has another order there; returns the new one."""
        if isinstance(family, OcoRequest):
            self.put(replace(known, sent=family, whole=known.quantity))
            ticket = self._add(family, order, OrdStatus.NEW, now, whole=order.quantity)
        else:
            self.put(replace(known, sent=family))
            ticket = self._add(order, order, OrdStatus.NEW, now, entry_id=known.client_order_id)
        self.report(ticket, ExecType.NEW, now)
        self.resize(ticket.client_order_id, now)
        return self.tickets[ticket.client_order_id]

    def refuse(self, request: AnyRequest, text: str, now: datetime) -> None:
        """Remember the refusal, so that the id stays refused."""
        order = as_kept(orders_of(request)[0])
        self._add(order, order, OrdStatus.REJECTED, now, text=text)

    def _add(self, sent: AnyRequest, order: OrderRequest, status: OrdStatus, now: datetime, **others: Any) -> Ticket:
        self.sequence += 1
        ticket = Ticket(
            request=order,
            sent=sent,
            venue_order_id=f"{self.rules.account}-{self.sequence}",
            sequence=self.sequence,
            status=status,
            quantity=order.quantity,
            terms=(Terms(now, order.limit_price, self._first_stop(order)),),
            reserve_px=self.reserve_px(order) or ZERO,
            trail_amount=order.trail_amount,
            **others,
        )
        return self.put(ticket)

    def _first_stop(self, order: OrderRequest) -> Decimal | None:
        """The stop as sent; a trailing one without it starts at the last price, else at the first close it sees."""
        mark = self.marks.get(order.symbol)
        if order.stop_price is not None or order.trail_amount is None or mark is None:
            return order.stop_price
        return trailing_stop(order.side, mark.price, order.trail_amount)

    def put(self, ticket: Ticket) -> Ticket:
        self.tickets[ticket.client_order_id] = ticket
        return ticket

    def report(self, ticket: Ticket, exec_type: ExecType, at: datetime, **details: Any) -> None:
        """Tell the client. Reports never go back in time, so that a client asking "since" misses none."""
        number = ticket.reports + 1
        self.put(replace(self.tickets[ticket.client_order_id], reports=number))
        self.reports.append(
            ExecutionReport(
                exec_id=f"{ticket.client_order_id}-{number}",
                client_order_id=ticket.client_order_id,
                venue_order_id=ticket.venue_order_id,
                exec_type=exec_type,
                occurred_at=max(at, self.last_reported_at() or at),
                **details,
            )
        )

    # ending

    def cancel(self, ticket: Ticket, at: datetime) -> None:
        """At the client's wish: an exit takes its sibling along, and what is left of its entry."""
        if not ticket.is_open:
            return
        entry, sibling = self.entry_of(ticket), self.sibling_of(ticket)
        self.end(ticket, ExecType.CANCELED, at, "canceled by the client")
        for other in (sibling, entry):
            if other is not None:
                text = f"canceled with {ticket.client_order_id}"
                self.end(self.tickets[other.client_order_id], ExecType.CANCELED, at, text)

    def end(self, ticket: Ticket, exec_type: ExecType, at: datetime, text: str) -> None:
        """Take an order off the book; the legs of an entry keep covering what it bought, or waited in vain for all."""
        if not ticket.is_open:
            return
        status = OrdStatus.EXPIRED if exec_type is ExecType.EXPIRED else OrdStatus.CANCELED
        self.report(self.put(replace(ticket, status=status, text=text)), exec_type, at, text=text)
        for leg_id in ticket.leg_ids:
            if ticket.cum_qty and not self.rules.legs_wait_for_whole_entry:
                self.resize(leg_id, at)
            else:
                text = f"its entry ended {'partly filled' if ticket.cum_qty else 'unfilled'}"
                self.end(self.tickets[leg_id], ExecType.CANCELED, at, text)

    def reject(self, ticket: Ticket, at: datetime, text: str) -> None:
        """Take back an acceptance, as venues that answer twice do; a bracket's legs go along."""
        self.report(self.put(replace(ticket, status=OrdStatus.REJECTED, text=text)), ExecType.REJECTED, at, text=text)
        for leg_id in (*ticket.leg_ids, *(name for name in ticket.oco_ids if name != ticket.client_order_id)):
            self.end(self.tickets[leg_id], ExecType.CANCELED, at, f"{ticket.client_order_id} was rejected")

    # changing

    def change(self, changed: Ticket, at: datetime) -> None:
        """Put a changed order on the book, tell it, and let the orders of its family follow."""
        before = self.tickets[changed.client_order_id]
        self.change_alone(changed, at)
        if changed.quantity == before.quantity:
            return
        for leg_id in changed.leg_ids:
            self.resize(leg_id, at)
        sibling = self.sibling_of(changed)
        if sibling is not None and changed.whole is not None:
            self.put(replace(sibling, whole=changed.whole))
            self.resize(sibling.client_order_id, at)

    def change_alone(self, changed: Ticket, at: datetime, text: str = "") -> None:
        """Put a changed order on the book and tell it; the orders of its family stay."""
        terms = changed.terms[-1]
        prices = {"limit_price": terms.limit_price, "stop_price": terms.stop_price}
        self.report(self.put(changed), ExecType.REPLACED, at, quantity=changed.quantity, text=text, **prices)

    def resize(self, leg_id: str, at: datetime) -> None:
        """Let an exit's quantity follow its entry and its sibling."""
        leg = self.tickets[leg_id]
        quantity = self.exit_qty(leg)
        if leg.is_open and quantity != leg.quantity:
            text = "quantity follows the orders it belongs with"
            self.change_alone(replace(leg, quantity=quantity), at, text)

    def with_quantity(self, ticket: Ticket, quantity: Decimal) -> Ticket:
        """The order for another whole quantity; an exit's family is cut with it."""
        if ticket.entry_id is None and not ticket.oco_ids:
            return replace(ticket, quantity=quantity)
        return replace(ticket, quantity=quantity, whole=quantity + self.sibling_cum(ticket))

    def end_entry_of(self, ticket: Ticket, at: datetime) -> None:
        """A position on its way out is not added to: a triggered stop or a filled leg cancels the rest of its entry."""
        entry = self.entry_of(ticket)
        if entry is not None:
            self.end(entry, ExecType.CANCELED, at, "an exit leg of its bracket executes")

    def fill(self, ticket: Ticket, quantity: Decimal, price: Decimal, at: datetime) -> None:
        """Execute shares at a price: cash, holding, the order and its sibling."""
        charged = self.charge(ticket, quantity, price, at)
        commission = charged.charged_usd - ticket.charged_usd
        holding = self.holding(ticket.symbol)
        self.holdings[ticket.symbol] = holding.bought(quantity, price) if ticket.is_buy else holding.sold(quantity)
        moved = (-quantity if ticket.is_buy else quantity) * price - commission
        self.cash_usd += moved
        if not ticket.is_buy:
            self.settle_later(moved, at)
        done = ticket.cum_qty + quantity
        status = OrdStatus.FILLED if done == ticket.quantity else OrdStatus.PARTIALLY_FILLED
        ticket = self.put(replace(charged, cum_qty=done, status=status))
        self.report(ticket, ExecType.TRADE, at, last_qty=quantity, last_px=price, commission=commission)
        sibling = self.sibling_of(ticket)
        if sibling is None:
            return
        if ticket.is_open:
            self.resize(sibling.client_order_id, at)
        else:
            self.end(sibling, ExecType.CANCELED, at, "the other leg of its OCO filled")

    def correct(self, trade: ExecutionReport, was: Decimal, price: Decimal, at: datetime) -> None:
        """Let a fill told at one price have been at another: cash and cost follow, its commission stays."""
        ticket = self.tickets[trade.client_order_id]
        more, holding = (price - was) * trade.last_qty, self.holding(ticket.symbol)
        self.cash_usd += -more if ticket.is_buy else more
        if ticket.is_buy and holding.quantity:
            left = more * min(holding.quantity / trade.last_qty, Decimal(1))
            self.holdings[ticket.symbol] = replace(holding, cost_usd=holding.cost_usd + left)
        changed = self.put(replace(ticket, value_usd=ticket.value_usd + more))
        told = {"last_qty": trade.last_qty, "last_px": price, "commission": trade.commission}
        self.report(changed, ExecType.TRADE_CORRECT, at, ref_exec_id=trade.exec_id, text="price corrected", **told)
