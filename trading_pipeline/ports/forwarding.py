"""A broker that stands before another one. By itself it changes nothing; what a subclass changes, it overrides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeVar

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.orders import AnyRequest, BracketRequest, ExecutionReport, OcoRequest, OrderRequest
from trading_pipeline.ports.venue import Broker, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition

T = TypeVar("T")
Op = Literal[
    "submit", "replace", "cancel", "order", "open_orders", "execution_reports", "positions", "account",
    "cash_activities",
]  # fmt: skip
"""What a venue can be asked, by the method's name."""
ACTS: frozenset[Op] = frozenset({"submit", "replace", "cancel"})
"""Those that change something at the venue; all others only ask, and may be asked again."""


def order_id(request: AnyRequest) -> str:
    """The id of what is sent: an order's own, a bracket's entry, an OCO's stop."""
    match request:
        case OrderRequest():
            return request.client_order_id
        case BracketRequest():
            return request.entry.client_order_id
        case OcoRequest():
            return request.stop.client_order_id


class ForwardingBroker:
    """Implements Broker over another one. Whatever goes to the venue passes by `through`."""

    broker: Broker
    name: str

    def __init__(self, broker: Broker) -> None:
        self.broker, self.name = broker, broker.name

    def through(self, op: Op, call: Callable[[], T], client_order_id: str = "") -> T:  # noqa: ARG002
        """Make the call. client_order_id: of the order it is about, "" for questions about all of them."""
        return call()

    @property
    def capabilities(self) -> VenueCapabilities:
        return self.broker.capabilities

    def submit(self, request: AnyRequest) -> str:
        return self.through("submit", lambda: self.broker.submit(request), order_id(request))

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        def ask() -> None:
            self.broker.replace(client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity)

        self.through("replace", ask, client_order_id)

    def cancel(self, client_order_id: str) -> None:
        self.through("cancel", lambda: self.broker.cancel(client_order_id), client_order_id)

    def order(self, client_order_id: str) -> VenueOrder | None:
        return self.through("order", lambda: self.broker.order(client_order_id), client_order_id)

    def open_orders(self) -> Sequence[VenueOrder]:
        return self.through("open_orders", self.broker.open_orders)

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        return self.through("execution_reports", lambda: self.broker.execution_reports(since))

    def positions(self) -> Sequence[VenuePosition]:
        return self.through("positions", self.broker.positions)

    def account(self) -> VenueAccount:
        return self.through("account", self.broker.account)

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        return self.through("cash_activities", lambda: self.broker.cash_activities(since))

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        return self.broker.never_left(client_order_id, created_at)
