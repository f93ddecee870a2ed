"""What every risk check is made of: its type, a denial, and the largest size that fits a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.risk_book import Code, Exposure, Finding, RiskBook, Verdict
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.setups import Setup, TradePlan

Check = Callable[[TradePlan, Setup, RiskBook, RiskLimits], Finding | None]


def denial(code: Code, measured: Decimal | str, limit: Decimal | str, limit_name: str, message: str) -> Finding:
    """A finding that denies the entry."""
    return Finding(Verdict.DENIAL, code, measured, limit, limit_name, message)


def warning(code: Code, measured: Decimal | str, limit: Decimal | str, limit_name: str, message: str) -> Finding:
    """A finding that lets the entry pass, and is told."""
    return Finding(Verdict.WARNING, code, measured, limit, limit_name, message)


def fit(
    plan: TradePlan, code: Code, limit_name: str, per_share: Decimal, used: Decimal, limit: Decimal, why: str = ""
) -> Finding | None:
    """Nothing when used + quantity × per_share stays within the limit, else the largest whole size that does.

    used, limit: USD; per_share: USD per share. No whole share fitting is a denial with quantity 0.
    """
    wanted = used + plan.quantity * per_share
    if wanted <= limit:
        return None
    shares = max(ZERO, (limit - used) // per_share) if per_share > 0 else ZERO
    room = f"{max(ZERO, limit - used)} USD of room, {per_share} a share{why}"
    if not shares >= 1:
        return Finding(Verdict.DENIAL, code, wanted, limit, limit_name, f"no share fits: {room}", ZERO)
    message = f"reduced from {plan.quantity} to {shares} shares: {room}"
    return Finding(Verdict.REDUCTION, code, wanted, limit, limit_name, message, shares)


def daily_loss_limits(opening_usd: Decimal, fraction: Decimal, block_share: Decimal) -> tuple[Decimal, Decimal]:
    """The loss (USD) of a day from which only exits leave, and the one at which trading stops (X-10)."""
    limit = opening_usd * fraction
    return limit * block_share, limit


def lost_today(book: RiskBook) -> Decimal:
    """USD lost since the prior close (below zero: gained): open P&L and costs count, cash paid in or out does not."""
    return book.prior_close_equity_usd + book.cash_flows_today_usd - book.equity_usd


def open_risk_of(held: Exposure) -> Decimal:
    """USD lost at the stop: never below zero, so a trailed winner lends nothing (E-8); without a stop, the notional."""
    if held.is_working and held.reserved_risk_usd > 0:
        return held.reserved_risk_usd
    if held.stop is None:
        return held.quantity * held.price
    return max(ZERO, held.average_entry - held.stop) * held.quantity


def value_of(exposures: Iterable[Exposure]) -> Decimal:
    """Market value (USD) of positions and working entries."""
    return sum((held.quantity * held.price for held in exposures), ZERO)
