"""What the simulated venue remembers, and the changes one call makes to it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.venue.tickets import Ticket


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares of one symbol and what they cost in all (USD, without commission)."""

    symbol: str
    quantity: Decimal
    cost_usd: Decimal

    @property
    def avg_px(self) -> Decimal:
        """Average cost in USD per share; zero when nothing is held."""
        return self.cost_usd / self.quantity if self.quantity else ZERO

    def bought(self, quantity: Decimal, price: Decimal) -> Holding:
        return replace(self, quantity=self.quantity + quantity, cost_usd=self.cost_usd + quantity * price)

    def sold(self, quantity: Decimal) -> Holding:
        """Sales take cost out at the average; the last share takes what is left of it."""
        left = self.quantity - quantity
        assert left >= 0, f"{self.symbol}: {quantity} sold of {self.quantity} held"
        return replace(self, quantity=left, cost_usd=self.cost_usd - self.avg_px * quantity if left else ZERO)


@dataclass(frozen=True, slots=True)
class Mark:
    """Last price seen (USD per share) and the end of the bar it came from: also the cursor of bars seen."""

    symbol: str
    price: Decimal
    end_at: datetime


@dataclass(slots=True)
class VenueState:
    """All of it, in memory. `working` holds the ids of open tickets; `version` counts the calls that changed it."""

    cash_usd: Decimal
    version: int = 0
    sequence: int = 0
    tickets: dict[str, Ticket] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    reports: list[ExecutionReport] = field(default_factory=list)
    working: set[str] = field(default_factory=set)
    activities: list[CashActivity] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """Small things remembered by name, as JSON: hours, halts, splits done, unsettled sales, shares of a month."""

    def apply(self, changes: Changes) -> None:
        """Take over the changes of one call, after they have been saved."""
        self.cash_usd, self.sequence = changes.cash_usd, changes.sequence
        self.version += 1
        self.tickets.update(changes.tickets.maps[0])
        self.holdings.update(changes.holdings.maps[0])
        self.marks.update(changes.marks.maps[0])
        self.facts.update(changes.facts.maps[0])
        self.reports.extend(changes.reports)
        self.activities.extend(changes.activities)
        for ticket in changes.tickets.maps[0].values():
            (self.working.add if ticket.is_open else self.working.discard)(ticket.client_order_id)


class Changes:
    """The state as one call sees it; what it writes stays here until the call is saved."""

    def __init__(self, state: VenueState) -> None:
        self.state = state
        self.cash_usd, self.sequence = state.cash_usd, state.sequence
        self.tickets = ChainMap[str, Ticket]({}, state.tickets)
        self.holdings = ChainMap[str, Holding]({}, state.holdings)
        self.marks = ChainMap[str, Mark]({}, state.marks)
        self.facts = ChainMap[str, Any]({}, state.facts)
        self.reports: list[ExecutionReport] = []
        self.activities: list[CashActivity] = []

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to save."""
        written = (self.tickets, self.holdings, self.marks, self.facts)
        return not (self.reports or self.activities or any(part.maps[0] for part in written))

    def working(self, symbol: str | None = None) -> Iterator[Ticket]:
        """Open tickets in order of acceptance, of one symbol or all."""
        ids = self.state.working | self.tickets.maps[0].keys()
        found = (self.tickets[client_order_id] for client_order_id in ids)
        chosen = (ticket for ticket in found if ticket.is_open and symbol in {None, ticket.symbol})
        return iter(sorted(chosen, key=lambda ticket: ticket.sequence))

    def interests(self) -> frozenset[str]:
        """Symbols with working orders or positions."""
        held = (holding.symbol for holding in self.holdings.values() if holding.quantity)
        return frozenset((*held, *(ticket.symbol for ticket in self.working())))

    def holding(self, symbol: str) -> Holding:
        """What is held of a symbol; an empty holding when nothing."""
        return self.holdings.get(symbol) or Holding(symbol, ZERO, ZERO)

    def last_reported_at(self) -> datetime | None:
        """When the newest report occurred."""
        newest = self.reports or self.state.reports
        return newest[-1].occurred_at if newest else None
