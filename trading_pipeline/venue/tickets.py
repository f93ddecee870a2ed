"""An order as the simulated venue keeps it, with the prices it had at each time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from trading_pipeline.domain.money import ZERO, tick_size
from trading_pipeline.domain.orders import (
    TERMINAL,
    AnyRequest,
    BracketRequest,
    OcoRequest,
    OrderRequest,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading_pipeline.ports import VenueOrder


@dataclass(frozen=True, slots=True)
class Terms:
    """Prices (USD per share) an order carries from an instant on; a bar meets the terms it found at its start."""

    from_at: datetime
    limit_price: Decimal | None
    stop_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One order at the venue.

    sent: what was submitted under this id (a bracket for its entry, an OCO for both), kept to recognise a repeat.
    quantity: whole shares; an exit's shrinks as its sibling fills or its entry ends early.
    is_detached: a split changed the units of a leg, so that its entry's fills measure it no more.
    trail_amount: a trailing stop's distance (USD per share). charged_usd, raw_usd, value_usd: commission reported so
    far, the same before minimum and cap, and the value of all fills.
    whole: shares the exits of an OCO, or of a bracket whose legs were cut, are for together; None: what the entry buys.
    reserve_px: what a working buy reserves per share (USD). reports: how many were sent for it so far.
    """

    request: OrderRequest
    sent: AnyRequest
    venue_order_id: str
    sequence: int
    status: OrdStatus
    quantity: Decimal
    terms: tuple[Terms, ...]
    reserve_px: Decimal = ZERO
    cum_qty: Decimal = ZERO
    triggered: bool = False
    reports: int = 0
    entry_id: str | None = None
    whole: Decimal | None = None
    is_detached: bool = False
    trail_amount: Decimal | None = None
    charged_usd: Decimal = ZERO
    raw_usd: Decimal = ZERO
    value_usd: Decimal = ZERO
    text: str = ""

    @property
    def client_order_id(self) -> str:
        return self.request.client_order_id

    @property
    def symbol(self) -> str:
        return self.request.symbol

    @property
    def is_buy(self) -> bool:
        return self.request.side is Side.BUY

    @property
    def is_stop(self) -> bool:
        return self.request.order_type in {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP}

    @property
    def takes_next_price(self) -> bool:
        return self.request.order_type is OrderType.MARKET and self.life not in {TimeInForce.OPG, TimeInForce.CLS}

    @property
    def life(self) -> TimeInForce:
        return self.request.time_in_force

    @property
    def was_on_book(self) -> bool:
        """False for what was refused at once: nothing was ever reported about it."""
        return self.status is not OrdStatus.REJECTED or self.reports > 0

    @property
    def is_open(self) -> bool:
        return self.status not in TERMINAL

    @property
    def leaves_qty(self) -> Decimal:
        return self.quantity - self.cum_qty if self.is_open else ZERO

    @property
    def leg_ids(self) -> tuple[str, ...]:
        """Stop and target of a bracket's entry; empty for any other order."""
        if not isinstance(self.sent, BracketRequest):
            return ()
        return tuple(leg.client_order_id for leg in (self.sent.stop, self.sent.target) if leg is not None)

    @property
    def oco_ids(self) -> tuple[str, ...]:
        """Stop and target of the OCO it was sent in; empty for any other order."""
        if not isinstance(self.sent, OcoRequest):
            return ()
        return (self.sent.stop.client_order_id, self.sent.target.client_order_id)

    @property
    def group_id(self) -> str:
        """The same for orders that execute the same shares."""
        return self.entry_id or next(iter(self.oco_ids), self.client_order_id)

    def terms_at(self, start_at: datetime) -> Terms | None:
        """The prices in force at a bar's start; None when the order came later."""
        return next((terms for terms in reversed(self.terms) if terms.from_at <= start_at), None)

    def with_terms(self, terms: Terms) -> Ticket:
        """Prices changed from `terms.from_at` on; a bar that began earlier still meets the old ones."""
        return replace(self, terms=(*(old for old in self.terms if old.from_at < terms.from_at), terms))

    def trailed(self, close: Decimal, at: datetime) -> Ticket:
        """A trailing stop after a bar's close: moved with the price, never against it, for bars that start at `at`."""
        if self.trail_amount is None or self.triggered:
            return self
        before = self.terms[-1].stop_price
        stop = trailing_stop(self.request.side, close, self.trail_amount)
        if stop is None or (before is not None and (stop >= before if self.is_buy else stop <= before)):
            return self
        kept = (self.terms[0], *self.terms[-1:]) if len(self.terms) > 1 else self.terms
        return replace(self, terms=(*(old for old in kept if old.from_at < at), Terms(at, None, stop)))

    def view(self) -> VenueOrder:
        """What a client may see of it."""
        return VenueOrder(
            client_order_id=self.client_order_id,
            venue_order_id=self.venue_order_id,
            symbol=self.symbol,
            side=self.request.side,
            order_type=self.request.order_type,
            time_in_force=self.request.time_in_force,
            status=self.status,
            quantity=self.quantity,
            cum_qty=self.cum_qty,
            limit_price=self.terms[-1].limit_price,
            stop_price=self.terms[-1].stop_price,
            parent_id=None if self.group_id == self.client_order_id else self.group_id,
        )


def trailing_stop(side: Side, price: Decimal, trail_amount: Decimal) -> Decimal | None:
    """The stop `trail_amount` behind a price, on the tick, away from the price; None when that is no price."""
    level = price - trail_amount if side is Side.SELL else price + trail_amount
    return on_tick(level, ROUND_FLOOR if side is Side.SELL else ROUND_CEILING) if level > 0 else None


def on_tick(level: Decimal, rounding: str) -> Decimal:
    """A price on its tick, and at least one."""
    tick = tick_size(level)
    return max((level / tick).quantize(Decimal(1), rounding) * tick, tick)
