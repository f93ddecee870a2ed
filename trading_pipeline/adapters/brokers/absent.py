"""A broker that is not there: for processes that decide but may never speak to a venue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NoReturn

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import ClientIdScope, VenueAccount, VenueCapabilities, VenueOrder, VenuePosition


class AbsentBroker:
    """Implements Broker by refusing everything: only the session loop speaks to a venue."""

    name = "absent"

    @property
    def capabilities(self) -> VenueCapabilities:
        """It can do nothing."""
        return VenueCapabilities(
            client_id_scope=ClientIdScope.NONE, order_types=frozenset(), times_in_force=frozenset(),
            replaces_quantity=False,
        )  # fmt: skip

    def submit(self, request: AnyRequest) -> str:
        _refuse(f"send {request}")

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        _refuse(f"replace {client_order_id} ({stop_price}, {limit_price}, {quantity})")

    def cancel(self, client_order_id: str) -> None:
        _refuse(f"cancel {client_order_id}")

    def order(self, client_order_id: str) -> VenueOrder | None:
        _refuse(f"look up {client_order_id}")

    def open_orders(self) -> Sequence[VenueOrder]:
        _refuse("list orders")

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        _refuse(f"read reports since {since}")

    def positions(self) -> Sequence[VenuePosition]:
        _refuse("read positions")

    def account(self) -> VenueAccount:
        _refuse("read the account")

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        _refuse(f"read cash activities since {since}")

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        _refuse(f"know what became of {client_order_id} of {created_at}")


def _refuse(what: str) -> NoReturn:
    raise TradingError(f"cannot {what}: this process decides only. The session loop holds the venue; start it.")
