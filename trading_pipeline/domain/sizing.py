"""How many shares a budget buys; whole shares, never rounded up."""

from __future__ import annotations

from decimal import Decimal

from trading_pipeline.domain.errors import NotAPriceError
from trading_pipeline.domain.money import ZERO


def shares_for_risk(budget_usd: Decimal, risk_per_share: Decimal) -> Decimal:
    """Largest whole number of shares whose risk stays within the budget; zero when there is no budget.

    risk_per_share: USD from entry to stop. Raises NotAPriceError when either is NaN or infinite, or the risk is ≤ 0.
    """
    if not risk_per_share.is_finite() or risk_per_share <= 0:
        raise NotAPriceError(risk_per_share, "risk per share")
    if not budget_usd.is_finite():
        raise NotAPriceError(budget_usd, "budget")
    return max(ZERO, budget_usd // risk_per_share)


def shares_for_notional(cap_usd: Decimal, price: Decimal) -> Decimal:
    """Largest whole number of shares whose value at `price` (USD per share) stays within the cap.

    Raises NotAPriceError when either is NaN or infinite, or the price is ≤ 0.
    """
    if not price.is_finite() or price <= 0:
        raise NotAPriceError(price)
    return shares_for_risk(cap_usd, price)
