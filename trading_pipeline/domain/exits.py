"""When and how a position is left: trailing in initial R, part of the profit, time, lost momentum."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.fold import initial_risk_per_share, r_now
from trading_pipeline.domain.market import Quote, require_aware
from trading_pipeline.domain.money import ZERO, round_up_to_tick
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.positions import ExitReason, Position


class ExitRules(BaseModel):
    """Trailing steps in initial R, when a position is left and how it is guarded. Defaults: execution.md §6.

    Time exits are on; what reads indicators is off until somebody wants it: it needs their frames, and has no record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    break_even_at_r: Decimal = Field(Decimal("1.5"), gt=0, description="from here the stop covers entry and costs")
    lock_at_r: Decimal = Field(Decimal("2.0"), gt=0, description="from here the stop is at entry + lock_r")
    lock_r: Decimal = Field(Decimal("1.0"), gt=0, description="R that the stop then keeps")
    ladder: bool = Field(False, description="beyond lock_at_r stay 1R behind each further full R")
    hold: Literal["intraday", "swing"] = Field("intraday", description="swing: positions may stay over night")
    flatten_before_close_minutes: int = Field(15, ge=1, le=120, description="before that session's own close")
    max_hold_sessions: int = Field(5, ge=0, le=250, description="of a swing, the entry's session counted; 0: no limit")
    stalled_bars: int = Field(
        16, ge=0, le=1000, description="15-minute bars after which a swing that never reached stalled_r ends; 0: never"
    )
    stalled_r: Decimal = Field(Decimal("1.0"), gt=0, description="R that a swing must have reached by then")
    momentum: bool = Field(False, description="leave when T1 StochRSI falls from overbought and the histogram falls")
    momentum_k_above: float = Field(80.0, gt=0, lt=100, description="overbought: K of T1 StochRSI was above")
    mid_band: bool = Field(False, description="leave when a T2 close falls back below its middle band")
    reversal: bool = Field(False, description="leave when the symbol drops off the watchlist past its bottom")
    partial_profit: bool = Field(False, description="sell a part at partial_profit_at_r; the stop keeps the rest")
    partial_profit_at_r: Decimal = Field(Decimal("2.0"), gt=0, description="R from which a part is sold")
    partial_profit_fraction: Decimal = Field(Decimal("0.333333"), gt=0, lt=1, description="of the shares held")
    protect_after_seconds: int = Field(
        5, ge=1, le=60, description="longest that shares may be without a stop, or an entry partly filled"
    )
    exit_retry_seconds: int = Field(60, ge=1, le=3600, description="before a sale that failed is tried again")
    external_stop_fraction: Decimal | None = Field(
        None, gt=0, lt=1, description="below the price: stop of an adopted position that has none; null: alarm only"
    )
    marketable_limit_fraction: Decimal = Field(
        Decimal("0.01"), gt=0, lt=1, description="how far below the last price an exit's limit goes, so that it fills"
    )

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        if self.break_even_at_r >= self.lock_at_r:
            raise ValueError(f"break_even_at_r {self.break_even_at_r} must be below lock_at_r {self.lock_at_r}")
        if self.lock_r >= self.lock_at_r:
            raise ValueError(f"lock_r {self.lock_r} must be below lock_at_r {self.lock_at_r}: a stop sits below price")
        if self.partial_profit_at_r < self.break_even_at_r:
            raise ValueError(
                f"partial_profit_at_r {self.partial_profit_at_r} must not be below break_even_at_r "
                f"{self.break_even_at_r}: the rest is kept at break-even"
            )
        return self


def trailing_stop(
    position: Position, quotes: tuple[Quote, Quote], rules: ExitRules, entry_costs_per_share: Decimal
) -> Decimal | None:
    """The higher stop two consecutive quotes justify (USD per share, on the tick), or None to leave it.

    The lower quote decides, so one bad tick moves nothing; they must be of this symbol, at two ascending instants,
    and prices. R is measured from average entry to the *initial* stop (E-5, E-7). Never lower than the present stop,
    never at or above the lower quote.
    """
    risk = initial_risk_per_share(position)
    price = _lower_of(position, quotes)
    if risk is None or price is None or not position.is_open:
        return None
    locked = _locked_gain((price - position.avg_px) / risk, risk, rules, entry_costs_per_share)
    if locked is None:
        return None
    stop = round_up_to_tick(position.avg_px + locked)
    is_higher = position.stop is None or stop > position.stop
    return stop if is_higher and stop < price else None


