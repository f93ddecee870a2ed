"""What a bar of the market executes on the book."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import ExecType, OrderType
from trading_pipeline.venue.book import Book
from trading_pipeline.venue.matching import capacity, match
from trading_pipeline.venue.state import Mark
from trading_pipeline.venue.tickets import Terms, Ticket


def meet(book: Book, bar: MarketBar) -> None:
    """Match the symbol's orders against one bar: buys, then stops, then other sells, each by acceptance."""
    meeting = _Meeting(book, bar, book.marks.get(bar.symbol))
    book.marks[bar.symbol] = Mark(bar.symbol, bar.close, bar.end_at)
    room = dict.fromkeys((True, False), capacity(bar, book.rules.participation_fraction))
    working = list(book.working(bar.symbol))
    held_at_start = {ticket.client_order_id: ticket.cum_qty for ticket in working if ticket.leg_ids}
    for listed in sorted(working, key=_pessimistically):
        ticket = book.tickets[listed.client_order_id]  # an earlier match may have changed or ended it
        # the bar that fills an entry may stop it out, but never reach the target: its path is not known
        is_target = ticket.entry_id is not None and not ticket.is_stop
        entry_cum = held_at_start.get(ticket.entry_id or "") if is_target else None
        wanted = book.active_qty(ticket, entry_cum)
        room[ticket.is_buy] -= meeting.match(ticket, wanted, room[ticket.is_buy])


@dataclass(frozen=True, slots=True)
class _Meeting:
    """One bar and the book; `seen` is what the symbol's bar before left."""

    book: Book
    bar: MarketBar
    seen: Mark | None

    def match(self, ticket: Ticket, wanted: Decimal, room: Decimal) -> Decimal:
        """Execute what the bar gives one order; returns the shares filled."""
        terms = ticket.terms_at(self.bar.start_at)
        if terms is None or not wanted:
            return ZERO
        order = ticket.request
        found = match(
            order.side,
            order.order_type,
            terms,
            triggered=ticket.triggered,
            bar=self.bar,
            slippage=self.book.rules.slippage_fraction,
            arriving=_is_first_bar(terms, self.bar, self.seen),
        )
        if found.triggered and not ticket.triggered:
            self.book.end_entry_of(ticket, self.bar.end_at)
            ticket = self.book.put(replace(self.book.tickets[ticket.client_order_id], triggered=True))
        if found.price is None:
            return ZERO
        filled = wanted if wanted <= room else (room if self.book.rules.partial_fills else ZERO)
        return self._execute(ticket, filled, found.price)

    def _execute(self, ticket: Ticket, quantity: Decimal, price: Decimal) -> Decimal:
        book, at = self.book, self.bar.end_at
        payable = min(quantity, self._payable(ticket, price)) if ticket.is_buy else quantity
        if payable:
            book.end_entry_of(ticket, at)
            book.fill(book.tickets[ticket.client_order_id], payable, price, at)
        if payable < quantity:
            text = f"{quantity - payable} shares at {price} USD exceed the buying power"
            book.end(book.tickets[ticket.client_order_id], ExecType.CANCELED, at, text)
        return payable

    def _payable(self, ticket: Ticket, price: Decimal) -> Decimal:
        """Shares the account can pay for at `price`: a gap may lie beyond what a market buy reserved."""
        free = self.book.buying_power_usd(without=ticket.client_order_id) - self.book.commission(ticket)
        return max(free // price, ZERO)


def _is_first_bar(terms: Terms, bar: MarketBar, seen: Mark | None) -> bool:
    """True when the bar seen before, as long as this one, began before the terms were in force."""
    return seen is None or seen.end_at - (bar.end_at - bar.start_at) < terms.from_at


def _pessimistically(ticket: Ticket) -> tuple[int, int]:
    if ticket.is_buy:
        return (0, ticket.sequence)
    return (1 if ticket.is_stop or ticket.request.order_type is OrderType.MARKET else 2, ticket.sequence)
