"""A broker that is not there: for processes that decide but may never speak to a venue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NoReturn

from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.orders import BracketRequest, ExecutionReport, OrderRequest
from trading_pipeline.ports import VenueAccount, VenueOrder, VenuePosition


class AbsentBroker:
    """Implements Broker by refusing everything: only the session loop speaks to a venue."""

    name = "absent"

    def submit(self, request: OrderRequest | BracketRequest) -> str:
        _refuse(f"send {request}")

    def replace(
        self, client_order_id: str, *, stop_price: Decimal | None = None, limit_price: Decimal | None = None
    ) -> None:
        _refuse(f"replace {client_order_id} ({stop_price}, {limit_price})")

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


def _refuse(what: str) -> NoReturn:
    raise TradingError(f"cannot {what}: this process decides only. The session loop holds the venue; start it.")
