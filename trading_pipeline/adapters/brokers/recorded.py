"""The venue as our own record shows it: for whoever may only look on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trading_pipeline.adapters.brokers.absent import AbsentBroker
from trading_pipeline.domain.errors import LedgerError, OutcomeUnknown
from trading_pipeline.domain.orders import Order
from trading_pipeline.ports import Ledger, VenueOrder, VenuePosition


@dataclass(frozen=True, slots=True)
class RecordedBroker(AbsentBroker):
    """Open orders and positions as on record; it asks nothing of a venue. Raises OutcomeUnknown without a ledger."""

    ledger: Ledger
    book: str
    """The account."""

    def open_orders(self) -> Sequence[VenueOrder]:
        """Orders that left and have not ended."""
        try:
            with self.ledger.read() as tx:
                return [_shown(order) for order in tx.open_orders(self.book) if order.submitted_at or order.parent_id]
        except LedgerError as error:
            raise OutcomeUnknown(f"the record could not be read: {error}") from error

    def positions(self) -> Sequence[VenuePosition]:
        """Positions by our fills."""
        try:
            with self.ledger.read() as tx:
                return [VenuePosition(one.symbol, one.quantity, one.avg_px) for one in tx.positions(self.book)]
        except LedgerError as error:
            raise OutcomeUnknown(f"the record could not be read: {error}") from error


def _shown(order: Order) -> VenueOrder:
    return VenueOrder(
        client_order_id=order.client_order_id, venue_order_id=order.venue_order_id or "", symbol=order.symbol,
        side=order.side, order_type=order.order_type, time_in_force=order.time_in_force, status=order.status,
        quantity=order.quantity, cum_qty=order.cum_qty, limit_price=order.limit_price, stop_price=order.stop_price,
        parent_id=order.parent_id,
    )  # fmt: skip
