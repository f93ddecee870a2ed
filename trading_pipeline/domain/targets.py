"""From signal strengths to target positions, and from targets to the sells and buys that lead there."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import require_aware
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.risk_limits import RiskLimits

SOURCES = ("signal_call", "signal_file", "signal_table")
"""Names of the providers of target signals: the source of their snapshots and the strategy of their orders."""
NAMED_ROWS = 5
"""Broken rows an error names; the others are counted."""


class RebalanceRules(BaseModel):
    """How external signals become positions. Defaults: strategy.md §8, execution.md §2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(0.1, ge=0, lt=1, description="a strength weaker than this asks for no position")
    risk_fraction: Decimal = Field(
        Decimal("0.02"), gt=0, le=Decimal("0.1"), description="equity lost at the stop at strength 1, before limits"
    )
    stop_atr: Decimal = Field(Decimal(2), gt=0, le=10, description="from entry to stop, in daily ATR 14")
    capital_scaling: Decimal = Field(Decimal(1), gt=0, le=4, description="multiplies targets; then the limits cap them")
    min_change_usd: Decimal = Field(Decimal(100), ge=0, description="a smaller change is left undone")
    min_change_fraction: Decimal = Field(
        Decimal("0.05"), ge=0, lt=1, description="so is one smaller than this part of the position"
    )
    sell_timeout_seconds: int = Field(60, ge=1, le=3600, description="buys wait that long for the sells to fill")
    max_signal_age_minutes: int = Field(1440, ge=1, description="older signals are refused")
    max_rows: int = Field(10_000, ge=1, le=1_000_000, description="a longer table of signals is refused")
    cycle_minutes: int = Field(5, ge=1, le=390, description="how often a replayed session looks for new signals")


