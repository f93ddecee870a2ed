"""What a session earned, as stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import accumulate

from trading_pipeline.domain.money import ZERO, to_ratio
from trading_pipeline.domain.positions import Trade
from trading_pipeline.domain.trades import whole_trades


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
    exactly zero is break-even, neither win nor loss. largest_* and average_r are None without
    trades (average_r: without one that has an R).
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


def summarise_day(
    trades: Sequence[Trade],
    equity_points: Sequence[EquityPoint],
    *,
    account: str,
    session: date,
    opening_equity_usd: Decimal,
    computed_at: datetime,
) -> DailyPerformance:
    """One session's result from its closed trades and its equity points (ascending); pure.

    Rows of other sessions or accounts are not counted. Commission is always subtracted (E-30); a win is a net win
    (E-31); a session without trades or points gives zeros and the opening equity (E-29, E-38). Amendments of trades
    count as money; a trade amended within the session counts once, as it is in the end. average_r is over the trades
    that have an R.
    """
    mine = [trade for trade in trades if (trade.account, trade.session) == (account, session)]
    points = [point.equity_usd for point in equity_points if (point.account, point.session) == (account, session)]
    whole = whole_trades(mine)
    nets = [trade.net_usd for trade in whole]
    multiples = [trade.r_multiple for trade in whole if trade.r_multiple is not None]
    wins, losses = [net for net in nets if net > 0], [net for net in nets if net < 0]
    gross = sum((trade.gross_usd for trade in mine), ZERO)
    commission = sum((trade.commission_usd for trade in mine), ZERO)
    curve = [opening_equity_usd, *points]
    return DailyPerformance(
        account=account,
        session=session,
        trades=len(whole),
        wins=len(wins),
        losses=len(losses),
        break_even=len(nets) - len(wins) - len(losses),
        win_rate=to_ratio(Decimal(len(wins)) / (len(wins) + len(losses))) if wins or losses else None,
        gross_usd=gross,
        commission_usd=commission,
        slippage_usd=sum((trade.slippage_usd for trade in mine), ZERO),
        net_usd=gross - commission,
        average_r=to_ratio(sum(multiples, ZERO) / len(multiples)) if multiples else None,
        largest_win_usd=max(wins, default=None),
        largest_loss_usd=min(losses, default=None),
        opening_equity_usd=opening_equity_usd,
        closing_equity_usd=curve[-1],
        return_fraction=_change(opening_equity_usd, curve[-1]),
        max_drawdown_fraction=max_drawdown_fraction(curve),
        computed_at=computed_at,
    )


def max_drawdown_fraction(equity: Sequence[Decimal]) -> Decimal:
    """Deepest fall from a peak as a fraction of that peak, ≤ 0; zero for an empty or only rising curve."""
    peaks = accumulate(equity, max)
    return min((_change(peak, value) for peak, value in zip(peaks, equity, strict=True)), default=ZERO)


def _change(base: Decimal, value: Decimal) -> Decimal:
    return to_ratio((value - base) / base) if base > 0 else ZERO
