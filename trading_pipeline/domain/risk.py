"""Risk decisions on entries: every check runs, every reason is kept with its numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import ROUND_DOWN, Context, Decimal, localcontext

from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.risk_book import (
    Code,
    Exposure,
    Finding,
    Mode,
    RiskBook,
    RiskDecision,
    SymbolFacts,
    Verdict,
)
from trading_pipeline.domain.risk_checks import CHECKS
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_measure import Check, open_risk_of
from trading_pipeline.domain.setups import Setup, TradePlan

__all__ = [
    "CHECKS",
    "Check",
    "Code",
    "Exposure",
    "Finding",
    "Mode",
    "RiskBook",
    "RiskDecision",
    "RiskLimits",
    "SymbolFacts",
    "Verdict",
    "decide",
    "decision_id",
    "each_check",
    "open_risk_of",
]

_NO_TRAPS = Context(traps=[])  # NaN compares false instead of raising, so that every check can speak


def decision_id(plan_id: str) -> str:
    """Same plan, same id: a plan is decided once."""
    return f"decision-{hashlib.sha256(plan_id.encode()).hexdigest()[:24]}"


def decide(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> RiskDecision:
    """Run every check on the plan; approved only when nothing denies.

    Quantity in whole shares: the plan's, or the smallest a reduction left, never more; zero when denied.
    Total: any input gets a decision. Numbers that cannot be used are denied by name. Pure.
    """
    with localcontext(_NO_TRAPS):
        findings = [finding for check in CHECKS if (finding := check(plan, setup, book, limits)) is not None]
        quantity, bound_by = _reduced(plan, findings)
        if not any(finding.quantity == 0 for finding in findings):  # no room is that limit's denial (E-9)
            findings.extend(_too_small(plan, quantity, book, limits))
        denials = _denials(findings)
        approved = not denials
        return RiskDecision(
            decision_id=decision_id(plan.plan_id),
            plan_id=plan.plan_id,
            approved=approved,
            requested_quantity=plan.quantity,
            quantity=quantity if approved else ZERO,
            reserved_risk_usd=quantity * (plan.entry - plan.stop) if approved else ZERO,
            findings=tuple(findings),
            bound_by=bound_by if approved else denials[0].limit_name,
            decided_at=book.now,
        )


def each_check(
    plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits
) -> tuple[tuple[str, Finding | None], ...]:
    """What every check says by itself, by name, in the order shown to people; None is a pass. As `decide` runs them."""
    with localcontext(_NO_TRAPS):
        return tuple((check.__name__, check(plan, setup, book, limits)) for check in CHECKS)


def _denials(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict is Verdict.DENIAL]


def _reduced(plan: TradePlan, findings: Sequence[Finding]) -> tuple[Decimal, str]:
    """The size that every limit allows, and the name of what decided it (the first on a tie)."""
    quantity, bound_by = plan.quantity, plan.size_bound_by
    if quantity.is_finite():
        quantity = quantity.to_integral_value(ROUND_DOWN)
    for finding in findings:
        if finding.verdict is Verdict.REDUCTION and finding.quantity is not None and finding.quantity < quantity:
            quantity, bound_by = finding.quantity, finding.limit_name
    return quantity, bound_by


def _too_small(plan: TradePlan, quantity: Decimal, book: RiskBook, limits: RiskLimits) -> list[Finding]:
    """Minimum size, measured on what the reductions left (E-10).

    Source: the plan and the mode.
    """
    is_scaled = book.mode is Mode.LIVE_SCALED and limits.min_shares_live_scaled > limits.min_shares
    shares = "min_shares_live_scaled" if is_scaled else "min_shares"
    measures = (
        (shares, quantity, Decimal(getattr(limits, shares))),
        ("min_notional_usd", quantity * plan.entry, limits.min_notional_usd),
    )
    return [
        Finding(
            Verdict.DENIAL,
            Code.BELOW_MINIMUM_SIZE,
            measured,
            limit,
            name,
            f"{quantity} shares at {plan.entry} are left of {plan.quantity} planned",
        )
        for name, measured, limit in measures
        if measured < limit
    ]


def streak_of(were_refused: Sequence[bool]) -> int:
    """How many of the newest answers in a row were refusals or errors; oldest first, True is one."""
    newest_good = next((age for age, refused in enumerate(reversed(were_refused)) if not refused), None)
    return len(were_refused) if newest_good is None else newest_good


def state_after(were_refused: Sequence[bool], limits: RiskLimits) -> TradingState:
    """REDUCING once as many answers in a row as the limit says were refusals or errors, else ACTIVE. Pure."""
    is_over = streak_of(were_refused) >= limits.reject_streak_to_reduce
    return TradingState.REDUCING if is_over else TradingState.ACTIVE
