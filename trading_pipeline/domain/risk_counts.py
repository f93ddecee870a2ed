"""How many, and what stands in the way: other orders of ours, and limits on orders and entries."""

# ruff: noqa: ARG001 - every check takes the same four arguments, whether it reads them or not

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from trading_pipeline.domain.orders import Order, OrderType, Side
from trading_pipeline.domain.risk_book import Code, Finding, RiskBook
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_measure import Check, denial
from trading_pipeline.domain.setups import Setup, TradePlan


def symbol_busy(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """One position and one working entry per symbol; a target signal may add to a position (E-15).

    Source: the ledger's positions and orders.
    """
    busy = [
        held for held in book.exposures if held.symbol == plan.symbol and (held.is_working or plan.target is not None)
    ]
    if not busy:
        return None
    what = "working entry" if busy[0].is_working else "position"
    message = f"{what} of {busy[0].quantity} {plan.symbol} exists"
    return denial(Code.SYMBOL_BUSY, Decimal(len(busy)), Decimal(0), "one per symbol", message)


def self_match(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """No working sale of our own that the entry could trade with: stops wait for their trigger, so they cannot.

    Source: the ledger's open orders, of every strategy of the account.
    """
    reach = max(price for price in (plan.entry, book.ask, book.quote) if price is not None)
    crossing = [o for o in book.own_orders if o.symbol == plan.symbol and o.side is Side.SELL and _meets(o, reach)]
    if not crossing:
        return None
    met = crossing[0]
    message = f"{met.order_type.value} sale {met.client_order_id} of {met.leaves_qty} could trade with the entry"
    return denial(Code.SELF_MATCH, met.limit_price or "at market", reach, "no trade with oneself", message)


def _meets(order: Order, reach: Decimal) -> bool:
    if order.order_type is OrderType.LIMIT:
        return order.limit_price is None or order.limit_price <= reach
    return order.order_type is OrderType.MARKET


def position_count(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """Positions and working entries together, against the smallest of configuration, regime and mode (E-14, X-1).

    Source: the ledger; the regime's allowance. Missing: an unknown regime allows one position.
    """
    count = len({held.symbol for held in book.exposures} | {plan.symbol})
    allowed, name = positions_allowed(book, limits)
    if count <= allowed:
        return None
    message = f"{plan.symbol} would be position {count}"
    return denial(Code.POSITION_COUNT, Decimal(count), Decimal(allowed), name, message)


def positions_allowed(book: RiskBook, limits: RiskLimits) -> tuple[int, str]:
    """How many positions may be open, and which limit says so (the first on a tie)."""
    caps = {"max_open_positions": limits.max_open_positions, "regime_positions": book.regime_positions}
    if book.mode_positions is not None:
        caps["mode_positions"] = book.mode_positions
    name = min(caps, key=lambda name: caps[name])
    return caps[name], name


def duplicate_intent(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
    """A setup is decided once.

    Source: the ledger's intents.
    """
    if setup.setup_id not in book.decided_setups:
        return None
    return denial(Code.DUPLICATE_INTENT, setup.setup_id, "once", "one decision per setup", "already decided")


def _count_check(code: Code, limit_name: str, count_of: Callable[[RiskBook, str], int], what: str) -> Check:
    def check(plan: TradePlan, setup: Setup, book: RiskBook, limits: RiskLimits) -> Finding | None:
        """Deny the one that would exceed the count.

        Source: the ledger's orders of the session, refused ones included; what was never sent is left out.
        """
        count, allowed = count_of(book, plan.symbol), getattr(limits, limit_name)
        if count < allowed:
            return None
        return denial(code, Decimal(count + 1), Decimal(allowed), limit_name, f"{count} {what} so far")

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
