"""A venue as every service sees it, and the side of a simulated one that only the market may touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import (
    AnyRequest,
    ExecutionReport,
    OrderType,
    OrdStatus,
    Side,
    TimeInForce,
)


class ClientIdScope(StrEnum):
    """How long a venue knows our client_order_id: whether the same id may be sent again after a lost answer."""

    FOREVER = "forever"
    OPEN_ORDERS = "open_orders"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueCapabilities:
    """What a venue can do. Only with scope FOREVER does it refuse a second order under an id it has seen."""

    client_id_scope: ClientIdScope
    order_types: frozenset[OrderType]
    times_in_force: frozenset[TimeInForce]
    replaces_quantity: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue sees it. `parent_id` is the client_order_id of a leg's entry, where the venue tells it."""

    client_order_id: str
    venue_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    status: OrdStatus
    quantity: Decimal
    cum_qty: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """Shares of one symbol held at the venue and their average price (USD per share)."""

    symbol: str
    quantity: Decimal
    avg_px: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAccount:
    """The venue's own figures (USD). settled_cash_usd: None where the venue does not tell (a margin account)."""

    account: str
    cash_usd: Decimal
    equity_usd: Decimal
    buying_power_usd: Decimal
    settled_cash_usd: Decimal | None = None


class Broker(Protocol):
    """All a service may ask of a venue. Every adapter passes contract_tests/broker.py."""

    name: str

    @property
    def capabilities(self) -> VenueCapabilities:
        """What this venue can do."""

    def submit(self, request: AnyRequest) -> str:
        """Send; idempotent on `client_order_id`. Returns the venue's id of the entry (of an OCO: of its stop).

        Raises OrderRefused (definitive), NotTaken (turned away unread; send again under the id once it may be) or
        OutcomeUnknown (query, never resend blindly).
        """

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        """Change prices or the whole quantity of a working order atomically. Raises OrderRefused or OutcomeUnknown."""

    def cancel(self, client_order_id: str) -> None:
        """Ask to cancel; the outcome is an execution report. Cancelling what has ended does nothing.

        Raises OrderRefused or OutcomeUnknown.
        """

    def order(self, client_order_id: str) -> VenueOrder | None:
        """Look an order up, open or ended; None when the venue does not know it. Raises OutcomeUnknown."""

    def open_orders(self) -> Sequence[VenueOrder]:
        """Every order the venue may still execute, legs included. Raises OutcomeUnknown."""

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        """Reports that occurred at or after `since`, oldest first. Overlap is harmless: exec_id is unique.

        Raises OutcomeUnknown.
        """

    def positions(self) -> Sequence[VenuePosition]:
        """Open positions. Raises OutcomeUnknown."""

    def account(self) -> VenueAccount:
        """Cash, equity and buying power. Raises OutcomeUnknown."""

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        """Dividends, fees, interest, deposits at or after `since`, oldest first. Raises OutcomeUnknown."""

    def never_left(self, client_order_id: str, created_at: datetime) -> bool:
        """True when the venue certainly has not got an order created at that instant: it never left, or was not taken.

        From what it noted itself before the socket; the venue is not asked. False: it may have left.
        """


class NewsBell(Protocol):
    """Rung from any thread when a venue may have something new: a reason to look at once, never what is booked."""

    def ring(self) -> None:
        """Note that there may be news; never waits."""

    def wait(self, seconds: float) -> bool:
        """Wait by the machine's clock, from one thread; True as soon as it was rung since the last wait."""


class SimulatedMarket(Protocol):
    """The side of the simulated venue that only the market (never a strategy) may touch."""

    def on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        """Match working orders against bars that ended at `now`. Bars already seen change nothing."""

    def on_session_open(
        self, times: SessionTimes, splits: Mapping[str, Decimal], dividends: Mapping[str, Decimal]
    ) -> None:
        """Before the open of an ex-date: rescale holdings and resting orders, pay dividends (USD per share held).

        splits: new shares per old one by symbol. Doing it twice changes nothing.
        """

    def on_session_close(self, times: SessionTimes) -> None:
        """Expire the session's DAY orders. Doing it twice changes nothing."""

    def symbols_of_interest(self) -> frozenset[str]:
        """Symbols with working orders or positions."""
