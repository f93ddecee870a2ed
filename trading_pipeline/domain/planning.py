"""From a scored setup to a trade plan: prices on the tick, size within the plan's own caps, or a reasoned refusal."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.domain.errors import NotAPriceError
from trading_pipeline.domain.money import ZERO, round_down_to_tick
from trading_pipeline.domain.risk_book import Code
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.setups import Setup, TradePlan
from trading_pipeline.domain.sizing import shares_for_notional, shares_for_risk

LARGEST_EQUITY_USD = Decimal(10**12)
LARGEST_MULTIPLIER = Decimal(10)


class PlanRules(BaseModel):
    """How a setup becomes prices and a size. Defaults: execution.md §2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry_type: Literal["limit", "market"] = "limit"
    entry_ttl_minutes: int = Field(15, ge=1, le=390, description="a working entry is cancelled after that; one T1 bar")
    stop_low_factor: float = Field(0.995, gt=0, le=1, description="stop below the lowest low of ten T1 bars by this")
    min_stop_atr: float = Field(0.8, ge=0, description="least distance from entry to stop, in T1 ATR")
    volatility_cut_atr_ratio: float = Field(
        1.5, gt=0, description="T1 ATR over its 20-bar mean above which size is cut"
    )
    volatility_cut: Decimal = Field(Decimal("0.75"), gt=0, le=1, description="factor on the size then")
    min_score: float = Field(60, ge=0, le=100, description="SABR20 score under which a setup is not entered")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRefusal:
    """Why no plan could be made of a setup: what was measured, against which limit."""

    setup_id: str
    symbol: str
    code: Code
    measured: Decimal | str
    limit: Decimal | str
    message: str


class _Refused(Exception):
    """Carries a refusal out of the steps below; never leaves this module."""

    def __init__(self, code: Code, measured: Decimal | str, limit: Decimal | str, message: str) -> None:
        self.code, self.measured, self.limit, self.message = code, measured, limit, message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class _Levels:
    entry: Decimal
    stop: Decimal
    target: Decimal

    @property
    def risk_per_share(self) -> Decimal:
        return self.entry - self.stop

    @property
    def reward_risk(self) -> Decimal:
        return (self.target - self.entry) / self.risk_per_share


def plan_id(account: str, strategy: str, snapshot_id: str, symbol: str) -> str:
    """Same decision, same id: one plan per account, strategy, snapshot and symbol."""
    digest = hashlib.sha256(f"{account}|{strategy}|{snapshot_id}|{symbol}".encode()).hexdigest()
    return f"plan-{digest[:24]}"


def plan_trade(
    setup: Setup,
    *,
    equity_usd: Decimal,
    regime_multiplier: Decimal,
    limits: RiskLimits,
    rules: PlanRules,
    account: str,
    strategy: str,
    planned_at: datetime,
) -> TradePlan | PlanRefusal:
    """What we would do with a setup, or why nothing: never an exception, whatever the setup's numbers are.

    Prices in USD per share, rounded down to the tick; quantity in whole shares =
    floor(min(equity × risk fraction × m / risk per share, each notional cap × min(1, m) / entry)),
    m = regime multiplier × volatility cut. The book's limits are the risk decision's business, not the plan's.
    """
    try:
        _require_numbers(setup, equity_usd, regime_multiplier)
        _require_score(setup, rules)
        levels = _levels(setup, rules)
        multiplier = _multiplier(setup, regime_multiplier, rules)
        quantity, bound_by = _size(levels, equity_usd, multiplier, limits)
    except _Refused as no:
        return _refusal(setup, no)
    return TradePlan(
        plan_id=plan_id(account, strategy, setup.snapshot_id, setup.symbol),
        setup_id=setup.setup_id,
        snapshot_id=setup.snapshot_id,
        account=account,
        strategy=strategy,
        session=setup.session,
        symbol=setup.symbol,
        as_of=setup.as_of,
        planned_at=planned_at,
        entry=levels.entry,
        stop=levels.stop,
        target=levels.target,
        risk_per_share=levels.risk_per_share,
        reward_risk=levels.reward_risk,
        multiplier=multiplier,
        quantity=quantity,
        size_bound_by=bound_by,
        entry_reason=entry_reason(setup),
        expires_at=planned_at + timedelta(minutes=rules.entry_ttl_minutes),
    )


