"""What the account can carry: families of orders, what they reserve, and what is free to buy and to sell."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import OrderRequest
from trading_pipeline.venue.commission import schedule_of
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline.venue.state import Changes, VenueState
from trading_pipeline.venue.tickets import Terms, Ticket

UNSETTLED = "unsettled"


class Accounting(Changes):
    """The changes of one call, with the account's arithmetic by the rules of the house."""

    def __init__(self, state: VenueState, rules: VenueRules) -> None:
        super().__init__(state)
        self.rules, self.schedule = rules, schedule_of(rules)

    # families

    def entry_of(self, leg: Ticket) -> Ticket | None:
        """The entry whose fills a bracket's leg covers; None for any other order."""
        return None if leg.entry_id is None or leg.is_detached else self.tickets[leg.entry_id]

    def sibling_of(self, ticket: Ticket) -> Ticket | None:
        """The other exit of a bracket or an OCO; None when there is none."""
        owner = ticket if ticket.entry_id is None else self.tickets[ticket.entry_id]
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
        """Shares an order may execute now: a leg only what its entry has bought and neither leg has sold.

        By the rules of some houses a leg waits until its entry has bought everything.
        """
        entry = self.entry_of(ticket)
        if entry is None:
            return ticket.leaves_qty
        bought = entry.cum_qty if entry_cum is None else entry_cum
        if self.rules.legs_wait_for_whole_entry and bought < entry.quantity:
            return ZERO
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
        return sum((self.cost_usd(t, t.leaves_qty, t.reserve_px) for t in buys), ZERO)

    def new_cost_usd(self, quantity: Decimal, price: Decimal) -> Decimal:
        """What an order not yet sent costs, commission included."""
        value = quantity * price
        return value + self.schedule.total_usd(self.schedule.raw_usd(quantity, ZERO), quantity, value)

    def cost_usd(self, ticket: Ticket, quantity: Decimal, price: Decimal) -> Decimal:
        """What buying so many more shares of an order costs, commission included."""
        return quantity * price + self.commission(ticket, quantity, price)

    def commission(self, ticket: Ticket, quantity: Decimal, price: Decimal) -> Decimal:
        """Due (USD) when so many more shares of an order execute: its commission afterwards less what was charged."""
        raw = ticket.raw_usd + self.schedule.raw_usd(quantity, ZERO)
        return self._due(ticket, raw, quantity, price)

    def charge(self, ticket: Ticket, quantity: Decimal, price: Decimal, at: datetime) -> Ticket:
        """The order after its commission for a fill: what is due now is the difference in `charged_usd`."""
        month = f"shares:{at:%Y-%m}"
        traded = Decimal(self.facts.get(month, "0"))
        raw = ticket.raw_usd + self.schedule.raw_usd(quantity, traded)
        if len(self.schedule.tiers) > 1:
            self.facts[month] = str(traded + quantity)
        due = self._due(ticket, raw, quantity, price)
        value = ticket.value_usd + quantity * price
        return replace(ticket, raw_usd=raw, value_usd=value, charged_usd=ticket.charged_usd + due)

    def _due(self, ticket: Ticket, raw: Decimal, quantity: Decimal, price: Decimal) -> Decimal:
        value, shares = ticket.value_usd + quantity * price, ticket.cum_qty + quantity
        return self.schedule.total_usd(raw, shares, value) - ticket.charged_usd

    def holdings_usd(self) -> Decimal:
        """Positions at the last price."""
        held = (holding for holding in self.holdings.values() if holding.quantity)
        return sum((h.quantity * self.marks[h.symbol].price for h in held), ZERO)

    def buying_power_usd(self, *, without: str = "") -> Decimal:
        """Equity times the account's multiple, less what is held and what working buys reserve; never negative.

        A cash account has its settled cash less what working buys reserve.
        """
        held, reserved = self.holdings_usd(), self.reserved_usd(without=without)
        free = (self.cash_usd + held) * self.rules.buying_power_multiple - held - reserved
        settled = self.settled_cash_usd()
        return max(free if settled is None else min(free, settled - reserved), ZERO)

    def settled_cash_usd(self) -> Decimal | None:
        """Cash without the sales of the session; None for a margin account, whose sales buy at once."""
        if self.rules.account_type != "cash":
            return None
        return self.cash_usd - sum((Decimal(usd) for usd in self.facts.get(UNSETTLED, {}).values()), ZERO)

    def settle_later(self, usd: Decimal, at: datetime) -> None:
        """Proceeds of a sale, which settle with the next session."""
        if self.rules.account_type == "cash":
            unsettled = dict(self.facts.get(UNSETTLED, {}))
            day = at.date().isoformat()
            unsettled[day] = str(Decimal(unsettled.get(day, "0")) + usd)
            self.facts[UNSETTLED] = unsettled

    # selling

    def sellable(self, symbol: str) -> Decimal:
        """Shares held and not yet in a working sell; the two legs of an OCO count once."""
        sells = [ticket for ticket in self.working(symbol) if not ticket.is_buy]
        groups = {ticket.group_id: ticket for ticket in sells}
        return self.holding(symbol).quantity - sum((self.active_qty(ticket) for ticket in groups.values()), ZERO)
