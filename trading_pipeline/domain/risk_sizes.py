"""How much: each check leaves the largest whole size that fits, and denies when that is none."""

# ruff: noqa: ARG001 - every check takes the same four arguments, whether it reads them or not

from __future__ import annotations

from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.risk_book import Code, Exposure, Finding, RiskBook, SymbolFacts
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_measure import (
    daily_loss_limits,
    denial,
    fit,
    lost_today,
    open_risk_of,
    value_of,
)
from trading_pipeline.domain.setups import Setup, TradePlan

UNKNOWN_SECTOR = "unknown"


def daily_loss(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Entries stop before the daily loss limit is reached; open P&L and costs count, cash flows do not (X-10).

    Source: the ledger's opening equity, fills, cash activities and last prices.
    """
    loss = lost_today(book)
    allowed, _ = daily_loss_limits(
        book.prior_close_equity_usd, limits.daily_loss_fraction, limits.daily_loss_block_share
    )
    if loss < allowed:
        return None
    message = f"{loss} USD lost since the prior close: entries are blocked until the next session"
    return denial(Code.DAILY_LOSS, loss, allowed, "daily_loss_fraction", message)


def trade_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Loss at the stop of this trade; the regime multiplier cannot lift it (E-10).

    Source: the plan.
    """
    limit = book.equity_usd * limits.max_trade_risk_fraction
    return fit(plan, Code.TRADE_RISK, "max_trade_risk_fraction", plan.entry - plan.stop, ZERO, limit)


def total_open_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Loss if every stop is hit, with what working entries have reserved (E-9, E-14).

    Source: the ledger's positions and orders. Missing: a position without a stop risks its full value.
    """
    used = sum((open_risk_of(held) for held in book.exposures), ZERO)
    limit = book.equity_usd * limits.max_open_risk_fraction
    return fit(plan, Code.TOTAL_OPEN_RISK, "max_open_risk_fraction", plan.entry - plan.stop, used, limit)


def position_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Loss at the stop of the whole position in the symbol.

    Source: the ledger's positions and orders. Missing: a position without a stop risks its full value.
    """
    used = sum((open_risk_of(held) for held in book.exposures if held.symbol == plan.symbol), ZERO)
    limit = book.equity_usd * limits.max_position_risk_fraction
    return fit(plan, Code.POSITION_RISK, "max_position_risk_fraction", plan.entry - plan.stop, used, limit)


def position_notional(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Value of the whole position in the symbol (E-16).

    Source: the ledger's positions and orders at their last good prices.
    """
    used = value_of(held for held in book.exposures if held.symbol == plan.symbol)
    limit = book.equity_usd * limits.max_position_notional_fraction
    return fit(plan, Code.POSITION_NOTIONAL, "max_position_notional_fraction", plan.entry, used, limit)


def order_notional(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Value of this one order.

    Source: the plan.
    """
    limit = limits.max_order_notional_usd
    return fit(plan, Code.ORDER_NOTIONAL, "max_order_notional_usd", plan.entry, ZERO, limit)


def total_exposure(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Value of all positions and working entries (X-6).

    Source: the ledger's positions and orders at their last good prices.
    """
    limit = book.equity_usd * limits.max_total_exposure_fraction
    return fit(plan, Code.TOTAL_EXPOSURE, "max_total_exposure_fraction", plan.entry, value_of(book.exposures), limit)


def buying_power_reserve(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Buying power, which working entries have already taken from, stays above the reserve (E-16, X-5).

    Source: the ledger's cash and open orders.
    """
    limit = book.buying_power_usd - book.equity_usd * limits.buying_power_reserve_fraction
    return fit(plan, Code.BUYING_POWER_RESERVE, "buying_power_reserve_fraction", plan.entry, ZERO, limit)


def sector_of(facts: SymbolFacts) -> str:
    """The sector under which a symbol's exposure counts: all of unknown sector share one."""
    return facts.sector or UNKNOWN_SECTOR


def sector_exposure(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Value of all positions and working entries in the entry's sector (E-52).

    Source: the sector map. Missing: symbols of unknown sector count as one sector of their own.
    """
    if limits.max_sector_exposure_fraction is None:
        return None
    facts = book.facts_of(plan.symbol)
    sector = sector_of(facts)
    used = value_of(held for held in book.exposures if sector_of(book.facts_of(held.symbol)) == sector)
    limit = book.equity_usd * limits.max_sector_exposure_fraction
    why = f"; sector {sector}, {facts.sector_source}"
    return fit(plan, Code.SECTOR_EXPOSURE, "max_sector_exposure_fraction", plan.entry, used, limit, why)


def correlated_exposure(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Value of the holdings that move with the entry, and of the entry itself.

    Source: daily returns of stored bars before the session. Missing: a holding whose ρ is unknown counts as correlated.
    """
    if limits.max_correlated_exposure_fraction is None:
        return None
    facts = book.facts_of(plan.symbol)
    moving = [held for held in book.exposures if is_correlated(held, facts, limits.correlated_from)]
    if not moving:
        return None
    names = ", ".join(dict.fromkeys(held.symbol for held in moving))
    limit = book.equity_usd * limits.max_correlated_exposure_fraction
    why = f"; correlated with {names}, {facts.correlation_source}"
    name = "max_correlated_exposure_fraction"
    return fit(plan, Code.CORRELATED_EXPOSURE, name, plan.entry, value_of(moving), limit, why)


def is_correlated(held: Exposure, facts: SymbolFacts, correlated_from: float) -> bool:
    """True for the symbol itself, from the configured ρ on, and when ρ is unknown or no number."""
    rho = facts.correlations.get(held.symbol)
    return held.symbol == facts.symbol or rho is None or not rho < correlated_from


def settled_cash(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A cash account buys with settled cash only: today's sales settle on the next session (X-34).

    Source: the ledger's cash and fills. Missing: in a cash account the entry is denied.
    """
    if limits.account_type != "cash":
        return None
    if book.settled_cash_usd is None:
        return denial(
            Code.SETTLED_CASH, "unknown", plan.entry, "account_type", "settled cash of the account is unknown"
        )
    return fit(plan, Code.SETTLED_CASH, "account_type", plan.entry, ZERO, book.settled_cash_usd)


def value_at_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Historical 1-day Value at Risk (95 %) of the book with the entry filled; off unless a limit is set.

    Source: daily returns of 250 sessions before the session. Missing: the entry is denied.
    """
    if limits.max_value_at_risk_fraction is None:
        return None
    limit = book.equity_usd * limits.max_value_at_risk_fraction
    measured = book.value_at_risk_usd
    if measured is not None and measured <= limit:
        return None
    message = f"1-day 95 % VaR with {plan.quantity} {plan.symbol}: {'unknown' if measured is None else measured} USD"
    shown: Decimal | str = "unknown" if measured is None else measured
    return denial(Code.VALUE_AT_RISK, shown, limit, "max_value_at_risk_fraction", message)
