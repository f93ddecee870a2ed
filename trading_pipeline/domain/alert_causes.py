"""Which alert a record raises: pure functions of the record, so that the same cause raises the same one, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.orders import Order
from trading_pipeline.domain.risk_book import Code, Finding, RiskDecision, Verdict
from trading_pipeline.domain.setups import Setup, TradePlan
from trading_pipeline.domain.trading_session import RiskEvent

LOUD = frozenset({AlertLevel.WARNING, AlertLevel.ERROR, AlertLevel.CRITICAL})
BEGAN, ENDED = "condition_began", "condition_ended"
BEST_GRADE = "A+"

OF_CONDITION = {Trigger.VENUE_SILENT.value: "connection_lost", Trigger.CORRELATION.value: "correlation_breach"}
"""What a condition that began is called; the others keep the name of their trigger."""

LIMIT, CORRELATED, POWER = "limit_exceeded", "correlation_breach", "buying_power_low"
OF_CODE: Mapping[Code, str] = {
    Code.TRADE_RISK: LIMIT, Code.TOTAL_OPEN_RISK: LIMIT, Code.POSITION_COUNT: LIMIT, Code.POSITION_NOTIONAL: LIMIT,
    Code.ORDER_NOTIONAL: LIMIT, Code.POSITION_RISK: LIMIT, Code.TOTAL_EXPOSURE: LIMIT, Code.ORDERS_PER_DAY: LIMIT,
    Code.ORDERS_PER_SYMBOL: LIMIT, Code.ORDERS_PER_EXECUTION: LIMIT, Code.SECTOR_EXPOSURE: LIMIT,
    Code.VALUE_AT_RISK: LIMIT, Code.CORRELATION: CORRELATED, Code.CORRELATED_EXPOSURE: CORRELATED,
    Code.BUYING_POWER_RESERVE: POWER, Code.SETTLED_CASH: POWER,
}  # fmt: skip
"""Limits whose denial a person hears of. What says that a setup is no good, or that it is not the time, is no limit."""


def of_event(event: RiskEvent) -> Alert | None:
    """A risk event of WARNING and above raises one of its own kind; so does a condition that is over."""
    trigger = event.data.get("trigger", "")
    if event.kind == ENDED:
        is_silence = trigger == Trigger.VENUE_SILENT
        return _as_alert(event, "connection_restored" if is_silence else ENDED)
    if event.severity not in LOUD:
        return None
    return _as_alert(event, OF_CONDITION.get(trigger, trigger) if event.kind == BEGAN else event.kind)


def _as_alert(event: RiskEvent, kind: str) -> Alert:
    return Alert(
        alert_id=event.event_id, account=event.account, session=event.session, occurred_at=event.occurred_at,
        level=AlertLevel(event.severity), kind=kind, message=event.message, data=event.data,
    )  # fmt: skip


def of_decision(plan: TradePlan, decision: RiskDecision) -> Iterator[Alert]:
    """Limits that denied an entry; also where buying power made it smaller. Each limit is told once a session."""
    for finding in decision.findings:
        kind = OF_CODE.get(finding.code)
        is_told = finding.verdict is Verdict.DENIAL or (kind == POWER and finding.verdict is Verdict.REDUCTION)
        if kind is not None and is_told:
            yield _of_finding(kind, plan, decision, finding)


def _of_finding(kind: str, plan: TradePlan, decision: RiskDecision, finding: Finding) -> Alert:
    done = "denied" if finding.verdict is Verdict.DENIAL else "made smaller"
    numbers = f"{_short(finding.measured)}, and {_short(finding.limit)} is the limit ({finding.limit_name})"
    words = f". {finding.message}" if finding.message else ""
    return alert(
        kind, finding.code.value, account=plan.account, session=plan.session, at=decision.decided_at,
        level=AlertLevel.WARNING,
        message=f"an entry in {plan.symbol} was {done}: {finding.code.value} {numbers}{words}. Told once a session",
        data={
            "symbol": plan.symbol, "code": finding.code.value, "measured": _text(finding.measured),
            "limit": _text(finding.limit), "limit_name": finding.limit_name, "decision_id": decision.decision_id,
        },
    )  # fmt: skip


def _text(value: Decimal | str) -> str:
    """As it is; a number without trailing zeros."""
    return plain(value) if isinstance(value, Decimal) and value.is_finite() else str(value)


def _short(value: Decimal | str) -> str:
    """For people: at most four decimals. Formatted, because rounding raises for what has too many digits."""
    is_number = isinstance(value, Decimal) and value.is_finite()
    return f"{value:.4f}".rstrip("0").rstrip(".") if is_number else str(value)


def of_setup(setup: Setup, account: str) -> Alert | None:
    """A setup of the best grade; each symbol is told once a session."""
    if setup.grade != BEST_GRADE:
        return None
    target = "" if setup.target is None else f", target {setup.target:.2f}"
    return alert(
        "setup_a_plus", setup.symbol, account=account, session=setup.session, at=setup.as_of,
        message=f"{setup.symbol} is a new {BEST_GRADE} setup: score {setup.score:.0f}, {setup.state}, entry "
        f"{setup.entry:.2f}, stop {setup.stop:.2f}{target} USD, reward to risk {setup.reward_risk:.1f}",
        data={"symbol": setup.symbol, "setup_id": setup.setup_id, "score": f"{setup.score:.1f}"},
    )  # fmt: skip


def of_rejection(order: Order) -> Alert:
    """An order that was refused; told once."""
    return alert(
        "order_rejected", order.client_order_id, account=order.account, session=order.session, at=order.updated_at,
        message=f"the venue refused {order.side.value} {plain(order.quantity)} {order.symbol} ({order.leg.value}): "
        f"{order.text or 'no reason given'}",
        data={"symbol": order.symbol, "client_order_id": order.client_order_id},
    )  # fmt: skip
