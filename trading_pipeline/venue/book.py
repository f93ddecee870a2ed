"""The order book of the simulated venue: what accepting, filling and ending an order does to everything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import (
    BracketRequest,
    ExecType,
    ExecutionReport,
    OrderRequest,
    OrderType,
    OrdStatus,
)
from trading_pipeline.venue.checks import orders_of
from trading_pipeline.venue.matching import capacity, match
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.state import Changes, Mark, VenueState
from trading_pipeline.venue.tickets import Terms, Ticket


class Book(Changes):
    """The changes of one call, made by the rules of the house."""

    def __init__(self, state: VenueState, rules: VenueRules) -> None:
        super().__init__(state)
        self.rules = rules

    # accepting and ending

    def accept(self, request: OrderRequest | BracketRequest, now: datetime) -> Ticket:
        """Put an order (and a bracket's legs) on the book."""
        entry = self._add(request, orders_of(request)[0], OrdStatus.NEW, now)
        self.report(entry, ExecType.NEW, now)
        for leg in orders_of(request)[1:]:
            self.report(self._add(leg, leg, OrdStatus.NEW, now, entry_id=entry.client_order_id), ExecType.NEW, now)
        return entry

    def refuse(self, request: OrderRequest | BracketRequest, text: str, now: datetime) -> None:
        """Remember the refusal, so that the id stays refused."""
        self._add(request, orders_of(request)[0], OrdStatus.REJECTED, now, text=text)

    def _add(
        self,
        sent: OrderRequest | BracketRequest,
        order: OrderRequest,
        status: OrdStatus,
        now: datetime,
        **others: Any,
    ) -> Ticket:
        self.sequence += 1
        ticket = Ticket(
            request=order,
            sent=sent,
            venue_order_id=f"{self.rules.account}-{self.sequence}",
            sequence=self.sequence,
            status=status,
            quantity=order.quantity,
            terms=(Terms(now, order.limit_price, order.stop_price),),
            reserve_px=self.reserve_px(order) or ZERO,
            **others,
        )
        return self.put(ticket)

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

    def end(self, ticket: Ticket, exec_type: ExecType, at: datetime, text: str) -> None:
        """Take an order off the book; the legs of an entry keep covering what it bought."""
        if not ticket.is_open:
            return
        status = OrdStatus.EXPIRED if exec_type is ExecType.EXPIRED else OrdStatus.CANCELED
        self.report(self.put(replace(ticket, status=status, text=text)), exec_type, at, text=text)
        for leg_id in ticket.leg_ids:
            if ticket.cum_qty:
                self._resize(leg_id, at)
            else:
                self.end(self.tickets[leg_id], ExecType.CANCELED, at, "its entry ended unfilled")

    def _resize(self, leg_id: str, at: datetime) -> None:
        """A leg is for what its entry bought (or still may buy) less what the sibling sold."""
        leg = self.tickets[leg_id]
        entry, sibling = self._family(leg)
        whole = entry.quantity if entry.is_open else entry.cum_qty
        quantity = whole - sibling.cum_qty
        if leg.is_open and quantity != leg.quantity:
            terms = leg.terms[-1]
            self.report(
                self.put(replace(leg, quantity=quantity)),
                ExecType.REPLACED,
                at,
                quantity=quantity,
                limit_price=terms.limit_price,
                stop_price=terms.stop_price,
                text="quantity follows the bracket's fills",
            )

    def _family(self, leg: Ticket) -> tuple[Ticket, Ticket]:
        """A leg's entry and its OCO sibling."""
        assert leg.entry_id is not None
        entry = self.tickets[leg.entry_id]
        (sibling_id,) = (other for other in entry.leg_ids if other != leg.client_order_id)
        return entry, self.tickets[sibling_id]

    # what the account can carry

    def reserve_px(self, order: OrderRequest) -> Decimal | None:
        """What a buy reserves per share: its limit, else its stop or the last price with a margin; None: unknown."""
        mark = self.marks.get(order.symbol)
        last_px = mark.price if mark else None
        return self._reserve(order.limit_price, last_px if order.stop_price is None else order.stop_price)

    def reserve_px_at(self, ticket: Ticket, terms: Terms) -> Decimal:
        """The same for an order whose prices change."""
        found = self._reserve(terms.limit_price, terms.stop_price)
        return ticket.reserve_px if found is None else found

    def _reserve(self, limit_price: Decimal | None, other_price: Decimal | None) -> Decimal | None:
        if limit_price is not None:
            return limit_price
        return None if other_price is None else other_price * self.rules.price_reserve_multiple

    def reserved_usd(self, *, without: str = "") -> Decimal:
        """What working buys may still cost, commission included."""
        buys = (t for t in self.working() if t.is_buy and t.client_order_id != without)
        return sum((t.leaves_qty * t.reserve_px + self.commission(t) for t in buys), ZERO)

    def commission(self, ticket: Ticket) -> Decimal:
        """Due with the next fill (USD): the first one pays for the order."""
        return ZERO if ticket.cum_qty else self.rules.commission_usd_per_order

    def holdings_usd(self) -> Decimal:
        """Positions at the last price."""
        held = (holding for holding in self.holdings.values() if holding.quantity)
        return sum((h.quantity * self.marks[h.symbol].price for h in held), ZERO)

    def buying_power_usd(self, *, without: str = "") -> Decimal:
        """Equity times the account's multiple, less what is held and what working buys reserve; never negative."""
        held = self.holdings_usd()
        free = (self.cash_usd + held) * self.rules.buying_power_multiple - held - self.reserved_usd(without=without)
        return max(free, ZERO)

    def sellable(self, symbol: str) -> Decimal:
        """Shares held and not yet in a working sell; the two legs of an OCO count once."""
        sells = [ticket for ticket in self.working(symbol) if not ticket.is_buy]
        groups = {ticket.entry_id or ticket.client_order_id: ticket for ticket in sells}
        return self.holding(symbol).quantity - sum((self.active_qty(ticket) for ticket in groups.values()), ZERO)

    def active_qty(self, ticket: Ticket, entry_cum: Decimal | None = None) -> Decimal:
        """Shares an order may execute now: a leg only what its entry has bought and neither leg has sold."""
        if ticket.entry_id is None:
            return ticket.leaves_qty
        entry, sibling = self._family(ticket)
        bought = entry.cum_qty if entry_cum is None else entry_cum
        return min(ticket.leaves_qty, max(bought - ticket.cum_qty - sibling.cum_qty, ZERO))

    # matching

    def on_bar(self, bar: MarketBar) -> None:
        """Match the symbol's orders against one bar: buys, then stops, then other sells, each by acceptance."""
        seen = self.marks.get(bar.symbol)
        self.marks[bar.symbol] = Mark(bar.symbol, bar.close, bar.end_at)
        room = dict.fromkeys((True, False), capacity(bar, self.rules.participation_fraction))
        working = list(self.working(bar.symbol))
        held_at_start = {ticket.client_order_id: ticket.cum_qty for ticket in working if ticket.leg_ids}
        for listed in sorted(working, key=_pessimistically):
            ticket = self.tickets[listed.client_order_id]  # an earlier match may have changed or ended it
            # the bar that fills an entry may stop it out, but never reach the target: its path is not known
            is_target = ticket.entry_id is not None and not ticket.is_stop
            entry_cum = held_at_start.get(ticket.entry_id or "") if is_target else None
            wanted = self.active_qty(ticket, entry_cum)
            room[ticket.is_buy] -= self._match(ticket, bar, wanted, room[ticket.is_buy], seen)

    def _match(self, ticket: Ticket, bar: MarketBar, wanted: Decimal, room: Decimal, seen: Mark | None) -> Decimal:
        """Execute what the bar gives one order; returns the shares filled."""
        terms = ticket.terms_at(bar.start_at)
        if terms is None or not wanted:
            return ZERO
        order = ticket.request
        found = match(
            order.side,
            order.order_type,
            terms,
            triggered=ticket.triggered,
            bar=bar,
            slippage=self.rules.slippage_fraction,
            arriving=_is_first_bar(terms, bar, seen),
        )
        if found.triggered and not ticket.triggered:
            self._end_entry_of(ticket, bar.end_at)
            ticket = self.put(replace(self.tickets[ticket.client_order_id], triggered=True))
        if found.price is None:
            return ZERO
        filled = wanted if wanted <= room else (room if self.rules.partial_fills else ZERO)
        return self._execute(ticket, filled, found.price, bar.end_at)

    def _execute(self, ticket: Ticket, quantity: Decimal, price: Decimal, at: datetime) -> Decimal:
        payable = min(quantity, self._payable(ticket, price)) if ticket.is_buy else quantity
        if payable:
            self._end_entry_of(ticket, at)
            self._fill(self.tickets[ticket.client_order_id], payable, price, at)
        if payable < quantity:
            text = f"{quantity - payable} shares at {price} USD exceed the buying power"
            self.end(self.tickets[ticket.client_order_id], ExecType.CANCELED, at, text)
        return payable

    def _payable(self, ticket: Ticket, price: Decimal) -> Decimal:
        """Shares the account can pay for at `price`: a gap may lie beyond what a market buy reserved."""
        free = self.buying_power_usd(without=ticket.client_order_id) - self.commission(ticket)
        return max(free // price, ZERO)

    def _end_entry_of(self, ticket: Ticket, at: datetime) -> None:
        """A position on its way out is not added to: a triggered stop or a filled leg cancels the rest of its entry."""
        if ticket.entry_id is not None:
            self.end(self.tickets[ticket.entry_id], ExecType.CANCELED, at, "an exit leg of its bracket executes")

    def _fill(self, ticket: Ticket, quantity: Decimal, price: Decimal, at: datetime) -> None:
        commission = self.commission(ticket)
        holding = self.holding(ticket.symbol)
        self.holdings[ticket.symbol] = holding.bought(quantity, price) if ticket.is_buy else holding.sold(quantity)
        self.cash_usd += (-quantity if ticket.is_buy else quantity) * price - commission
        done = ticket.cum_qty + quantity
        status = OrdStatus.FILLED if done == ticket.quantity else OrdStatus.PARTIALLY_FILLED
        ticket = self.put(replace(ticket, cum_qty=done, status=status))
        self.report(ticket, ExecType.TRADE, at, last_qty=quantity, last_px=price, commission=commission)
        if ticket.entry_id is not None:
            self._after_leg(ticket, at)

    def _after_leg(self, leg: Ticket, at: datetime) -> None:
        _, sibling = self._family(leg)
        if leg.is_open:
            self._resize(sibling.client_order_id, at)
        else:
            self.end(sibling, ExecType.CANCELED, at, "the other leg of its OCO filled")


def _is_first_bar(terms: Terms, bar: MarketBar, seen: Mark | None) -> bool:
    """True when the bar seen before, as long as this one, began before the terms were in force."""
    return seen is None or seen.end_at - (bar.end_at - bar.start_at) < terms.from_at


def _pessimistically(ticket: Ticket) -> tuple[int, int]:
    if ticket.is_buy:
        return (0, ticket.sequence)
    return (1 if ticket.is_stop or ticket.request.order_type is OrderType.MARKET else 2, ticket.sequence)
