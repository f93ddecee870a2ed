"""Cancels at the TWS door: taken at once, and carried out at once or, by the house's rules, after the next bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from trading_pipeline.domain.market import MarketBar
from trading_pipeline.venue.hub import Hub
from trading_pipeline.venue.tws.orders import WireOrder, WireOrders

PENDING = "tws:cancelling"


class Cancels:
    """What was asked to end. A cancel taken is remembered by the engine until it is carried out."""

    def __init__(self, hub: Hub, orders: WireOrders, *, wait: bool) -> None:
        self._hub, self._orders, self._wait = hub, orders, wait

    def is_pending(self, order: WireOrder) -> bool:
        """True for an order that is to end and has not."""
        return order.perm_id in self._pending() and self._orders.is_open(order)

    def ask(self, order: WireOrder) -> None:
        """Take a cancel; one already waiting goes on waiting."""
        if not self._wait:
            self._carry_out(order)
        elif not self.is_pending(order):
            self._hub.call(lambda venue, _: venue.note({PENDING: [*self._pending(), order.perm_id]}))

    def on_bars(self, _: Sequence[MarketBar], __: datetime) -> None:
        """Bars have come: what they did not fill ends now."""
        pending = self._pending()
        for order in [one for one in self._orders if one.perm_id in pending] if pending else ():
            self._carry_out(order)
        if pending:
            self._hub.call(lambda venue, _: venue.note({PENDING: []}))

    def _carry_out(self, order: WireOrder) -> None:
        self._hub.call(lambda venue, now: venue.cancel(order.engine_id, now))

    def _pending(self) -> Sequence[int]:
        return list(self._orders.book.facts.get(PENDING, []))
