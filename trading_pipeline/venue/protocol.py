"""What is said at the venue's door: one message and one answer per operation, as JSON. Decimals travel as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.errors import InputError, LeaseLost, OrderRefused, TradingPipelineError
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import VenueAccount, VenueOrder, VenuePosition
from trading_pipeline.venue.checks import orders_of
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.hours import Halt
from trading_pipeline.venue.watch import Gap

FENCE_HEADER = "X-Fence"
STATUS_OF: Mapping[type[TradingPipelineError], int] = {OrderRefused: 422, LeaseLost: 403, InputError: 400}
"""Answers that are definite; whatever else goes wrong is a 5xx, and its outcome unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """An operation without arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """`now`: the client's clock, which is the venue's: accelerated in a replay, real in service."""

    request: AnyRequest
    now: datetime

    @property
    def client_order_id(self) -> str:
        """The first order's."""
        return orders_of(self.request)[0].client_order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    client_order_id: str
    now: datetime
    stop_price: Decimal | None = None
    limit_price: Decimal | None = None
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    client_order_id: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    client_order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    bars: tuple[MarketBar, ...]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    times: SessionTimes
    splits: dict[str, Decimal]
    dividends: dict[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    times: SessionTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the venue saw: gaps in protection by its own time, and how often each fault was played."""

    now: datetime
    gaps: tuple[Gap, ...]
    faults: dict[str, int]


WATCHED = TypeAdapter(Watched)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing the door does. is_fenced: only the leader with the highest token may have it done."""

    message: TypeAdapter[Any]
    answer: TypeAdapter[Any]
    run: Callable[[SimulatedVenue, Any], Any]
    is_fenced: bool = False


def _submit(venue: SimulatedVenue, m: Submit) -> str:
    return venue.submit(m.request, m.now)


def _replace(venue: SimulatedVenue, m: Replace) -> None:
    venue.replace(m.client_order_id, m.now, m.stop_price, m.limit_price, m.quantity)


_NOTHING, _NONE, _SINCE = TypeAdapter(Nothing), TypeAdapter(None), TypeAdapter(Since)

OPERATIONS: Mapping[str, Operation] = {
    "submit": Operation(TypeAdapter(Submit), TypeAdapter(str), _submit, is_fenced=True),
    "replace": Operation(TypeAdapter(Replace), _NONE, _replace, is_fenced=True),
    "cancel": Operation(
        TypeAdapter(Cancel), _NONE, lambda venue, m: venue.cancel(m.client_order_id, m.now), is_fenced=True
    ),
    "order": Operation(
        TypeAdapter(Lookup), TypeAdapter(VenueOrder | None), lambda venue, m: venue.order(m.client_order_id)
    ),
    "open_orders": Operation(_NOTHING, TypeAdapter(tuple[VenueOrder, ...]), lambda venue, _: venue.open_orders()),
    "execution_reports": Operation(
        _SINCE, TypeAdapter(tuple[ExecutionReport, ...]), lambda venue, m: venue.execution_reports(m.since)
    ),
    "positions": Operation(_NOTHING, TypeAdapter(tuple[VenuePosition, ...]), lambda venue, _: venue.positions()),
    "account": Operation(_NOTHING, TypeAdapter(VenueAccount), lambda venue, _: venue.account()),
    "cash_activities": Operation(
        _SINCE, TypeAdapter(tuple[CashActivity, ...]), lambda venue, m: venue.cash_activities(m.since)
    ),
    "on_bars": Operation(TypeAdapter(Bars), _NONE, lambda venue, m: venue.on_bars(m.bars, m.now)),
    "on_session_open": Operation(
        TypeAdapter(Opening), _NONE, lambda venue, m: venue.on_session_open(m.times, m.splits, m.dividends)
    ),
    "on_session_close": Operation(TypeAdapter(Closing), _NONE, lambda venue, m: venue.on_session_close(m.times)),
    "symbols_of_interest": Operation(
        _NOTHING, TypeAdapter(frozenset[str]), lambda venue, _: venue.symbols_of_interest()
    ),
    "halt": Operation(TypeAdapter(Halt), _NONE, lambda venue, m: venue.halt(m)),
}
