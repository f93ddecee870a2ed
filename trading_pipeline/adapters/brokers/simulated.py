"""The Broker port over the simulated venue in the same process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import Clock, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition
from trading_pipeline.venue.engine import CAPABILITIES, SimulatedVenue


class SimulatedBroker:
    """Trades at a SimulatedVenue by the given clock. Its answer is never in doubt: OutcomeUnknown is not raised."""

    name = "simulated"

    def __init__(self, venue: SimulatedVenue, clock: Clock) -> None:
        self._venue, self._clock = venue, clock

    @property
    def capabilities(self) -> VenueCapabilities:
        return CAPABILITIES

    def submit(self, request: AnyRequest) -> str:
        return self._venue.submit(request, self._clock.now())

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        self._venue.replace(client_order_id, self._clock.now(), stop_price, limit_price, quantity)

    def cancel(self, client_order_id: str) -> None:
        self._venue.cancel(client_order_id, self._clock.now())

    def order(self, client_order_id: str) -> VenueOrder | None:
        return self._venue.order(client_order_id)

    def open_orders(self) -> Sequence[VenueOrder]:
        return self._venue.open_orders()

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        return self._venue.execution_reports(since)

    def positions(self) -> Sequence[VenuePosition]:
        return self._venue.positions()

    def account(self) -> VenueAccount:
        return self._venue.account()

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        return self._venue.cash_activities(since)

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:  # noqa: ARG002  the venue keeps our ids
        return False
