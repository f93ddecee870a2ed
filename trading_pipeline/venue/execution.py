"""What a bar of the market executes on the book."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import ExecType, OrderType, TimeInForce
from trading_pipeline.venue.book import Book
from trading_pipeline.venue.checks import AUCTIONS
from trading_pipeline.venue.hours import is_halted_bar, session_hours
from trading_pipeline.venue.matching import auction_price, capacity, match
from trading_pipeline.venue.state import Mark
from trading_pipeline.venue.tickets import Terms, Ticket


def meet(book: Book, bar: MarketBar) -> None:
    """Match the symbol's orders against one bar: buys, then stops, then other sells, each by acceptance."""
    meeting = _Meeting(book, bar, book.marks.get(bar.symbol), session_hours(book))
    book.marks[bar.symbol] = Mark(bar.symbol, bar.close, bar.end_at)
    if is_halted_bar(book, bar):
        return
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
        meeting.settle(book.tickets[ticket.client_order_id])


@dataclass(frozen=True, slots=True)
class _Meeting:
    """One bar and the book; `seen` is what the symbol's bar before left, `hours` the session's open and close."""

    book: Book
    bar: MarketBar
    seen: Mark | None
    hours: tuple[datetime, datetime] | None

    def match(self, ticket: Ticket, wanted: Decimal, room: Decimal) -> Decimal:
        """Execute what the bar gives one order; returns the shares filled."""
        terms = ticket.terms_at(self.bar.start_at)
        if terms is None or not wanted:
            return ZERO
        price = self._price(ticket, terms)
        if price is None:
            return ZERO
        whole = ticket.life is TimeInForce.FOK or not self.book.rules.partial_fills
        filled = wanted if wanted <= room else (ZERO if whole else room)
        return self._execute(self.book.tickets[ticket.client_order_id], filled, price)

    def settle(self, ticket: Ticket) -> None:
        """What the bar ends or moves besides filling: orders for this bar only, and trailing stops."""
        if not ticket.is_open:
            return
        met = ticket.terms_at(self.bar.start_at) is not None
        if met and ticket.life in {TimeInForce.IOC, TimeInForce.FOK}:
            text = f"{ticket.life}: not filled at once"
            self.book.end(ticket, ExecType.CANCELED, self.bar.end_at, text)
        elif met and ticket.life is TimeInForce.OPG and self._is_open():
            self.book.end(ticket, ExecType.EXPIRED, self.bar.end_at, "OPG: not filled in the opening bar")
        else:
            trailed = ticket.trailed(self.bar.close, self.bar.end_at)
            if trailed is not ticket:
                self.book.put(trailed)

    def _price(self, ticket: Ticket, terms: Terms) -> Decimal | None:
        """Where the bar fills the order, if it does; a stop that triggers is remembered."""
        order, slippage = ticket.request, self.book.rules.slippage_fraction
        if ticket.life in AUCTIONS:
            auction = self.bar.open if ticket.life is TimeInForce.OPG else self.bar.close
            is_now = self._is_open() if ticket.life is TimeInForce.OPG else self._is_close()
            return auction_price(order.side, terms.limit_price, auction, slippage) if is_now else None
        found = match(
            order.side,
            order.order_type,
            terms,
            triggered=ticket.triggered,
            bar=self.bar,
            slippage=slippage,
            arriving=_is_first_bar(terms, self.bar, self.seen),
        )
        if found.triggered and not ticket.triggered:
            self.book.end_entry_of(ticket, self.bar.end_at)
            self.book.put(replace(self.book.tickets[ticket.client_order_id], triggered=True))
        return found.price

    def _is_open(self) -> bool:
        """True in the symbol's first bar of the session."""
        if self.hours is None or self.bar.start_at < self.hours[0]:
            return False
        return self.seen is None or self.seen.end_at <= self.hours[0]

    def _is_close(self) -> bool:
        """True in the bar that ends with the session."""
        return self.hours is not None and self.bar.end_at == self.hours[1]

    def _execute(self, ticket: Ticket, quantity: Decimal, price: Decimal) -> Decimal:
        book, at = self.book, self.bar.end_at
        payable = min(quantity, self._payable(ticket, quantity, price)) if ticket.is_buy else quantity
        if payable < quantity and ticket.life is TimeInForce.FOK:
            payable = ZERO
        if payable:
            book.end_entry_of(ticket, at)
            book.fill(book.tickets[ticket.client_order_id], payable, price, at)
        if payable < quantity:
            text = f"{quantity - payable} shares at {price} USD exceed the buying power"
            book.end(book.tickets[ticket.client_order_id], ExecType.CANCELED, at, text)
        return payable

    def _payable(self, ticket: Ticket, quantity: Decimal, price: Decimal) -> Decimal:
        """Shares the account can pay for at `price`: a gap may lie beyond what a market buy reserved."""
        free = self.book.buying_power_usd(without=ticket.client_order_id)
        return max((free - self.book.commission(ticket, quantity, price)) // price, ZERO) if quantity else ZERO


def _is_first_bar(terms: Terms, bar: MarketBar, seen: Mark | None) -> bool:
    """True when the bar seen before, as long as this one, began before the terms were in force."""
    return seen is None or seen.end_at - (bar.end_at - bar.start_at) < terms.from_at


def _pessimistically(ticket: Ticket) -> tuple[int, int]:
    if ticket.is_buy:
        return (0, ticket.sequence)
    return (1 if ticket.is_stop or ticket.request.order_type is OrderType.MARKET else 2, ticket.sequence)
