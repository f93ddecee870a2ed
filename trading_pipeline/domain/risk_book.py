"""Risk decisions on entries: pure checks over a book, every one run, every reason with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from trading_pipeline.domain.control import Block, TradingState
from trading_pipeline.domain.orders import Order


class Code(StrEnum):
    """Why an entry was denied or reduced; stable names shown to people and stored."""

    NON_FINITE_INPUT = "non_finite_input"
    STOP_NOT_BELOW_ENTRY = "stop_not_below_entry"
    TARGET_NOT_ABOVE_ENTRY = "target_not_above_entry"
    REWARD_RISK_BELOW_MINIMUM = "reward_risk_below_minimum"
    SCORE_BELOW_MINIMUM = "score_below_minimum"
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
    TRADING_STATE = "trading_state"
    NOT_RECONCILED = "not_reconciled"
    BLOCKED = "blocked"
    RESTRICTED = "restricted"
    HALTED_SYMBOL = "halted_symbol"
    STALE_SYMBOL = "stale_symbol"
    SPREAD = "spread"
    EARNINGS = "earnings"
    SELF_MATCH = "self_match"
    FACTS_UNAVAILABLE = "facts_unavailable"
    SECTOR_EXPOSURE = "sector_exposure"
    CORRELATION = "correlation"
    CORRELATED_EXPOSURE = "correlated_exposure"
    SETTLED_CASH = "settled_cash"
    VALUE_AT_RISK = "value_at_risk"


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
class SymbolFacts:
    """What is known of a symbol besides its price; every fact names its source. The defaults know nothing.

    sector: GICS name, empty when unknown. next_earnings: first date on or after the session, and how many sessions
    ahead of it that is (0: the session itself); None when unknown. correlations: Pearson ρ of daily returns with
    other symbols; one that is not there is unknown. unusable: configured sources that could not be read, and why.
    """

    symbol: str
    sector: str = ""
    sector_source: str = "no sector map (execution.filters.sector_file)"
    next_earnings: date | None = None
    sessions_to_earnings: int | None = None
    earnings_source: str = "no earnings calendar (execution.filters.earnings_file)"
    correlations: Mapping[str, float] = field(default_factory=dict)
    correlation_source: str = "no daily returns"
    spread_fraction: Decimal | None = None
    last_trade_at: datetime | None = None
    is_halted: bool = False
    halt_source: str = ""
    unusable: tuple[str, ...] = ()


class Mode(StrEnum):
    """The rungs of the mode ladder, from nothing at stake upwards."""

    SIMULATION = "SIMULATION"
    PAPER = "PAPER"
    LIVE_MINIMAL = "LIVE_MINIMAL"
    LIVE_SCALED = "LIVE_SCALED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskBook:
    """Everything a decision may look at besides the plan and the limits; a snapshot, never queried again.

    Money in USD; `buying_power_usd` is what is left after working entries; a cash flow in is positive;
    `base_bar_minutes` is 0 in live trading. The dicts are by symbol, for this session.
    quote, bid, ask: of the plan's symbol, None where there is none. facts: of the plan's symbol and of all exposures.
    blocks: those in force. own_orders: working orders of the account, of any strategy. settled_cash_usd: cash that a
    cash account may spend today. mode_positions: what the mode allows, None for no cap of its own.
    value_at_risk_usd: historical 1-day 95 % VaR with the plan filled as requested; None when it was not computed.
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
    bid: Decimal | None = None
    ask: Decimal | None = None
    facts: Mapping[str, SymbolFacts] = field(default_factory=dict)
    trading_state: TradingState = TradingState.ACTIVE
    is_reconciled: bool = True
    unreconciled_symbols: frozenset[str] = frozenset()
    blocks: tuple[Block, ...] = ()
    own_orders: tuple[Order, ...] = ()
    settled_cash_usd: Decimal | None = None
    mode: Mode = Mode.SIMULATION
    mode_positions: int | None = None
    value_at_risk_usd: Decimal | None = None

    def facts_of(self, symbol: str) -> SymbolFacts:
        """What is known of the symbol; nothing when nobody said."""
        return self.facts.get(symbol) or SymbolFacts(symbol=symbol)
