"""Every question asked of an entry, one pure function each; none depends on another's answer.

Checks run under a decimal context that does not trap, so that NaN compares false instead of raising: each is written
so that what cannot be compared is not passed, and `usable_numbers` names the field.
"""

# ruff: noqa: ARG001 - every check takes the same four arguments, whether it reads them or not

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

from trading_pipeline.domain.risk_book import Code, Finding, RiskBook
from trading_pipeline.domain.risk_counts import (
    duplicate_intent,
    orders_per_day,
    orders_per_execution,
    orders_per_symbol,
    position_count,
    repeated_execution,
    self_match,
    symbol_busy,
)
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_market import (
    correlation,
    earnings,
    fresh_quote,
    grade_for_regime,
    halted_symbol,
    hostile_regime,
    price_collar,
    regime_multiplier,
    spread,
    stale_symbol,
    trading_window,
    watchlist_age,
)
from trading_pipeline.domain.risk_measure import Check, denial
from trading_pipeline.domain.risk_permission import blocked, facts_available, reconciled, restricted, trading_state
from trading_pipeline.domain.risk_sizes import (
    buying_power_reserve,
    correlated_exposure,
    daily_loss,
    order_notional,
    position_notional,
    position_risk,
    sector_exposure,
    settled_cash,
    total_exposure,
    total_open_risk,
    trade_risk,
    value_at_risk,
)
from trading_pipeline.domain.setups import Setup, TradePlan

_Number = Decimal | float


def _numbers(plan: TradePlan, setup: Setup, book: RiskBook) -> Iterator[tuple[str, _Number, bool]]:
    """Every number a check reads: name, value, whether it must be above zero."""
    for name in ("entry", "stop", "target", "quantity", "risk_per_share"):
        if name != "target" or plan.target is not None:
            yield f"plan.{name}", getattr(plan, name), True
    yield "plan.multiplier", plan.multiplier, False
    yield "setup.score", setup.score, False
    yield "book.equity_usd", book.equity_usd, True
    yield "book.prior_close_equity_usd", book.prior_close_equity_usd, True
    for name in ("cash_flows_today_usd", "buying_power_usd", "regime_score", "regime_multiplier"):
        yield f"book.{name}", getattr(book, name), False
    optional = {"quote": True, "bid": True, "ask": True, "settled_cash_usd": False, "value_at_risk_usd": False}
    for name, above_zero in optional.items():
        if getattr(book, name) is not None:
            yield f"book.{name}", getattr(book, name), above_zero
    for held in book.exposures:
        for name in ("quantity", "price", "average_entry"):
            yield f"exposure {held.symbol}.{name}", getattr(held, name), True
        yield f"exposure {held.symbol}.reserved_risk_usd", held.reserved_risk_usd, False
        if held.stop is not None:
            yield f"exposure {held.symbol}.stop", held.stop, True


def usable_numbers(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Deny NaN, infinity, and zero or less where only more makes sense; names every such field (E-12).

    Source: plan, setup and book.
    """
    bad = [
        f"{name} = {number}"
        for name, number, above_zero in _numbers(plan, setup, book)
        if not _is_finite(number) or (above_zero and number <= 0)
    ]
    if not bad:
        return None
    return denial(Code.NON_FINITE_INPUT, "; ".join(bad), "finite, > 0", "inputs", f"{len(bad)} unusable inputs")


def _is_finite(number: _Number) -> bool:
    return number.is_finite() if isinstance(number, Decimal) else math.isfinite(number)


def stop_below_entry(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A stop at or above the entry protects nothing.

    Source: the plan.
    """
    if plan.stop < plan.entry:
        return None
    return denial(Code.STOP_NOT_BELOW_ENTRY, plan.stop, plan.entry, "entry", "the stop must be below the entry")


def target_above_entry(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A target at or below the entry earns nothing; a target signal has none.

    Source: the plan.
    """
    if plan.target is None or plan.target > plan.entry:
        return None
    return denial(Code.TARGET_NOT_ABOVE_ENTRY, plan.target, plan.entry, "entry", "the target must be above the entry")


def reward_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Reward over risk from the plan's own rounded prices, not from the watchlist's number (E-17).

    Source: the plan. Missing: a target signal has no target and is not measured.
    """
    if plan.target is None:
        return None
    measured = (plan.target - plan.entry) / (plan.entry - plan.stop)
    if measured >= limits.min_reward_risk:
        return None
    message = f"reward {plan.target - plan.entry} for risk {plan.entry - plan.stop} a share"
    return denial(Code.REWARD_RISK_BELOW_MINIMUM, measured, limits.min_reward_risk, "min_reward_risk", message)


CHECKS: tuple[Check, ...] = (
    usable_numbers,
    stop_below_entry,
    target_above_entry,
    reward_risk,
    trading_state,
    reconciled,
    blocked,
    restricted,
    facts_available,
    trading_window,
    watchlist_age,
    hostile_regime,
    grade_for_regime,
    regime_multiplier,
    fresh_quote,
    price_collar,
    spread,
    halted_symbol,
    stale_symbol,
    earnings,
    correlation,
    symbol_busy,
    self_match,
    position_count,
    duplicate_intent,
    orders_per_day,
    orders_per_symbol,
    orders_per_execution,
    repeated_execution,
    daily_loss,
    trade_risk,
    total_open_risk,
    position_risk,
    position_notional,
    order_notional,
    total_exposure,
    sector_exposure,
    correlated_exposure,
    buying_power_reserve,
    settled_cash,
    value_at_risk,
)
"""In the order shown to the trader; a limit is added by adding a row."""