class SignalsError(InputError):
    """A table of signals cannot be used: it is refused whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSet:
    """Strengths by symbol, in [-1, 1], all true at one instant.

    input_hash: SHA-256 of the rows, with their instant when they have one of their own: the same set, the same hash.
    """

    source: str
    as_of: datetime
    strengths: Mapping[str, float]
    input_hash: str


def signal_set(
    source: str, as_of: datetime, rows: Iterable[tuple[str, object]], *, max_rows: int, is_timed: bool = True
) -> SignalSet:
    """Check rows of (symbol, strength) and make a set of them, sorted by symbol.

    is_timed: False for rows without an instant of their own; `as_of` is then when they were asked for.

    A single broken row refuses the table: raises SignalsError for a strength that is no number, NaN, infinite or
    outside [-1, 1], an empty or repeated symbol, no rows, more than `max_rows`; NaiveDatetimeError.
    """
    found = [(str(symbol).strip(), strength) for symbol, strength in rows]
    if not found or len(found) > max_rows:
        raise SignalsError(f"{source}: {len(found)} rows of signals; between 1 and {max_rows} are taken.")
    faults = [*_faults(found), *_repeated(symbol for symbol, _ in found)]
    if faults:
        raise SignalsError(
            f"{source}: {len(faults)} of {len(found)} rows cannot be used, so none is: "
            f"{'; '.join(faults[:NAMED_ROWS])}. A row is a symbol, once, and a strength from -1 to 1."
        )
    strengths = {symbol: float(str(strength)) for symbol, strength in sorted(found)}
    instant = require_aware(as_of, "time of signals").isoformat() if is_timed else ""
    text = "|".join((source, instant, *map(str, strengths.items())))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return SignalSet(source=source, as_of=as_of, strengths=strengths, input_hash=digest)


def _faults(rows: Sequence[tuple[str, object]]) -> list[str]:
    return [
        f"row {number} ({symbol or 'no symbol'}: {strength!r})"
        for number, (symbol, strength) in enumerate(rows, start=1)
        if not symbol or not _is_strength(strength)
    ]


def _is_strength(strength: object) -> bool:
    try:
        number = float(str(strength))
    except ValueError:
        return False
    return math.isfinite(number) and -1 <= number <= 1


def _repeated(symbols: Iterable[str]) -> list[str]:
    counts: dict[str, int] = {}
    for symbol in symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
    return [f"{symbol} {count} times" for symbol, count in counts.items() if symbol and count > 1]


def require_fresh(signals: SignalSet, now: datetime, rules: RebalanceRules) -> None:
    """Raise SignalsError when the signals are older than the rules allow, or from the future."""
    age = require_aware(now) - signals.as_of
    if not timedelta(0) <= age <= timedelta(minutes=rules.max_signal_age_minutes):
        raise SignalsError(
            f"{signals.source}: the signals are as of {signals.as_of.isoformat()}, and it is {now.isoformat()}; "
            f"allowed is an age from 0 to {rules.max_signal_age_minutes} minutes "
            "(execution.rebalance.max_signal_age_minutes). Make them again."
        )


class Move(StrEnum):
    """What becomes of one symbol: sells go in the first phase, buys in the second, the others ask for no order."""

    SELL = "sell"
    BUY = "buy"
    HOLD = "hold"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One symbol as it stands: strength, daily ATR and price (USD per share; None: not known), shares.

    committed: shares that working entries may still buy, already sold by working exits counted off `held`.
    """

    symbol: str
    strength: float
    atr: Decimal | None
    price: Decimal | None
    held: Decimal = ZERO
    committed: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one symbol is to go: whole shares; `change` is negative for a sale. `bound_by` names what set the size."""

    symbol: str
    strength: float
    held: Decimal
    target: Decimal
    change: Decimal
    move: Move
    bound_by: str
    reason: str


def targets(
    signals: Sequence[Signal], *, equity_usd: Decimal, other_usd: Decimal, rules: RebalanceRules, limits: RiskLimits
) -> tuple[Target, ...]:
    """The target of every signal, strongest first, and the orders that lead there, at most the limit of an execution.

    Size in shares = strength × capital scaling × risk fraction × equity / (stop_atr × ATR), then capped by the limits
    on one position and by what the stronger ones and `other_usd` (USD held in symbols without a signal) leave of
    the total exposure. Negative strengths and those under the threshold ask for no position. Long only.
    """
    room = max(ZERO, equity_usd * limits.max_total_exposure_fraction - other_usd)
    found: list[Target] = []
    for signal in sorted(signals, key=_strongest_first):
        target = _target(signal, equity_usd, room, rules, limits)
        room -= target.target * (signal.price or ZERO)
        found.append(target)
    return _within_one_execution(found, limits.max_orders_per_execution)


def _strongest_first(signal: Signal) -> tuple[float, str]:
    return (-abs(signal.strength), signal.symbol)


def _target(signal: Signal, equity_usd: Decimal, room: Decimal, rules: RebalanceRules, limits: RiskLimits) -> Target:
    held = Target(
        symbol=signal.symbol, strength=signal.strength, held=signal.held, target=signal.held, change=ZERO,
        move=Move.REFUSED, bound_by="", reason="",
    )  # fmt: skip
    is_long = signal.strength >= rules.threshold and signal.strength > 0
    if not is_long:
        return _out(held, is_negative=signal.strength < 0 and signal.strength <= -rules.threshold)
    if not _is_price(signal.price):
        return replace(held, reason="unknown symbol or no price today: nothing to size by")
    if not _is_price(signal.atr):
        return replace(held, reason="no daily ATR: too little history to size by")
    wanted, bound_by = _size(signal, equity_usd, room, rules, limits)
    return _moved(replace(held, target=wanted, bound_by=bound_by), signal, rules)


def _is_price(number: Decimal | None) -> bool:
    return number is not None and number.is_finite() and number > 0


def _out(held: Target, *, is_negative: bool) -> Target:
    """Nothing is to be held: all that is owned goes; what is not owned is never sold."""
    if held.held > 0:
        why = "a negative signal closes the position" if is_negative else "too weak to hold"
        return replace(held, target=ZERO, change=-held.held, move=Move.SELL, reason=why)
    if is_negative:
        return replace(held, reason="not owned: what is not owned is not sold")
    return replace(held, move=Move.HOLD, reason="below the threshold")


def _size(
    signal: Signal, equity_usd: Decimal, room: Decimal, rules: RebalanceRules, limits: RiskLimits
) -> tuple[Decimal, str]:
    """Whole shares and the name of the bound that decided (the first on a tie)."""
    assert signal.atr is not None
    assert signal.price is not None
    risk_per_share = rules.stop_atr * signal.atr
    strength = Decimal(repr(signal.strength))
    bounds = {
        "strength": strength * rules.capital_scaling * rules.risk_fraction * equity_usd / risk_per_share,
        "max_trade_risk_fraction": limits.max_trade_risk_fraction * equity_usd / risk_per_share,
        "max_position_risk_fraction": limits.max_position_risk_fraction * equity_usd / risk_per_share,
        "max_position_notional_fraction": limits.max_position_notional_fraction * equity_usd / signal.price,
        "max_total_exposure_fraction": max(ZERO, room) / signal.price,
    }
    bound_by = min(bounds, key=lambda name: bounds[name])
    return max(ZERO, bounds[bound_by].to_integral_value(ROUND_DOWN)), bound_by


def _moved(target: Target, signal: Signal, rules: RebalanceRules) -> Target:
    """The change to the target; a reduction counts what is held, an increase also what is being bought already."""
    assert signal.price is not None
    have = target.held + signal.committed
    change = min(ZERO, target.target - target.held) or max(ZERO, target.target - have)
    if change == 0:
        why = "at its target" if not signal.committed else "a working entry is on its way there"
        return replace(target, move=Move.HOLD, reason=why)
    least = max(rules.min_change_usd, rules.min_change_fraction * target.held * signal.price)
    is_exit = target.target == 0
    if abs(change) * signal.price < least and not is_exit:
        why = f"a change of {abs(change)} shares is worth less than {least:.2f} USD"
        return replace(target, move=Move.SKIPPED, reason=why)
    move = Move.SELL if change < 0 else Move.BUY
    return replace(target, change=change, move=move, reason=f"bound by {target.bound_by}")


def _within_one_execution(found: Sequence[Target], most: int) -> tuple[Target, ...]:
    """Sells count before buys; what does not fit waits for the next execution."""
    ordered = [t for t in found if t.move is Move.SELL] + [t for t in found if t.move is Move.BUY]
    late = {target.symbol for target in ordered[most:]}
    why = f"more than {most} orders in one execution (max_orders_per_execution): left for the next"
    return tuple(
        replace(target, change=ZERO, move=Move.SKIPPED, reason=why) if target.symbol in late else target
        for target in found
    )
