"""Comparing our record with the venue's: what may differ, and what a pass found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.orders import ExecutionReport, Fill, Order, OrderType, OrdStatus, Side
from trading_pipeline.domain.positions import Position


class ReconcileRules(BaseModel):
    """How often the record is compared with the venue, and from which difference on it counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_seconds: int = Field(30, ge=5, le=600, description="from one pass to the next")
    confirm_seconds: int = Field(5, ge=1, le=60, description="a break counts when it is still there after this")
    max_age_seconds: int = Field(
        90, ge=10, le=3600, description="no entry when the last pass is older (in replay one base bar is added)"
    )
    cash_fraction: Decimal = Field(
        Decimal("0.001"), gt=0, le=Decimal("0.1"), description="unexplained cash above this part of equity blocks"
    )
    average_price_fraction: Decimal = Field(
        Decimal("0.0001"), ge=0, le=1, description="average prices further apart are shown; they never block"
    )

    @model_validator(mode="after")
    def _passes_come_before_the_last_is_too_old(self) -> Self:
        if self.max_age_seconds < self.every_seconds + self.confirm_seconds:
            raise ValueError(
                f"max_age_seconds ({self.max_age_seconds}) must not be less than every_seconds + confirm_seconds "
                f"({self.every_seconds + self.confirm_seconds}): every entry would wait for the next pass"
            )
        return self


class BreakKind(StrEnum):
    """How the record and the venue may differ."""

    UNKNOWN_ORDER = "unknown_order"
    MISSING_ORDER = "missing_order"
    STATE_DIFFERS = "state_differs"
    MISSING_FILL = "missing_fill"
    EXTRA_FILL = "extra_fill"
    QUANTITY_DIFFERS = "quantity_differs"
    UNKNOWN_POSITION = "unknown_position"
    POSITION_GONE = "position_gone"
    AVERAGE_PRICE_DIFFERS = "average_price_differs"
    CASH_DIFFERS = "cash_differs"
    STOP_MISSING = "stop_missing"
    STOP_QUANTITY_WRONG = "stop_quantity_wrong"

    @property
    def blocks(self) -> bool:
        """False when it is information only: IB's average price includes commission."""
        return self is not BreakKind.AVERAGE_PRICE_DIFFERS


OF_STOPS = frozenset({BreakKind.STOP_MISSING, BreakKind.STOP_QUANTITY_WRONG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One difference: what we have on record against what the venue says. `symbol` is empty for cash.

    subject: the order's id, the symbol of a position or of its stop, or "cash". since: when it was first seen.
    """

    kind: BreakKind
    symbol: str
    subject: str
    ours: str
    theirs: str
    is_information: bool = False
    since: datetime | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """The same break seen again has the same identity, whatever the figures."""
        return (self.kind.value, self.symbol, self.subject)

    @property
    def blocks(self) -> bool:
        """True when no entry may leave in its symbol while it lasts (without a symbol: in the account)."""
        return self.kind.blocks and not self.is_information

    @property
    def words(self) -> str:
        """In one sentence, for alarms and reasons."""
        return (
            f"{self.kind.value.replace('_', ' ')} ({self.subject}): on record {self.ours}, at the venue {self.theirs}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One pass. `breaks` are confirmed (seen in two passes at least 5 s apart); `suspected` were seen once."""

    account: str
    session: date
    at: datetime
    breaks: tuple[Break, ...]
    suspected: tuple[Break, ...]

    @property
    def is_clean(self) -> bool:
        """True when nothing that blocks was found, neither confirmed nor suspected."""
        return not any(one.blocks for one in (*self.breaks, *self.suspected))

    @property
    def differing(self) -> tuple[Break, ...]:
        """What keeps entries back: all that blocks, confirmed first, suspected stops left out.

        A stop seen missing once is on its way (an exit or its guard was at work): holding an entry for it would make a
        process that was killed there decide otherwise than one that was not.
        """
        doubtful = (one for one in self.suspected if one.kind not in OF_STOPS)
        return tuple(one for one in (*self.breaks, *doubtful) if one.blocks)

    def blocking(self, symbol: str) -> tuple[Break, ...]:
        """What keeps entries in the symbol back (empty: in the account as a whole), confirmed breaks first."""
        return tuple(one for one in self.differing if one.symbol in {"", symbol})


class OrderSeen(Protocol):
    """An order as either side sees it."""

    @property
    def client_order_id(self) -> str:
        """Ours; what an order is known by on both sides."""

    @property
    def venue_order_id(self) -> str | None:
        """The venue's; None while it has given none."""

    @property
    def symbol(self) -> str:
        """What is traded."""

    @property
    def side(self) -> Side:
        """Buy or sell."""

    @property
    def order_type(self) -> OrderType:
        """Market, limit, stop and so on."""

    @property
    def status(self) -> OrdStatus:
        """Where the order is in its life."""

    @property
    def quantity(self) -> Decimal:
        """Shares ordered."""

    @property
    def cum_qty(self) -> Decimal:
        """Shares filled so far."""

    @property
    def limit_price(self) -> Decimal | None:
        """USD per share; None without a limit."""

    @property
    def stop_price(self) -> Decimal | None:
        """USD per share; None without a stop."""


class HoldingSeen(Protocol):
    """Shares of one symbol and their average price (USD per share) as either side sees them."""

    @property
    def symbol(self) -> str:
        """What is held."""

    @property
    def quantity(self) -> Decimal:
        """Shares."""

    @property
    def avg_px(self) -> Decimal:
        """Average price, USD per share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OurSide:
    """Our record: the session's orders and all open ones, positions, the session's fills, cash and equity (USD)."""

    orders: tuple[Order, ...]
    positions: tuple[Position, ...]
    fills: tuple[Fill, ...]
    cash_usd: Decimal
    equity_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TheirSide:
    """The venue's: open orders and those asked for by id, positions, executions of the session, cash (USD).

    broker: the name under which our fills of this venue are recorded.
    """

    broker: str
    orders: tuple[OrderSeen, ...]
    positions: tuple[HoldingSeen, ...]
    executions: tuple[ExecutionReport, ...]
    cash_usd: Decimal


def judged(
    found: tuple[Break, ...], before: Reconciliation | None, at: datetime, rules: ReconcileRules
) -> tuple[tuple[Break, ...], tuple[Break, ...]]:
    """(confirmed, suspected): a break is confirmed when passes `confirm_seconds` apart both found it.

    before: the pass made before this one; a break it did not find starts anew. Raises NaiveDatetimeError, and
    TradingError when `before` is later than `at`.
    """
    require_aware(at, "instant of the pass")
    if before is not None and before.at > at:
        raise TradingError(
            f"a pass at {at.isoformat()} cannot follow one at {before.at.isoformat()}: the clock went backwards. "
            "Set the clock right and start again"
        )
    seen = {one.identity: one.since for one in (*before.breaks, *before.suspected)} if before else {}
    dated = [replace(one, since=seen.get(one.identity) or at) for one in found]
    late = at - timedelta(seconds=rules.confirm_seconds)
    confirmed = tuple(one for one in dated if one.since is not None and one.since <= late)
    return confirmed, tuple(one for one in dated if one not in confirmed)
