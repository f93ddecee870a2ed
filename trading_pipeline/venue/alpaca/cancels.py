"""Cancels at Alpaca's door: taken at once, and carried out at once or, by the house's rules, after the next bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trading_pipeline.venue.alpaca.context import DoorContext
from trading_pipeline.venue.alpaca.model import PENDING_CANCEL, AlpacaOrder, News
from trading_pipeline.venue.alpaca.orders import PENDING_CANCELS, Orders


class Cancels:
    """What was asked to end. A cancel taken is remembered by the engine until it is carried out."""

    def __init__(self, context: DoorContext, orders: Orders, tell: Callable[[Sequence[News]], None]) -> None:
        self._hub, self._orders, self._tell = context.hub, orders, tell
        self._waits = context.rules.cancels_wait_for_bars

    def ask(self, order: AlpacaOrder) -> None:
        """Take a cancel; one already waiting goes on waiting."""
        if not self._waits:
            self._cancel(order.engine_id)
        elif order.status != PENDING_CANCEL:
            self._hub.venue.note({PENDING_CANCELS: [*self._orders.pending_cancels(), order.engine_id]})
            self._tell(self._orders.pend(order.engine_id, self._hub.time.now()))

    def carry_out(self) -> None:
        """Bars have come: what they did not fill ends now."""
        waiting = self._orders.pending_cancels()
        if not waiting:
            return
        for engine_id in waiting:
            self._cancel(engine_id)
        self._hub.venue.note({PENDING_CANCELS: []})

    def _cancel(self, engine_id: str) -> None:
        self._hub.call(lambda venue, now: venue.cancel(engine_id, now))
