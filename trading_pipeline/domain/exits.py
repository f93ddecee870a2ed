"""When and how a position is left: trailing in initial R, flattening before the session's own close."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_pipeline.domain.errors import TradingError
from trading_pipeline.domain.fold import initial_risk_per_share
from trading_pipeline.domain.market import Quote, require_aware
from trading_pipeline.domain.money import round_up_to_tick
from trading_pipeline.domain.orders import Leg
from trading_pipeline.domain.positions import ExitReason, Position


class ExitRules(BaseModel):
    """Trailing steps in initial R and the time exit. Defaults: execution.md §6."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    break_even_at_r: Decimal = Field(Decimal("1.5"), gt=0, description="from here the stop covers entry and costs")
    lock_at_r: Decimal = Field(Decimal("2.0"), gt=0, description="from here the stop is at entry + lock_r")
    lock_r: Decimal = Field(Decimal("1.0"), gt=0)
    ladder: bool = Field(False, description="beyond lock_at_r stay 1R behind each further full R")
    flatten_before_close_minutes: int = Field(15, ge=1, le=120, description="before that session's own close")

    marketable_limit_fraction: Decimal = Field(
        Decimal("0.01"), gt=0, lt=1, description="how far below the last price an exit's limit goes, so that it fills"
    )

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        if self.break_even_at_r >= self.lock_at_r:
            raise ValueError(f"break_even_at_r {self.break_even_at_r} must be below lock_at_r {self.lock_at_r}")
        if self.lock_r >= self.lock_at_r:
            raise ValueError(f"lock_r {self.lock_r} must be below lock_at_r {self.lock_at_r}: a stop sits below price")
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
