"""The venue as a hosted loop asks it: before each request the loop says that it lives, and hears whether to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import Broker, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition


@dataclass(slots=True)
class HostedBroker:
    """Implements Broker. before: called right before each request; what it raises keeps the request from leaving."""

    broker: Broker
    before: Callable[[], None]
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.broker.name

    @property
    def capabilities(self) -> VenueCapabilities:
        return self.broker.capabilities

    def submit(self, request: AnyRequest) -> str:
        self.before()
        return self.broker.submit(request)

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        self.before()
        self.broker.replace(client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity)

    def cancel(self, client_order_id: str) -> None:
        self.before()
        self.broker.cancel(client_order_id)

    def order(self, client_order_id: str) -> VenueOrder | None:
        self.before()
        return self.broker.order(client_order_id)

    def open_orders(self) -> Sequence[VenueOrder]:
        self.before()
        return self.broker.open_orders()

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        self.before()
        return self.broker.execution_reports(since)

    def positions(self) -> Sequence[VenuePosition]:
        self.before()
        return self.broker.positions()

    def account(self) -> VenueAccount:
        self.before()
        return self.broker.account()

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        self.before()
        return self.broker.cash_activities(since)

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        return self.broker.never_left(client_order_id, created_at)
