"""Orders in FIX terms: requests to a venue, reports from it, and the order they add up to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from trading_pipeline.domain.money import ZERO


class Side(StrEnum):
    """Direction of an order."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """How the venue may price an order."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"


class TimeInForce(StrEnum):
    """How long an order lives."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    OPG = "OPG"
    CLS = "CLS"


EXTERNAL = "EXTERNAL"
"""Strategy of orders and positions that somebody else made at the venue."""


class Leg(StrEnum):
    """What an order is for, within one trade."""

    ENTRY = "entry"
    STOP = "stop"
    TARGET = "target"
    EXIT = "exit"


class OrdStatus(StrEnum):
    """FIX OrdStatus, plus IN_DOUBT (outcome unknown) and DENIED (our own risk said no)."""

    PENDING_NEW = "PendingNew"
    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    PENDING_CANCEL = "PendingCancel"
    CANCELED = "Canceled"
    PENDING_REPLACE = "PendingReplace"
    REPLACED = "Replaced"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    DONE_FOR_DAY = "DoneForDay"
    IN_DOUBT = "InDoubt"
    DENIED = "Denied"


TERMINAL = frozenset(
    {OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REPLACED, OrdStatus.REJECTED, OrdStatus.EXPIRED, OrdStatus.DENIED}
)


class ExecType(StrEnum):
    """FIX ExecType: what happened. A refused cancel or replace is FIX's OrderCancelReject; InDoubt is our own word."""

    NEW = "New"
    TRADE = "Trade"
    CANCELED = "Canceled"
    REPLACED = "Replaced"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    PENDING_CANCEL = "PendingCancel"
    PENDING_REPLACE = "PendingReplace"
    DONE_FOR_DAY = "DoneForDay"
    TRADE_CANCEL = "TradeCancel"
    TRADE_CORRECT = "TradeCorrect"
    CANCEL_REJECTED = "CancelRejected"
    REPLACE_REJECTED = "ReplaceRejected"
    IN_DOUBT = "InDoubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """One order as sent to a venue. Prices in USD per share, quantity in whole shares.

    trail_amount: how far a trailing stop stays behind the price (USD per share).
    """

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    leg: Leg
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    trail_amount: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BracketRequest:
    """An entry whose stop and target become active, as OCO, with its fills. Without a target: entry and stop."""

    entry: OrderRequest
    stop: OrderRequest
    target: OrderRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OcoRequest:
    """A stop and a target over shares already held: what one sells the other gives up, and one's end ends both."""

    stop: OrderRequest
    target: OrderRequest


AnyRequest = OrderRequest | BracketRequest | OcoRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """What a venue said about one order. `exec_id` is unique per venue; a repeat of it changes nothing.

    `last_qty`, `last_px` and `commission` (USD) are zero unless `exec_type` is Trade, TradeCancel (what is taken back)
    or TradeCorrect (what holds instead); the last two name the trade they are about in `ref_exec_id`. Replaced carries
    the new prices.
    """

    exec_id: str
    client_order_id: str
    venue_order_id: str
    exec_type: ExecType
    occurred_at: datetime
    last_qty: Decimal = ZERO
    last_px: Decimal = ZERO
    commission: Decimal = ZERO
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    quantity: Decimal | None = None
    text: str = ""
    ref_exec_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order as we know it: what was asked and all that was reported since (FIX quantities).

    intent_id: None for an order that was found at the venue and adopted (strategy EXTERNAL). parent_id: the entry of
    a bracket's leg, or the stop an OCO's target belongs to.
    """

    client_order_id: str
    intent_id: str | None
    account: str
    strategy: str
    session: date
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    leg: Leg
    time_in_force: TimeInForce
    created_at: datetime
    updated_at: datetime
    status: OrdStatus = OrdStatus.PENDING_NEW
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    parent_id: str | None = None
    venue_order_id: str | None = None
    expires_at: datetime | None = None
    submitted_at: datetime | None = None
    cum_qty: Decimal = ZERO
    avg_px: Decimal = ZERO
    commission: Decimal = ZERO
    text: str = ""

    @property
    def leaves_qty(self) -> Decimal:
        """Shares still open for execution; zero once the order is terminal."""
        return ZERO if self.status in TERMINAL else self.quantity - self.cum_qty

    @property
    def is_open(self) -> bool:
        """True while the venue may still execute it (an order in doubt counts as open)."""
        return self.status not in TERMINAL

    @property
    def is_working_entry(self) -> bool:
        """Of these a symbol has one: what somebody else entered at the venue is a fact, and never refused."""
        return self.leg is Leg.ENTRY and self.strategy != EXTERNAL and self.is_open


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution: appended, never changed. Price in USD per share, commission in USD."""

    broker: str
    exec_id: str
    client_order_id: str
    account: str
    session: date
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    executed_at: datetime
    is_reversal: bool = False


def client_order_id(
    account: str, session: date, strategy: str, symbol: str, setup_id: str, leg: Leg, attempt: int
) -> str:
    """Same intent, same id, at most 48 characters: a re-run of a job cannot enter twice.

    A pure function of its arguments; characters outside [A-Za-z0-9.-] in the symbol are dropped from the readable
    part only (the digest covers the whole symbol).
    """
    identity = "|".join((account, session.isoformat(), strategy, symbol, setup_id, leg.value, str(attempt)))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    readable = "".join(c for c in symbol if c.isascii() and (c.isalnum() or c in ".-"))[:10]
    return f"tp-{session:%Y%m%d}-{readable}-{leg.value}-{digest}"