def plan_target(
    setup: Setup,
    *,
    price: Decimal,
    change: Decimal,
    stop_distance: Decimal,
    limits: RiskLimits,
    rules: PlanRules,
    account: str,
    strategy: str,
    planned_at: datetime,
) -> TradePlan | PlanRefusal:
    """The purchase that takes a target signal `change` shares (whole) nearer to its target, or why there is none.

    price and stop_distance in USD per share; entry and stop are rounded down to the tick. There is no target price,
    so reward:risk is zero and not checked; the size of one order is capped, the rest waits for the next execution.
    """
    try:
        entry, stop = _entry_and_stop(setup, price, stop_distance)
        quantity, bound_by = _purchase(entry, change, limits)
    except _Refused as no:
        return _refusal(setup, no)
    return TradePlan(
        plan_id=plan_id(account, strategy, setup.snapshot_id, setup.symbol), setup_id=setup.setup_id,
        snapshot_id=setup.snapshot_id, account=account, strategy=strategy, session=setup.session, symbol=setup.symbol,
        as_of=setup.as_of, planned_at=planned_at, entry=entry, stop=stop, target=None, risk_per_share=entry - stop,
        reward_risk=ZERO, multiplier=Decimal(1), quantity=quantity, size_bound_by=bound_by,
        entry_reason=f"target signal: strength {setup.score / 100:+.2f}",
        expires_at=planned_at + timedelta(minutes=rules.entry_ttl_minutes),
    )  # fmt: skip


def _entry_and_stop(setup: Setup, price: Decimal, stop_distance: Decimal) -> tuple[Decimal, Decimal]:
    numbers = {"price": price, "distance to the stop": stop_distance}
    for name, number in numbers.items():
        if not number.is_finite() or number <= 0:
            raise _Refused(Code.NON_FINITE_INPUT, str(number), "> 0", f"{name} of {setup.symbol} is {number}")
    if stop_distance >= price:
        message = f"the stop of {setup.symbol} would be {stop_distance} below its price of {price}: not a price"
        raise _Refused(Code.NON_FINITE_INPUT, price - stop_distance, "> 0", message)
    try:
        entry, stop = round_down_to_tick(float(price)), round_down_to_tick(float(price - stop_distance))
    except NotAPriceError as error:
        what = f"a level of {setup.symbol} is no price on the tick: {error}"
        raise _Refused(Code.NON_FINITE_INPUT, str(error.level), "> 0", what) from error
    if stop >= entry:
        raise _Refused(Code.STOP_NOT_BELOW_ENTRY, stop, entry, f"stop {stop} is not below entry {entry}")
    return entry, stop


def _purchase(entry: Decimal, change: Decimal, limits: RiskLimits) -> tuple[Decimal, str]:
    """Whole shares of one order, and what bound them."""
    room = shares_for_notional(limits.max_order_notional_usd, entry)
    if not change.is_finite():
        raise _Refused(Code.NON_FINITE_INPUT, str(change), "finite", f"the change is {change}: no number of shares")
    quantity, bound_by = min((change, "target"), (room, "max_order_notional_usd"), key=lambda bound: bound[0])
    if not quantity >= 1:
        message = f"{bound_by} leaves room for less than one share at {entry}"
        raise _Refused(Code.BELOW_MINIMUM_SIZE, quantity, Decimal(limits.min_shares), message)
    return quantity, bound_by


def _refusal(setup: Setup, no: _Refused) -> PlanRefusal:
    return PlanRefusal(
        setup_id=setup.setup_id,
        symbol=setup.symbol,
        code=no.code,
        measured=no.measured,
        limit=no.limit,
        message=no.message,
    )


def entry_reason(setup: Setup) -> str:
    """The setup in words, for the journal: grade, score, state, phase and rank."""
    return f"{setup.grade} setup: score {setup.score:.2f}, {setup.state}, {setup.phase} phase, rank {setup.rank}"


