"""Every question asked of an entry, one pure function each; none depends on another's answer.

Checks run under a decimal context that does not trap, so that NaN compares false instead of raising: each is written
so that what cannot be compared is not passed, and `usable_numbers` names the field.
"""

# ruff: noqa: ARG001 - every check takes the same four arguments, whether it reads them or not

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.risk_book import Code, Exposure, Finding, RiskBook, Verdict
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.setups import Setup, TradePlan

Check = Callable[[TradePlan, Setup, RiskBook, RiskLimits], Finding | None]
_Number = Decimal | float


def _denial(code: Code, measured: Decimal | str, limit: Decimal | str, limit_name: str, message: str) -> Finding:
    return Finding(Verdict.DENIAL, code, measured, limit, limit_name, message)


# --- what cannot be used at all


def _numbers(plan: TradePlan, setup: Setup, book: RiskBook) -> Iterator[tuple[str, _Number, bool]]:
    """Every number a check reads: name, value, whether it must be above zero."""
    for name in ("entry", "stop", "target", "quantity", "risk_per_share"):
        yield f"plan.{name}", getattr(plan, name), True
    yield "plan.multiplier", plan.multiplier, False
    yield "setup.score", setup.score, False
    yield "book.equity_usd", book.equity_usd, True
    yield "book.prior_close_equity_usd", book.prior_close_equity_usd, True
    for name in ("cash_flows_today_usd", "buying_power_usd", "regime_score", "regime_multiplier"):
        yield f"book.{name}", getattr(book, name), False
    if book.quote is not None:
        yield "book.quote", book.quote, True
    for held in book.exposures:
        for name in ("quantity", "price", "average_entry"):
            yield f"exposure {held.symbol}.{name}", getattr(held, name), True
        yield f"exposure {held.symbol}.reserved_risk_usd", held.reserved_risk_usd, False
        if held.stop is not None:
            yield f"exposure {held.symbol}.stop", held.stop, True


