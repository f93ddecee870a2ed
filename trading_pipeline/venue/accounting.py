"""What the account can carry: families of orders, what they reserve, and what is free to buy and to sell."""

from __future__ import annotations

from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import OrderRequest
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.state import Changes, VenueState
from trading_pipeline.venue.tickets import Terms, Ticket


class Accounting(Changes):
    """The changes of one call, with the account's arithmetic by the rules of the house."""

    def __init__(self, state: VenueState, rules: VenueRules) -> None:
        super().__init__(state)
        self.rules = rules

    # families

    def entry_of(self, leg: Ticket) -> Ticket | None:
        """The entry whose fills a bracket's leg covers; None for any other order."""
        return None if leg.entry_id is None else self.tickets[leg.entry_id]

    def sibling_of(self, ticket: Ticket) -> Ticket | None:
        """The other exit of a bracket or an OCO; None when there is none."""
        owner = self.entry_of(ticket) or ticket
        others = [name for name in (*owner.leg_ids, *owner.oco_ids) if name != ticket.client_order_id]
        return self.tickets[others[0]] if others and not ticket.leg_ids else None

    def sibling_cum(self, ticket: Ticket) -> Decimal:
        """Shares the other exit has executed."""
        sibling = self.sibling_of(ticket)
        return sibling.cum_qty if sibling else ZERO

    def exit_qty(self, leg: Ticket) -> Decimal:
        """A leg is for what its entry bought (or still may buy), or what it was cut to, less what the sibling sold."""
        entry = self.entry_of(leg)
        bought = [entry.quantity if entry.is_open else entry.cum_qty] if entry else []
        whole = min([*bought, *([leg.whole] if leg.whole is not None else [])], default=leg.quantity)
        return whole - self.sibling_cum(leg)

    def active_qty(self, ticket: Ticket, entry_cum: Decimal | None = None) -> Decimal:
        """Shares an order may execute now: a leg only what its entry has bought and neither leg has sold."""
        entry = self.entry_of(ticket)
        if entry is None:
            return ticket.leaves_qty
        bought = entry.cum_qty if entry_cum is None else entry_cum
        return min(ticket.leaves_qty, max(bought - ticket.cum_qty - self.sibling_cum(ticket), ZERO))

    # buying

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

    # selling

    def sellable(self, symbol: str) -> Decimal:
        """Shares held and not yet in a working sell; the two legs of an OCO count once."""
        sells = [ticket for ticket in self.working(symbol) if not ticket.is_buy]
        groups = {ticket.group_id: ticket for ticket in sells}
        return self.holding(symbol).quantity - sum((self.active_qty(ticket) for ticket in groups.values()), ZERO)
