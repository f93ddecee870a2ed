"""An order, a fill and a piece of news as Alpaca has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import OrderRequest
from trading_pipeline.venue.alpaca.wire import Nanos

ACCEPTED, PENDING_NEW, NEW, HELD, PARTLY = "accepted", "pending_new", "new", "held", "partially_filled"
PENDING_CANCEL, FILLED = "pending_cancel", "filled"
CANCELED, EXPIRED, REJECTED, REPLACED = "canceled", "expired", "rejected", "replaced"
ENDED = frozenset({FILLED, CANCELED, EXPIRED, REJECTED, REPLACED})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaOrder:
    """One order under one Alpaca id. Prices in USD per share, whole shares; ended_at: when it took its last status.

    engine_id: the engine's id of the chain. parent_id: the engine's id of the order whose leg it is.
    """

    id: str
    client_order_id: str
    engine_id: str
    generation: int
    request: OrderRequest
    order_class: str
    parent_id: str | None
    status: str
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    created_at: Nanos
    updated_at: Nanos
    expires_at: datetime
    filled: Decimal = ZERO
    value_usd: Decimal = ZERO
    ended_at: Nanos | None = None
    replaces: str | None = None
    replaced_by: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status not in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One message of the trade_updates stream. execution: of a fill, besides the order."""

    event: str
    order: AlpacaOrder
    at: Nanos
    execution: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill, with its order as it stood afterwards. commission: USD."""

    exec_id: str
    order: AlpacaOrder
    at: Nanos
    quantity: Decimal
    price: Decimal
    commission: Decimal
