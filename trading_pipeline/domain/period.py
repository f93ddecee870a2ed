"""What several sessions earned together: a week, a month, or any row of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.money import ZERO, to_ratio
from trading_pipeline.domain.performance import DailyPerformance, max_drawdown_fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodPerformance:
    """The result of an account's sessions from `first` to `last` (USD; win_rate as of a session).

    return_fraction: from the opening equity of the first to the closing equity of the last. max_drawdown_fraction (at
    most 0): over the sessions' closes, or deeper within one of them. average_session_usd: of the net results.
    """

    account: str
    first: date
    last: date
    days: tuple[DailyPerformance, ...]
    trades: int
    wins: int
    losses: int
    break_even: int
    win_rate: Decimal | None
    gross_usd: Decimal
    commission_usd: Decimal
    slippage_usd: Decimal
    net_usd: Decimal
    average_session_usd: Decimal
    opening_equity_usd: Decimal
    closing_equity_usd: Decimal
    return_fraction: Decimal
    max_drawdown_fraction: Decimal

    @property
    def sessions(self) -> int:
        """How many sessions there are in it."""
        return len(self.days)


def summarise_period(days: Sequence[DailyPerformance]) -> PeriodPerformance:
    """Sessions of one account (ascending, each once) as one result; pure. Raises InputError when there is none."""
    if not days:
        raise InputError("a period without a session on record has no result")
    wins, losses = sum(day.wins for day in days), sum(day.losses for day in days)
    opening, closing = days[0].opening_equity_usd, days[-1].closing_equity_usd
    net = sum((day.net_usd for day in days), ZERO)
    over_closes = max_drawdown_fraction([opening, *(day.closing_equity_usd for day in days)])
    return PeriodPerformance(
        account=days[0].account, first=days[0].session, last=days[-1].session, days=tuple(days),
        trades=sum(day.trades for day in days), wins=wins, losses=losses,
        break_even=sum(day.break_even for day in days),
        win_rate=to_ratio(Decimal(wins) / (wins + losses)) if wins or losses else None,
        gross_usd=sum((day.gross_usd for day in days), ZERO),
        commission_usd=sum((day.commission_usd for day in days), ZERO),
        slippage_usd=sum((day.slippage_usd for day in days), ZERO), net_usd=net,
        average_session_usd=net / len(days), opening_equity_usd=opening, closing_equity_usd=closing,
        return_fraction=to_ratio((closing - opening) / opening) if opening > 0 else ZERO,
        max_drawdown_fraction=min(over_closes, *(day.max_drawdown_fraction for day in days)),
    )  # fmt: skip
