"""Why the account cannot carry an order or its change, as the book stands: every reason given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.orders import AnyRequest, Side
from trading_pipeline.venue.book import Book
from trading_pipeline.venue.checks import orders_of, price_faults, quantity_faults
from trading_pipeline.venue.hours import auction_faults, is_halted
from trading_pipeline.venue.tickets import Terms, Ticket


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a client asks to change at an instant; None keeps what is."""

    at: datetime
    stop_price: Decimal | None
    limit_price: Decimal | None
    quantity: Decimal | None

    @property
    def is_empty(self) -> bool:
        return self.stop_price is None and self.limit_price is None and self.quantity is None

    def terms(self, ticket: Ticket) -> Terms:
        """The prices in force afterwards."""
        now = ticket.terms[-1]
        return Terms(self.at, _either(self.limit_price, now.limit_price), _either(self.stop_price, now.stop_price))

    def applied(self, book: Book, ticket: Ticket) -> Ticket:
        """The order as it is afterwards."""
        terms = self.terms(ticket)
        changed = replace(ticket.with_terms(terms), reserve_px=book.reserve_px_at(ticket, terms))
        return changed if self.quantity is None else book.with_quantity(changed, self.quantity)


def account_faults(book: Book, request: AnyRequest, now: datetime) -> list[str]:
    """What the account cannot carry: ids taken, cash, shares."""
    first, *others = orders_of(request)
    halted = book.rules.orders_in_halt == "refuse" and is_halted(book, first.symbol, now)
    taken = [order.client_order_id for order in others if order.client_order_id in book.tickets]
    faults = [f"the leg id {leg_id} is already in use" for leg_id in taken]
    faults += [f"trading in {first.symbol} is halted"] if halted else []
    faults += auction_faults(book, first, now)
    if first.side is Side.SELL:
        sellable = book.sellable(first.symbol)
        if first.quantity > sellable:
            faults.append(f"{sellable} shares are free to sell, {first.quantity} were asked; the account is long only")
        return faults
    price = book.reserve_px(first)
    if price is None:
        return [*faults, f"no price of {first.symbol} is known yet; send a limit order or wait for its first bar"]
    needed, free = book.new_cost_usd(first.quantity, price), book.buying_power_usd()
    if needed > free:
        faults.append(f"it needs {needed:.2f} USD of buying power, {free:.2f} are free")
    return faults


def replace_faults(book: Book, ticket: Ticket, asked: Replacement) -> list[str]:
    """What is wrong with a change; an order that has ended takes none."""
    terms = asked.terms(ticket)
    faults = list(price_faults(ticket.request.order_type, terms.limit_price, terms.stop_price))
    if not ticket.is_open:
        faults.append(f"it has ended ({ticket.status})")
    if ticket.triggered and asked.stop_price is not None:
        faults.append("its stop has triggered")
    if asked.is_empty:
        faults.append("neither a stop nor a limit price nor a quantity was given")
    if asked.quantity is not None:
        faults += _quantity_faults(book, ticket, asked.quantity)
    return faults or _cost_faults(book, asked.applied(book, ticket)) or _share_faults(book, ticket, asked)


def _quantity_faults(book: Book, ticket: Ticket, quantity: Decimal) -> list[str]:
    faults = list(quantity_faults(quantity))
    if not faults and quantity <= ticket.cum_qty:
        faults.append(f"{ticket.cum_qty} shares are already filled; cancel the rest instead")
    entry = book.entry_of(ticket)
    if not faults and entry is not None:
        most = (entry.quantity if entry.is_open else entry.cum_qty) - book.sibling_cum(ticket)
        if quantity > most:
            faults.append(f"its bracket is for {most} shares")
    return faults


def _cost_faults(book: Book, changed: Ticket) -> list[str]:
    needed = book.cost_usd(changed, changed.leaves_qty, changed.reserve_px)
    free = book.buying_power_usd(without=changed.client_order_id)
    if changed.is_buy and needed > free:
        return [f"it would need {needed:.2f} USD of buying power, {free:.2f} are free"]
    return []


def _share_faults(book: Book, ticket: Ticket, asked: Replacement) -> list[str]:
    """More shares to sell than are free."""
    if ticket.is_buy or asked.quantity is None:
        return []
    more = book.active_qty(asked.applied(book, ticket)) - book.active_qty(ticket)
    sellable = book.sellable(ticket.symbol)
    return [f"{sellable} more shares are free to sell, {more} more were asked"] if more > sellable else []


def _either(asked: Decimal | None, current: Decimal | None) -> Decimal | None:
    return current if asked is None else asked
