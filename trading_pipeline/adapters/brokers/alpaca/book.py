"""Alpaca's orders joined to ours: a chain of Alpaca orders, each replacing the one before, is one order of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from trading_pipeline.adapters.brokers.alpaca.wire import WireOrder
from trading_pipeline.adapters.brokers.venue_ids import Family, VenueIds
from trading_pipeline.ports import VenueOrder
from trading_pipeline.venue.checks import orders_of

REPLACEMENT = re.compile(r"(?P<base>.+)~(?P<number>\d+)")
"""Client ids of replacements: the order's own, and which one it is."""


def replacement_id(client_order_id: str, number: int) -> str:
    """The client_order_id of the `number`th replacement: the same request, the same id."""
    return f"{client_order_id}~{number}"


def base_id(client_order_id: str) -> str:
    """The order a client id belongs to, whichever replacement it is."""
    found = REPLACEMENT.fullmatch(client_order_id)
    return found["base"] if found else client_order_id


def replacement_number(client_order_id: str) -> int:
    """Which replacement it is; 0 for what was sent first."""
    found = REPLACEMENT.fullmatch(client_order_id)
    return int(found["number"]) if found else 0


class OrderBook:
    """Every order Alpaca has told of in this process. What has ended is kept as it ended."""

    def __init__(self, ids: VenueIds) -> None:
        self._ids = ids
        self._orders: dict[str, WireOrder] = {}
        self._names: dict[str, str] = {}
        self._chains: dict[str, list[str]] = {}

    def put(self, orders: Iterable[WireOrder]) -> set[str]:
        """Take in how orders stand; returns their venue ids."""
        told = sorted(orders, key=lambda one: (one.submitted_at, one.nanos, one.parent is not None, one.venue_id))
        for order in told:
            known = self._orders.get(order.venue_id)
            if known is None:
                self._orders[order.venue_id] = order
                self._join(order)
            else:
                stands = known if known.has_ended else order
                self._orders[order.venue_id] = replace(stands, parent=order.parent or known.parent)
        for order in told:  # all of them are there now: parents, and what was replaced
            self._rename(order.venue_id)
        venue_ids = {order.venue_id: self._names[order.venue_id] for order in told}
        self._ids.learn_all((name, venue_id) for venue_id, name in venue_ids.items() if self.is_ours(name))
        return set(venue_ids)

    def drop(self, venue_id: str) -> None:
        """Alpaca does not know it any more."""
        self._orders.pop(venue_id, None)
        chain = self._chains.get(self._names.pop(venue_id, ""), [])
        if venue_id in chain:
            chain.remove(venue_id)

    def get(self, venue_id: str) -> WireOrder | None:
        return self._orders.get(venue_id)

    def orders(self) -> Sequence[WireOrder]:
        return tuple(self._orders.values())

    def working(self) -> list[WireOrder]:
        """Orders of which news may come."""
        return [order for order in self._orders.values() if not order.has_ended]

    def name(self, venue_id: str) -> str | None:
        """Our client_order_id of an order; for one that others made, its own."""
        return self._names.get(venue_id)

    def is_ours(self, client_order_id: str) -> bool:
        """True for an order that was registered before it left."""
        return self._ids.family(client_order_id) is not None

    def names(self) -> Iterator[str]:
        """Every client_order_id told of."""
        return (name for name, chain in self._chains.items() if chain)

    def chain(self, client_order_id: str) -> list[WireOrder]:
        """An order and its replacements, oldest first."""
        chain = [self._orders[venue_id] for venue_id in self._chains.get(client_order_id, ())]
        return sorted(chain, key=lambda one: one.key)

    def current(self, client_order_id: str) -> WireOrder | None:
        """The one of the chain that works, or ended last: a replacement counts once its predecessor is replaced."""
        chain = self.chain(client_order_id)
        if not chain:
            return None
        by_id = {one.venue_id: one for one in chain}
        found = next((one for one in chain if one.replaces not in by_id), chain[0])
        for _ in chain:
            following = [one for one in chain if one.replaces == found.venue_id and one.word != "rejected"]
            if found.word != "replaced" or not following:
                break
            found = following[-1]
        return found

    def family_start(self, client_order_id: str) -> datetime:
        """When the first order of its family was submitted, as far as told. The order itself must be known."""
        family = self._ids.family(client_order_id)
        names = [one.client_order_id for one in orders_of(family.request)] if family else [client_order_id]
        return min(order.submitted_at for name in names for order in self.chain(name))

    def missing_links(self) -> list[str]:
        """Venue ids that a chain of ours names and nothing was told of."""
        links = (
            link
            for order in self._orders.values()
            if self.is_ours(self._names[order.venue_id])
            for link in (order.replaces, order.replaced_by)
        )
        return sorted({link for link in links if link is not None and link not in self._orders})

    def has_ended(self, family: Family) -> bool:
        """True when every order of the family was told of, and has ended."""
        members = (self.current(order.client_order_id) for order in orders_of(family.request))
        return all(one is not None and one.has_ended and one.word != "replaced" for one in members)

    def view(self, client_order_id: str) -> VenueOrder | None:
        """The order as a port's client sees it; None when nothing was told of it."""
        order = self.current(client_order_id)
        if order is None:
            return None
        return VenueOrder(
            client_order_id=client_order_id, venue_order_id=order.venue_id, symbol=order.symbol, side=order.side,
            order_type=order.order_type, time_in_force=order.life, status=order.status, quantity=order.quantity,
            cum_qty=order.filled, limit_price=order.limit_price, stop_price=order.stop_price,
            parent_id=self._parent_name(client_order_id, order),
        )  # fmt: skip

    def open_views(self) -> list[VenueOrder]:
        """Every order that may still execute, by submission."""
        currents = [(name, self.current(name)) for name in list(self.names())]
        open_ = [(order.key, name) for name, order in currents if order is not None and not order.has_ended]
        views = (self.view(name) for _, name in sorted(open_))
        return [view for view in views if view is not None]

    # names

    def _join(self, order: WireOrder) -> None:
        name = self._name_of(order)
        self._names[order.venue_id] = name
        self._chains.setdefault(name, []).append(order.venue_id)

    def _rename(self, venue_id: str) -> None:
        """What was met before its parent, or before it was registered, is known as ours from now on."""
        order = self._orders[venue_id]
        known = self.is_ours(self._names[venue_id])
        if not known and self.is_ours(self._name_of(order)):
            self._chains[self._names[venue_id]].remove(venue_id)
            self._join(order)

    def _name_of(self, order: WireOrder) -> str:
        known = self._ids.client_id(order.venue_id)
        if known is not None:
            return known
        base = base_id(order.client_id)
        if self.is_ours(base):
            return base
        before = order.replaces and (self._names.get(order.replaces) or self._ids.client_id(order.replaces))
        if before and self.is_ours(before):
            return before
        return self._leg_name(order) or base

    def _leg_name(self, order: WireOrder) -> str | None:
        """A leg of ours, known by its parent and by being a stop or not."""
        parent = self._names.get(order.parent or "")
        family = self._ids.family(parent) if parent else None
        if family is None:
            return None
        legs = [one for one in orders_of(family.request) if one.client_order_id != parent]
        same = [one for one in legs if (one.stop_price is not None) == order.is_stop and one.side is order.side]
        return same[0].client_order_id if len(same) == 1 else None

    def _parent_name(self, client_order_id: str, order: WireOrder) -> str | None:
        family = self._ids.family(client_order_id)
        if family is not None:
            return None if family.first_id == client_order_id else family.first_id
        return self._names.get(order.parent or "")
