"""How long a venue takes to answer: measured at every call, for the breaker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import Broker, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition

MOST_KEPT = 10_000
T = TypeVar("T")


class TimedBroker:
    """A broker whose answers are timed; one that never came counts for as long as it was waited for.

    elapsed: seconds since any one instant, which nobody can set.
    """

    def __init__(self, broker: Broker, elapsed: Callable[[], float]) -> None:
        self._broker, self._elapsed, self.name = broker, elapsed, broker.name
        self._answers: deque[float] = deque(maxlen=MOST_KEPT)

    def take_answers(self) -> Sequence[float]:
        """Seconds of every answer since this was last asked, oldest first."""
        taken = tuple(self._answers)
        self._answers.clear()
        return taken

    def _timed(self, call: Callable[[], T]) -> T:
        began = self._elapsed()
        try:
            return call()
        finally:
            self._answers.append(max(self._elapsed() - began, 0.0))

    @property
    def capabilities(self) -> VenueCapabilities:
        return self._broker.capabilities

    def submit(self, request: AnyRequest) -> str:
        return self._timed(lambda: self._broker.submit(request))

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        self._timed(
            lambda: self._broker.replace(
                client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity
            )
        )

    def cancel(self, client_order_id: str) -> None:
        self._timed(lambda: self._broker.cancel(client_order_id))

    def order(self, client_order_id: str) -> VenueOrder | None:
        return self._timed(lambda: self._broker.order(client_order_id))

    def open_orders(self) -> Sequence[VenueOrder]:
        return self._timed(self._broker.open_orders)

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        return self._timed(lambda: self._broker.execution_reports(since))

    def positions(self) -> Sequence[VenuePosition]:
        return self._timed(self._broker.positions)

    def account(self) -> VenueAccount:
        return self._timed(self._broker.account)

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        return self._timed(lambda: self._broker.cash_activities(since))

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        return self._broker.never_left(client_order_id, created_at)