def usable_numbers(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Deny NaN, infinity, and zero or less where only more makes sense; names every such field (E-12)."""
    bad = [
        f"{name} = {number}"
        for name, number, above_zero in _numbers(plan, setup, book)
        if not _is_finite(number) or (above_zero and number <= 0)
    ]
    if not bad:
        return None
    return _denial(Code.NON_FINITE_INPUT, "; ".join(bad), "finite, > 0", "inputs", f"{len(bad)} unusable inputs")


def _is_finite(number: _Number) -> bool:
    return number.is_finite() if isinstance(number, Decimal) else math.isfinite(number)


def stop_below_entry(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A stop at or above the entry protects nothing."""
    if plan.stop < plan.entry:
        return None
    return _denial(Code.STOP_NOT_BELOW_ENTRY, plan.stop, plan.entry, "entry", "the stop must be below the entry")


def target_above_entry(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A target at or below the entry earns nothing."""
    if plan.target > plan.entry:
        return None
    return _denial(Code.TARGET_NOT_ABOVE_ENTRY, plan.target, plan.entry, "entry", "the target must be above the entry")


def reward_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Reward over risk from the plan's own rounded prices, not from the watchlist's number (E-17)."""
    measured = (plan.target - plan.entry) / (plan.entry - plan.stop)
    if measured >= limits.min_reward_risk:
        return None
    message = f"reward {plan.target - plan.entry} for risk {plan.entry - plan.stop} a share"
    return _denial(Code.REWARD_RISK_BELOW_MINIMUM, measured, limits.min_reward_risk, "min_reward_risk", message)


# --- when, and in which market


def trading_window(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Entries only between the session's first and last entry instants, both included."""
    if book.entries_open_at <= book.now <= book.entries_close_at:
        return None
    window = f"{book.entries_open_at.isoformat()} to {book.entries_close_at.isoformat()}"
    return _denial(Code.TRADING_WINDOW, book.now.isoformat(), window, "entry window", "outside the entry window")


def watchlist_age(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The watchlist is of this session, not from the future, and young enough (E-18)."""
    age = book.now - book.snapshot_as_of
    if timedelta(0) <= age <= timedelta(minutes=limits.max_watchlist_age_minutes) and plan.session == setup.session:
        return None
    message = f"watchlist of {setup.session} as of {book.snapshot_as_of.isoformat()}, plan for {plan.session}"
    minutes = Decimal(int(age.total_seconds())) / 60
    limit = Decimal(limits.max_watchlist_age_minutes)
    return _denial(Code.WATCHLIST_AGE, minutes, limit, "max_watchlist_age_minutes", message)


def hostile_regime(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A hostile regime blocks new entries, or only warns when the size multiplier is to do the work (E-11)."""
    if book.regime_score >= limits.hostile_regime_score:
        return None
    verdict = Verdict.DENIAL if limits.hostile_regime == "block" else Verdict.WARNING
    message = f"regime score {book.regime_score:.1f}: hostile_regime is {limits.hostile_regime}"
    floor = Decimal(str(limits.hostile_regime_score))
    score = Decimal(str(book.regime_score))
    return Finding(verdict, Code.HOSTILE_REGIME, score, floor, "hostile_regime_score", message)


def grade_for_regime(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """In a weak regime only A+ setups trade."""
    is_weak = book.only_a_plus or not book.regime_score >= limits.only_a_plus_below_score
    if setup.grade == "A+" or not is_weak:
        return None
    message = f"regime score {book.regime_score:.1f} asks for A+"
    return _denial(Code.GRADE_BELOW_REGIME, setup.grade, "A+", "only_a_plus_below_score", message)


def regime_multiplier(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A multiplier of zero means: no entries."""
    if book.regime_multiplier > 0:
        return None
    return _denial(
        Code.REGIME_MULTIPLIER_ZERO,
        book.regime_multiplier,
        ZERO,
        "regime_multiplier",
        "the regime sizes entries to zero",
    )


def fresh_quote(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A quote exists and is young; in replay it is the last base close, so one base bar older is fine."""
    allowed = Decimal(limits.max_quote_age_seconds + 60 * book.base_bar_minutes)
    if book.quote is None or book.quoted_at is None:
        return _denial(Code.STALE_QUOTE, "no quote", allowed, "max_quote_age_seconds", "no quote to compare with")
    age = Decimal(str((book.now - book.quoted_at).total_seconds()))
    if age <= allowed:
        return None
    return _denial(Code.STALE_QUOTE, age, allowed, "max_quote_age_seconds", f"quote {book.quote} is {age} s old")


def price_collar(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """The entry is near the market, and the market is between stop and target."""
    if book.quote is None:
        return None  # fresh_quote denies
    distance = abs(plan.entry - book.quote) / book.quote
    if distance <= limits.collar_fraction and plan.stop < book.quote < plan.target:
        return None
    message = f"entry {plan.entry}, stop {plan.stop}, target {plan.target} against quote {book.quote}"
    return _denial(Code.PRICE_COLLAR, distance, limits.collar_fraction, "collar_fraction", message)


# --- how many


def symbol_busy(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """One position and one working entry per symbol (E-15)."""
    busy = [held for held in book.exposures if held.symbol == plan.symbol]
    if not busy:
        return None
    what = "working entry" if busy[0].is_working else "position"
    message = f"{what} of {busy[0].quantity} {plan.symbol} exists"
    return _denial(Code.SYMBOL_BUSY, Decimal(len(busy)), ZERO, "one per symbol", message)


def position_count(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Positions and working entries together, against the smaller of configuration and regime (E-14, X-1)."""
    count = len({held.symbol for held in book.exposures} | {plan.symbol})
    is_regime = book.regime_positions < limits.max_open_positions
    allowed = min(limits.max_open_positions, book.regime_positions)
    if count <= allowed:
        return None
    name = "regime_positions" if is_regime else "max_open_positions"
    return _denial(
        Code.POSITION_COUNT, Decimal(count), Decimal(allowed), name, f"{plan.symbol} would be position {count}"
    )


def duplicate_intent(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A setup is decided once."""
    if setup.setup_id not in book.decided_setups:
        return None
    return _denial(Code.DUPLICATE_INTENT, setup.setup_id, "once", "one decision per setup", "already decided")


def _count_check(code: Code, limit_name: str, count_of: Callable[[RiskBook, str], int], what: str) -> Check:
    def check(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
        """Deny the one that would exceed the count."""
        count, allowed = count_of(book, plan.symbol), getattr(limits, limit_name)
        if count < allowed:
            return None
        return _denial(code, Decimal(count + 1), Decimal(allowed), limit_name, f"{count} {what} so far")

    check.__name__ = limit_name
    return check


orders_per_day = _count_check(
    Code.ORDERS_PER_DAY, "max_orders_per_day", lambda book, _: book.orders_today, "orders today"
)
orders_per_symbol = _count_check(
    Code.ORDERS_PER_SYMBOL,
    "max_orders_per_symbol_per_day",
    lambda book, symbol: book.orders_today_by_symbol.get(symbol, 0),
    "orders in the symbol today",
)
orders_per_execution = _count_check(
    Code.ORDERS_PER_EXECUTION,
    "max_orders_per_execution",
    lambda book, _: book.orders_this_execution,
    "orders from this watchlist",
)
repeated_execution = _count_check(
    Code.REPEATED_EXECUTION,
    "max_entries_per_symbol_per_session",
    lambda book, symbol: book.entries_today_by_symbol.get(symbol, 0),
    "entries in the symbol this session",
)


# --- how much: each leaves the largest whole size that fits, and denies when that is none


def daily_loss(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Entries stop before the daily loss limit is reached; open P&L and costs count, cash flows do not (X-10)."""
    loss = book.prior_close_equity_usd + book.cash_flows_today_usd - book.equity_usd
    allowed = book.prior_close_equity_usd * limits.daily_loss_fraction * limits.daily_loss_block_share
    if loss < allowed:
        return None
    message = f"{loss} USD lost since the prior close: entries are blocked until the next session"
    return _denial(Code.DAILY_LOSS, loss, allowed, "daily_loss_fraction", message)


def open_risk_of(held: Exposure) -> Decimal:
    """USD lost at the stop: never below zero, so a trailed winner lends nothing (E-8); without a stop, the notional."""
    if held.is_working and held.reserved_risk_usd > 0:
        return held.reserved_risk_usd
    if held.stop is None:
        return held.quantity * held.price
    return max(ZERO, held.average_entry - held.stop) * held.quantity


def _fit(
    plan: TradePlan, code: Code, limit_name: str, per_share: Decimal, used: Decimal, limit: Decimal
) -> Finding | None:
    """Nothing when used + quantity × per_share stays within the limit, else the largest whole size that does."""
    wanted = used + plan.quantity * per_share
    if wanted <= limit:
        return None
    shares = max(ZERO, (limit - used) // per_share) if per_share > 0 else ZERO
    room = f"{max(ZERO, limit - used)} USD of room, {per_share} a share"
    if not shares >= 1:
        return Finding(Verdict.DENIAL, code, wanted, limit, limit_name, f"no share fits: {room}", ZERO)
    message = f"reduced from {plan.quantity} to {shares} shares: {room}"
    return Finding(Verdict.REDUCTION, code, wanted, limit, limit_name, message, shares)


def trade_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Loss at the stop of this trade; the regime multiplier cannot lift it (E-10)."""
    limit = book.equity_usd * limits.max_trade_risk_fraction
    return _fit(plan, Code.TRADE_RISK, "max_trade_risk_fraction", plan.entry - plan.stop, ZERO, limit)


def total_open_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Loss if every stop is hit, with what working entries have reserved (E-9, E-14)."""
    used = sum((open_risk_of(held) for held in book.exposures), ZERO)
    limit = book.equity_usd * limits.max_open_risk_fraction
    return _fit(plan, Code.TOTAL_OPEN_RISK, "max_open_risk_fraction", plan.entry - plan.stop, used, limit)


def position_risk(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Loss at the stop of the whole position in the symbol."""
    used = sum((open_risk_of(held) for held in book.exposures if held.symbol == plan.symbol), ZERO)
    limit = book.equity_usd * limits.max_position_risk_fraction
    return _fit(plan, Code.POSITION_RISK, "max_position_risk_fraction", plan.entry - plan.stop, used, limit)


def position_notional(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Value of the whole position in the symbol (E-16)."""
    used = _notional(book, plan.symbol)
    limit = book.equity_usd * limits.max_position_notional_fraction
    return _fit(plan, Code.POSITION_NOTIONAL, "max_position_notional_fraction", plan.entry, used, limit)


def order_notional(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Value of this one order."""
    limit = limits.max_order_notional_usd
    return _fit(plan, Code.ORDER_NOTIONAL, "max_order_notional_usd", plan.entry, ZERO, limit)


def total_exposure(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Value of all positions and working entries (X-6)."""
    limit = book.equity_usd * limits.max_total_exposure_fraction
    return _fit(plan, Code.TOTAL_EXPOSURE, "max_total_exposure_fraction", plan.entry, _notional(book), limit)


def buying_power_reserve(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Buying power, which working entries have already taken from, stays above the reserve (E-16, X-5)."""
    limit = book.buying_power_usd - book.equity_usd * limits.buying_power_reserve_fraction
    return _fit(plan, Code.BUYING_POWER_RESERVE, "buying_power_reserve_fraction", plan.entry, ZERO, limit)


def _notional(book: RiskBook, symbol: str | None = None) -> Decimal:
    held_of = (held for held in book.exposures if symbol is None or held.symbol == symbol)
    return sum((held.quantity * held.price for held in held_of), ZERO)


CHECKS: tuple[Check, ...] = (
    usable_numbers,
    stop_below_entry,
    target_above_entry,
    reward_risk,
    trading_window,
    watchlist_age,
    hostile_regime,
    grade_for_regime,
    regime_multiplier,
    fresh_quote,
    price_collar,
    symbol_busy,
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
    buying_power_reserve,
)
"""In the order shown to the trader; a limit is added by adding a row."""
