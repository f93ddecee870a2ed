"""Risk decisions on entries: pure checks over a book, every one run, every reason with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Code(StrEnum):
    """Why an entry was denied or reduced; stable names shown to people and stored."""

    NON_FINITE_INPUT = "non_finite_input"
    STOP_NOT_BELOW_ENTRY = "stop_not_below_entry"
    TARGET_NOT_ABOVE_ENTRY = "target_not_above_entry"
    REWARD_RISK_BELOW_MINIMUM = "reward_risk_below_minimum"
    TRADE_RISK = "trade_risk"
    TOTAL_OPEN_RISK = "total_open_risk"
    POSITION_COUNT = "position_count"
    SYMBOL_BUSY = "symbol_busy"
    BELOW_MINIMUM_SIZE = "below_minimum_size"
    POSITION_NOTIONAL = "position_notional"
    ORDER_NOTIONAL = "order_notional"
    POSITION_RISK = "position_risk"
    TOTAL_EXPOSURE = "total_exposure"
    BUYING_POWER_RESERVE = "buying_power_reserve"
    DAILY_LOSS = "daily_loss"
    ORDERS_PER_DAY = "orders_per_day"
    ORDERS_PER_SYMBOL = "orders_per_symbol"
    ORDERS_PER_EXECUTION = "orders_per_execution"
    REPEATED_EXECUTION = "repeated_execution"
    DUPLICATE_INTENT = "duplicate_intent"
    WATCHLIST_AGE = "watchlist_age"
    HOSTILE_REGIME = "hostile_regime"
    GRADE_BELOW_REGIME = "grade_below_regime"
    REGIME_MULTIPLIER_ZERO = "regime_multiplier_zero"
    PRICE_COLLAR = "price_collar"
    STALE_QUOTE = "stale_quote"
    TRADING_WINDOW = "trading_window"


class Verdict(StrEnum):
    """What one check found."""

    DENIAL = "denial"
    REDUCTION = "reduction"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's word: what was measured, against which limit. `quantity` is the size left by a reduction (shares)."""

    verdict: Verdict
    code: Code
    measured: Decimal | str
    limit: Decimal | str
    limit_name: str
    message: str = ""
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskDecision:
    """The outcome for one plan: approved only when nothing denied it; `quantity` is what may be ordered (shares)."""

    decision_id: str
    plan_id: str
    approved: bool
    requested_quantity: Decimal
    quantity: Decimal
    reserved_risk_usd: Decimal
    findings: tuple[Finding, ...]
    bound_by: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One position or one working entry as the risk checks see it. `stop` None counts the full notional as risk.

    quantity: shares held, or still open for a working entry; reserved_risk_usd: set for working entries only.
    """

    symbol: str
    quantity: Decimal
    price: Decimal
    average_entry: Decimal
    stop: Decimal | None
    is_working: bool = False
    reserved_risk_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskBook:
    """Everything a decision may look at besides the plan and the limits; a snapshot, never queried again.

    Money in USD; `buying_power_usd` is what is left after working entries; a cash flow in is positive;
    `base_bar_minutes` is 0 in live trading. The dicts are by symbol, for this session.
    """

    equity_usd: Decimal
    prior_close_equity_usd: Decimal
    cash_flows_today_usd: Decimal
    buying_power_usd: Decimal
    exposures: tuple[Exposure, ...]
    entries_today: int
    orders_today: int
    orders_today_by_symbol: dict[str, int]
    entries_today_by_symbol: dict[str, int]
    orders_this_execution: int
    decided_setups: frozenset[str]
    regime_score: float
    regime_multiplier: Decimal
    regime_positions: int
    only_a_plus: bool
    quote: Decimal | None
    quoted_at: datetime | None
    base_bar_minutes: int
    snapshot_as_of: datetime
    now: datetime
    entries_open_at: datetime
    entries_close_at: datetime
