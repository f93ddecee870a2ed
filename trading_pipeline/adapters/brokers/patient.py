"""A broker whose silence does not use up an accelerated clock: it is asked again before the clock moves on.

A day of accelerated time passes in seconds, and a connection takes as long to come back as on a real day. Only what may
be asked any number of times is asked again; an order, a change or a cancel never is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import Broker, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition

T = TypeVar("T")
PAUSE_SECONDS = 0.05


class PatientBroker:
    """Implements Broker. seconds: how long, by the machine's clock, one question is repeated."""

    def __init__(self, broker: Broker, seconds: float) -> None:
        self._broker, self._seconds = broker, seconds
        self.name = broker.name

    @property
    def capabilities(self) -> VenueCapabilities:
        return self._broker.capabilities

    def submit(self, request: AnyRequest) -> str:
        return self._broker.submit(request)

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        self._broker.replace(client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity)

    def cancel(self, client_order_id: str) -> None:
        self._broker.cancel(client_order_id)

    def order(self, client_order_id: str) -> VenueOrder | None:
        return self._ask(lambda: self._broker.order(client_order_id))

    def open_orders(self) -> Sequence[VenueOrder]:
        return self._ask(self._broker.open_orders)

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        return self._ask(lambda: self._broker.execution_reports(since))

    def positions(self) -> Sequence[VenuePosition]:
        return self._ask(self._broker.positions)

    def account(self) -> VenueAccount:
        return self._ask(self._broker.account)

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        return self._ask(lambda: self._broker.cash_activities(since))

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        return self._broker.never_left(client_order_id, created_at)

    def _ask(self, question: Callable[[], T]) -> T:
        until = time.monotonic() + self._seconds
        while True:
            try:
                return question()
            except OutcomeUnknown:
                if time.monotonic() >= until:
                    raise
            time.sleep(PAUSE_SECONDS)