def _require_numbers(setup: Setup, equity_usd: Decimal, regime_multiplier: Decimal) -> None:
    levels = {name: getattr(setup, name) for name in ("entry", "target", "lowest_low", "lower_band", "atr", "atr_mean")}
    for name, level in levels.items():
        if level is None or not (math.isfinite(level) and level > 0):
            raise _Refused(Code.NON_FINITE_INPUT, str(level), "> 0", f"{name} of {setup.symbol} is {level}, no price")
    if not math.isfinite(setup.score):
        raise _Refused(Code.NON_FINITE_INPUT, str(setup.score), "finite", f"score of {setup.symbol} is {setup.score}")
    if not equity_usd.is_finite() or not 0 < equity_usd < LARGEST_EQUITY_USD:
        raise _Refused(Code.NON_FINITE_INPUT, str(equity_usd), "> 0", f"equity_usd is {equity_usd}: nothing to size by")
    if not regime_multiplier.is_finite() or abs(regime_multiplier) > LARGEST_MULTIPLIER:
        what = f"regime_multiplier is {regime_multiplier}: no factor to size by"
        raise _Refused(Code.NON_FINITE_INPUT, str(regime_multiplier), f"≤ {LARGEST_MULTIPLIER}", what)


def _require_score(setup: Setup, rules: PlanRules) -> None:
    if setup.score < rules.min_score:
        floor = Decimal(str(rules.min_score))
        what = f"score {setup.score:.2f} of {setup.symbol} is below min_score"
        raise _Refused(Code.SCORE_BELOW_MINIMUM, Decimal(str(setup.score)), floor, what)


def _levels(setup: Setup, rules: PlanRules) -> _Levels:
    assert setup.target is not None  # _require_numbers
    try:
        entry = round_down_to_tick(setup.entry)
        farthest = float(entry) - rules.min_stop_atr * setup.atr
        stop = round_down_to_tick(min(setup.lowest_low * rules.stop_low_factor, setup.lower_band, farthest))
        target = round_down_to_tick(setup.target)
    except NotAPriceError as error:
        what = f"a level of {setup.symbol} is no price on the tick: {error}"
        raise _Refused(Code.NON_FINITE_INPUT, str(error.level), "> 0", what) from error
    if stop >= entry:
        raise _Refused(Code.STOP_NOT_BELOW_ENTRY, stop, entry, f"stop {stop} is not below entry {entry}")
    if target <= entry:
        raise _Refused(Code.TARGET_NOT_ABOVE_ENTRY, target, entry, f"target {target} is not above entry {entry}")
    return _Levels(entry, stop, target)


def _multiplier(setup: Setup, regime_multiplier: Decimal, rules: PlanRules) -> Decimal:
    is_volatile = setup.atr > rules.volatility_cut_atr_ratio * setup.atr_mean
    multiplier = regime_multiplier * (rules.volatility_cut if is_volatile else 1)
    if multiplier <= 0:
        raise _Refused(Code.REGIME_MULTIPLIER_ZERO, multiplier, "> 0", f"size multiplier is {multiplier}: no entries")
    return multiplier


def _size(levels: _Levels, equity_usd: Decimal, multiplier: Decimal, limits: RiskLimits) -> tuple[Decimal, str]:
    """Whole shares and the name of the bound that decided (the first one on a tie)."""
    cut = min(Decimal(1), multiplier)  # a cut must show even when a cap binds; more than 1 never lifts a cap
    bounds = {
        "max_trade_risk_fraction": shares_for_risk(
            equity_usd * limits.max_trade_risk_fraction * multiplier, levels.risk_per_share
        ),
        "max_position_notional_fraction": shares_for_notional(
            equity_usd * limits.max_position_notional_fraction * cut, levels.entry
        ),
        "max_order_notional_usd": shares_for_notional(limits.max_order_notional_usd * cut, levels.entry),
    }
    bound_by = min(bounds, key=lambda name: bounds[name])
    quantity = bounds[bound_by]
    if quantity < 1:
        message = f"{bound_by} leaves room for less than one share at {levels.entry} with {equity_usd} USD of equity"
        raise _Refused(Code.BELOW_MINIMUM_SIZE, quantity, Decimal(limits.min_shares), message)
    return quantity, bound_by
