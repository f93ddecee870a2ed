"""What stops a strategy or a venue that has gone wrong: too many intents, orders nobody decided, a row of refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date

from trading_pipeline.domain.breaker import Cause
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.orders import Order
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.domain.submission import errors_in_a_row, without_claim
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.trading_state import trip


def halt_a_runaway(desk: Desk, waiting: Sequence[Order]) -> bool:
    """HALTED before any leaves when more entries wait than decisions within the limits could have made.

    Deciding keeps to these limits; what exceeds them here was written past the decisions.
    """
    if not waiting:
        return False
    with desk.ledger.read() as tx:
        left = tx.entries_left(desk.account, waiting[0].session)
        reason = _excess(desk.rules.risk, waiting, left)
    if not reason:
        return False
    return _halt(
        desk, waiting[0].session, Trigger.TOO_MANY_INTENTS, measured=str(len(waiting)),
        words=f"{reason}: a strategy writes intents past the limits; none of them was sent",
    )  # fmt: skip


def _excess(limits: RiskLimits, waiting: Sequence[Order], left: Mapping[str, int]) -> str:
    if len(waiting) > limits.max_orders_per_execution:
        return f"{len(waiting)} entries wait at once (max_orders_per_execution {limits.max_orders_per_execution})"
    today = len(waiting) + sum(left.values())
    if today > limits.max_orders_per_day:
        return f"{today} entries today (max_orders_per_day {limits.max_orders_per_day})"
    by_symbol = Counter(order.symbol for order in waiting) + Counter(left)
    symbol, count = by_symbol.most_common(1)[0]
    if count > limits.max_orders_per_symbol_per_day:
        return f"{count} entries in {symbol} today (max_orders_per_symbol_per_day)"
    return ""


def watch_the_border(desk: Desk, failed_in: date | None) -> None:
    """HALTED when an order left that nobody had claimed; REDUCING when the last ones of the session all failed."""
    _watch_orders_out(desk)
    if failed_in is not None:
        _watch_failures(desk, failed_in)


def _watch_orders_out(desk: Desk) -> None:
    """Orders out, counted at the socket, against intents in: claims on record."""
    if desk.border is None or not (new := desk.border.uncompared()):
        return
    with desk.ledger.read() as tx:
        orders = tx.orders_named(sorted(new))
    claimed = [order_id for order_id, order in orders.items() if order.submitted_at is not None]
    stray = without_claim(new, claimed)
    if stray:
        _halt(
            desk, desk.clock.now().date(), Trigger.ORDERS_WITHOUT_INTENT, measured=", ".join(stray[:10]),
            words=f"{len(stray)} order(s) left without a claim on record (first: {stray[0]}): somebody sends past the "
            "dispatcher",
        )  # fmt: skip
    desk.border.compared(new)


def _halt(desk: Desk, session: date, trigger: Trigger, *, measured: str, words: str) -> bool:
    rule = desk.rules.breaker.orders_vs_intents
    cause = Cause(
        trigger=trigger, state=TradingState.HALTED, measured=measured, limit="", words=words, flattens=rule.flattens
    )  # fmt: skip
    return rule.enabled and trip(desk, session, cause)


def _watch_failures(desk: Desk, session: date) -> None:
    rule, limit = desk.rules.breaker.error_streak, desk.rules.risk.reject_streak_to_reduce
    with desk.ledger.read() as tx:
        record = tx.trading_state(desk.account)
        row = errors_in_a_row(tx.orders(desk.account, session), record.changed_at if record else None)
    if row < limit or not rule.enabled:
        return
    words = f"{row} orders in a row were refused or went unanswered (reject_streak_to_reduce {limit})"
    cause = Cause(
        trigger=Trigger.ERROR_STREAK, state=TradingState.REDUCING, measured=str(row), limit=str(limit), words=words,
        flattens=rule.flattens,
    )  # fmt: skip
    trip(desk, session, cause)
