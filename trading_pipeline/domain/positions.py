"""Positions as a fold over fills, and the trades they close into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from trading_pipeline.domain.money import ZERO


class ExitReason(StrEnum):
    """Why a position was closed."""

    STOP = "stop"
    TARGET = "target"
    TRAILING = "trailing"
    TIME = "time"
    MAX_HOLD = "max_hold"
    MOMENTUM = "momentum"
    REVERSAL = "reversal"
    MANUAL = "manual"
    CIRCUIT_BREAKER = "circuit_breaker"
    KILL_SWITCH = "kill_switch"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Shares held of one symbol: long only, so quantity ≥ 0. Money in USD, average price in USD per share.

    `trade_id` names the round trip (the entry's client_order_id of the first fill); `initial_stop` never moves.
    """

    account: str
    symbol: str
    trade_id: str
    quantity: Decimal
    avg_px: Decimal
    opened_at: datetime
    initial_stop: Decimal | None = None
    stop: Decimal | None = None
    target: Decimal | None = None
    bought_qty: Decimal = ZERO
    sold_qty: Decimal = ZERO
    realized_usd: Decimal = ZERO
    commission_usd: Decimal = ZERO
    mark: Decimal | None = None
    marked_at: datetime | None = None
    high_mark: Decimal | None = None
    low_mark: Decimal | None = None

    @property
    def is_open(self) -> bool:
        """True while shares are held."""
        return self.quantity > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One closed round trip, keyed by the trade id and never by symbol. R is P&L over initial risk, net of costs.

    Without a setup (adopted from the venue) setup_id, snapshot_id and score are None and state, grade are empty;
    without a stop initial_stop and r_multiple are None; a target signal's trade has no target.
    """

    trade_id: str
    account: str
    strategy: str
    symbol: str
    session: date
    entry_at: datetime
    exit_at: datetime
    quantity: Decimal
    entry_px: Decimal
    exit_px: Decimal
    initial_stop: Decimal | None
    target: Decimal | None
    gross_usd: Decimal
    commission_usd: Decimal
    slippage_usd: Decimal
    net_usd: Decimal
    return_fraction: Decimal
    r_multiple: Decimal | None
    mae_usd: Decimal
    mfe_usd: Decimal
    exit_reason: ExitReason
    score: float | None
    state: str
    grade: str
    entry_reason: str
    snapshot_id: str | None
    setup_id: str | None
