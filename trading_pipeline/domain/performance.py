"""What a session earned, as stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityPoint:
    """Account value at one instant (USD): cash plus positions at their last price."""

    account: str
    session: date
    at: datetime
    cash_usd: Decimal
    positions_usd: Decimal
    equity_usd: Decimal
    open_risk_usd: Decimal
    positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyPerformance:
    """One session's result for one account; also written for a session without trades (zeros, not nulls).

    Money in USD; win_rate is wins / (wins + losses), None when there are neither; a trade with net P&L of
    exactly zero is break-even, neither win nor loss. largest_* and average_r are None without trades.
    """

    account: str
    session: date
    trades: int
    wins: int
    losses: int
    break_even: int
    win_rate: Decimal | None
    gross_usd: Decimal
    commission_usd: Decimal
    slippage_usd: Decimal
    net_usd: Decimal
    average_r: Decimal | None
    largest_win_usd: Decimal | None
    largest_loss_usd: Decimal | None
    opening_equity_usd: Decimal
    closing_equity_usd: Decimal
    return_fraction: Decimal
    max_drawdown_fraction: Decimal
    computed_at: datetime
