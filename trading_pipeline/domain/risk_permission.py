"""Whether anything may be entered at all: trading state, reconciliation, blocks, restrictions, sources."""

# ruff: noqa: ARG001 - every check takes the same four arguments, whether it reads them or not

from __future__ import annotations

from decimal import Decimal

from trading_pipeline.domain.control import BlockKind
from trading_pipeline.domain.risk_book import Code, Finding, RiskBook
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_measure import denial
from trading_pipeline.domain.setups import Setup, TradePlan


def trading_state(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The account's trading state is ACTIVE.

    Source: the ledger's trading state. Missing: never set is ACTIVE.
    """
    if book.trading_state.allows_entries:
        return None
    state = book.trading_state.value
    return denial(
        Code.TRADING_STATE, state, "ACTIVE", "trading state", f"the account is {state}: nothing may be entered"
    )


def reconciled(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Ledger and venue have agreed: the newest reconciliation found nothing that blocks.

    Source: the ledger's newest reconciliation. Missing: entries are decided, and none leaves.
    """
    if book.is_reconciled and plan.symbol not in book.unreconciled_symbols:
        return None
    where = f" in {plan.symbol}" if book.is_reconciled else ""
    message = f"no clean reconciliation yet{where}: look at the breaks with trading-pipeline reconcile"
    return denial(Code.NOT_RECONCILED, "no", "yes", "clean reconciliation", message)


def blocked(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """No block in force on the symbol or on the whole account.

    Source: the ledger's blocks: reconciliation breaks, external positions, doubt, repeated execution, splits.
    """
    found = [block for block in book.blocks if block.symbol in {"", plan.symbol} and block.cleared_at is None]
    if not found:
        return None
    reasons = "; ".join(f"{block.kind.value} since {block.since.isoformat()}: {block.reason}" for block in found)
    is_latched = any(block.kind is BlockKind.REPEATED_EXECUTION for block in found)
    cure = f". After finding out why: trading-pipeline risk rearm {plan.symbol}" if is_latched else ""
    return denial(Code.BLOCKED, Decimal(len(found)), Decimal(0), "no block in force", reasons + cure)


def restricted(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The symbol is not on the restricted list.

    Source: the setting itself.
    """
    if plan.symbol not in limits.restricted_symbols:
        return None
    message = f"{plan.symbol} is on the restricted list (execution.risk.restricted_symbols)"
    return denial(Code.RESTRICTED, plan.symbol, "not listed", "restricted_symbols", message)


def facts_available(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Every configured source of facts could be read.

    Source: sector map, earnings calendar and bars as configured. Missing: one that is named but unreadable denies.
    """
    unusable = book.facts_of(plan.symbol).unusable
    if not unusable:
        return None
    message = "; ".join(unusable)
    return denial(Code.FACTS_UNAVAILABLE, Decimal(len(unusable)), Decimal(0), "readable sources", message)
