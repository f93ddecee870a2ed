"""Which shares of a position a stop protects, which are for sale, and what a stop must be changed to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import Leg, Order, OrdStatus, Side

SETTLED = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})
"""The venue works it, and nothing is asked of it: it may be changed or cancelled."""
LIVE = SETTLED | {OrdStatus.PENDING_REPLACE}
"""The venue works it: a stop like that protects."""
IDLE = frozenset({OrdStatus.DONE_FOR_DAY})
"""The venue has it and does not work it (TWS: Inactive). It protects nothing and may come back, so it is cancelled, and
that is confirmed, before another order takes over its shares."""


@dataclass(frozen=True, slots=True)
class Exits:
    """Open sells of one symbol of which at most one sells any share: an OCO's legs, or one order alone."""

    orders: tuple[Order, ...]
    shares: Decimal
    """What it may still sell (the larger leg's)."""
    protected: Decimal
    """What its live stop covers."""

    @property
    def is_settled(self) -> bool:
        """True when every order may be changed or cancelled."""
        return all(order.status in SETTLED | IDLE for order in self.orders)

    @property
    def is_sale(self) -> bool:
        """True for an order that is there to sell now: no protective leg."""
        return any(order.leg is Leg.EXIT for order in self.orders)


@dataclass(frozen=True, slots=True)
class Cover:
    """How a symbol's open sells stand to the shares held."""

    held: Decimal
    exits: tuple[Exits, ...]

    @property
    def on_sale(self) -> Decimal:
        """Shares that some open order may sell; never more than are held, unless something is wrong."""
        return sum((one.shares for one in self.exits), ZERO)

    @property
    def leaving(self) -> Decimal:
        """Shares under an open order that sells now."""
        return sum((one.shares for one in self.exits if one.is_sale), ZERO)

    @property
    def free(self) -> Decimal:
        """Shares no open order may sell."""
        return max(self.held - self.on_sale, ZERO)

    @property
    def bare(self) -> Decimal:
        """Shares under no live stop that are not being sold either."""
        return max(self.held - self.leaving - sum((one.protected for one in self.exits), ZERO), ZERO)


def cover_of(held: Decimal, orders: Iterable[Order]) -> Cover:
    """The cover of one symbol's shares by its open orders (others are passed over), the oldest first.

    A bracket's legs are for what its entry has bought: while that is open they count without what it may still buy.
    """
    open_orders = [order for order in orders if order.is_open]
    waiting = {o.client_order_id: o.leaves_qty for o in open_orders if o.side is Side.BUY}
    groups: dict[str, list[Order]] = {}
    for order in sorted(open_orders, key=lambda order: (order.created_at, order.client_order_id)):
        if order.side is Side.SELL:
            groups.setdefault(order.parent_id or order.client_order_id, []).append(order)
    exits = (_exits(group, waiting.get(key, ZERO)) for key, group in groups.items())
    return Cover(held, tuple(exits))


def _exits(orders: Sequence[Order], waiting: Decimal) -> Exits:
    stops = [order for order in orders if order.leg is Leg.STOP and order.status in LIVE]
    return Exits(
        orders=tuple(orders),
        shares=max(max(order.leaves_qty for order in orders) - waiting, ZERO),
        protected=max(max((order.leaves_qty for order in stops), default=ZERO) - waiting, ZERO),
    )


@dataclass(frozen=True, slots=True)
class Resize:
    """An order group that should sell `shares`; zero: it should end."""

    exits: Exits
    shares: Decimal


def resizes(cover: Cover, wanted: Decimal, *, may_grow: bool) -> tuple[tuple[Resize, ...], Decimal]:
    """How protective orders must change to cover `wanted` shares, and how many still need a stop of their own.

    The oldest keep what they have; what is beyond `wanted` shrinks or ends, and so does a group without a live stop.
    may_grow: a lone group is enlarged rather than joined by a second one.
    """
    left, changes = wanted, []
    protective = [one for one in cover.exits if not one.is_sale]
    for one in protective:
        kept = min(one.shares, left) if one.protected or not one.is_settled else ZERO
        if may_grow and len(protective) == 1 and one.protected:
            kept = left
        left -= kept
        if any(order.leaves_qty != kept for order in one.orders):
            changes.append(Resize(one, kept))
    return tuple(changes), left