def _lower_of(position: Position, quotes: tuple[Quote, Quote]) -> Decimal | None:
    first, second = quotes
    is_pair = first.quoted_at < second.quoted_at and first.symbol == second.symbol == position.symbol
    are_prices = all(quote.price.is_finite() and quote.price > 0 for quote in quotes)
    return min(first.price, second.price) if is_pair and are_prices else None


def _locked_gain(r: Decimal, risk: Decimal, rules: ExitRules, costs: Decimal) -> Decimal | None:
    """USD per share above the average entry that the stop should hold at `r`."""
    if r >= rules.lock_at_r:
        steps = max(rules.lock_r, r // 1 - 1) if rules.ladder else rules.lock_r
        return max(steps * risk, costs)
    return costs if r >= rules.break_even_at_r else None


def is_flatten_time(now: datetime, closes_at: datetime, lead: timedelta) -> bool:
    """True from `lead` before the session's own close (half-days included: E-40). Raises NaiveDatetimeError."""
    return require_aware(now, "flatten check") >= require_aware(closes_at, "session close") - lead


def exit_reason_for(leg: Leg, stop_px: Decimal | None, initial_stop: Decimal | None) -> ExitReason:
    """Why a filled closing leg closed: a stop above the initial one was trailed; the exit leg is the time exit.

    Raises TradingError for the entry leg.
    """
    if leg is Leg.ENTRY:
        raise TradingError("an entry leg closes nothing: pass the leg whose fill ended the position")
    if leg is Leg.TARGET:
        return ExitReason.TARGET
    if leg is Leg.EXIT:
        return ExitReason.TIME
    is_trailed = stop_px is not None and initial_stop is not None and stop_px > initial_stop
    return ExitReason.TRAILING if is_trailed else ExitReason.STOP


@dataclass(frozen=True, slots=True)
class Held:
    """How long a position has been held: sessions (the entry's counts) and trigger bars of trading time."""

    sessions: int
    bars: int


def hold_exit(position: Position, held: Held, rules: ExitRules, *, is_flatten: bool) -> ExitReason | None:
    """Why time alone ends a position now: the close of an intraday one, the last day or the stalling of a swing.

    is_flatten: the session's own flatten time has come.
    """
    if rules.hold == "intraday":
        return ExitReason.TIME if is_flatten else None
    limit = rules.max_hold_sessions
    is_last = bool(limit) and (held.sessions > limit or (held.sessions == limit and is_flatten))
    is_stalled = 0 < rules.stalled_bars <= held.bars and not has_reached(position, rules.stalled_r)
    return ExitReason.MAX_HOLD if is_last or is_stalled else None


def has_reached(position: Position, r: Decimal) -> bool:
    """True when the highest mark was that many initial R above the entry; False where there is no initial risk."""
    best = None if position.high_mark is None else r_now(position, position.high_mark)
    return best is not None and best >= r


def momentum_is_lost(k: tuple[float, float], histogram: tuple[float, float, float], above: float) -> bool:
    """True when StochRSI K (0-100, the bar before and the last) left `above` downwards and the MACD histogram (the
    last three bars) fell twice. NaN anywhere: False.
    """
    return k[0] > above >= k[1] and histogram[0] > histogram[1] > histogram[2]


def fell_below_mid(close: tuple[float, float], mid: tuple[float, float]) -> bool:
    """True when the bar before closed at or above its middle band and the last one below. NaN anywhere: False."""
    return close[0] >= mid[0] and close[1] < mid[1]


def partial_quantity(position: Position, quotes: tuple[Quote, Quote], rules: ExitRules) -> Decimal:
    """Whole shares to sell as part of the profit, zero for none; two consecutive quotes must agree.

    At least one share stays.
    """
    price = _lower_of(position, quotes)
    r = None if price is None else r_now(position, price)
    if not rules.partial_profit or r is None or r < rules.partial_profit_at_r:
        return ZERO
    part = (position.quantity * rules.partial_profit_fraction).quantize(Decimal(1), ROUND_HALF_EVEN)
    return min(part, position.quantity - 1)
