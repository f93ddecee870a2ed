"""Conditions that hold entries back while they last: a fold over measurements.

The same measurements give the same state, in whatever order those of one instant come. A condition begins above its
threshold and ends once it was at or below its release level for `clean_seconds` without a break; in between
(hysteresis) it stays as it is. What is no number is as bad as can be.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

from trading_pipeline.domain.breaker_rules import CONDITIONS, BreakerRules, Trigger
from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.market import require_aware


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of a condition at an instant, in the unit of its rule; of latency: one answer's seconds."""

    trigger: Trigger
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A condition in force: since when, the value that began it, and since when it is clean (None: it is not)."""

    since: datetime
    value: float
    clean_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What stands after the measurements up to `at`, and the answers' times that a later percentile needs."""

    at: datetime | None = None
    standing: Mapping[Trigger, Standing] = field(default_factory=dict)
    answers: tuple[tuple[datetime, float], ...] = ()


def follow(measurements: Iterable[Measurement], rules: BreakerRules, start: Conditions | None = None) -> Conditions:
    """Fold measurements in order of time; the order within one instant is irrelevant."""
    state = start or Conditions()
    for at, together in groupby(sorted(measurements, key=lambda one: one.at), key=lambda one: one.at):
        state = after(state, at, tuple(together), rules)
    return state


def after(state: Conditions, at: datetime, measured: Sequence[Measurement], rules: BreakerRules) -> Conditions:
    """The conditions once all measurements of one instant are known.

    A condition that was not measured neither begins nor ends. Raises NaiveDatetimeError, and InputError for an instant
    before the last one or a measurement of another instant.
    """
    _require_order(state, at, measured)
    oldest = at - timedelta(seconds=rules.latency.window_seconds)
    new = [(one.at, _usable(one.value)) for one in measured if one.trigger is Trigger.LATENCY]
    answers = (*(one for one in state.answers if one[0] > oldest), *sorted(new))
    values = _values(measured, answers, rules)
    standing = {trigger: _next(trigger, state.standing.get(trigger), values, at, rules) for trigger in CONDITIONS}
    return Conditions(at, {trigger: one for trigger, one in standing.items() if one is not None}, answers)


def _require_order(state: Conditions, at: datetime, measured: Sequence[Measurement]) -> None:
    require_aware(at, "instant of a measurement")
    if state.at is not None and at < state.at:
        raise InputError(
            f"a measurement at {at.isoformat()} cannot follow one at {state.at.isoformat()}: the clock went backwards. "
            "Set the clock right and start again"
        )
    strange = [one for one in measured if one.at != at or one.trigger not in CONDITIONS]
    if strange:
        raise InputError(
            f"{len(strange)} measurement(s) are none of the instant {at.isoformat()} (first: {strange[0]}): fold them "
            "instant by instant"
        )


def _usable(value: float) -> float:
    """The value; infinity for what is no number."""
    return math.inf if math.isnan(value) else value


def _values(
    measured: Sequence[Measurement], answers: Sequence[tuple[datetime, float]], rules: BreakerRules
) -> dict[Trigger, float]:
    """The worst value of each condition; of latency the percentile, once there are enough answers."""
    found: dict[Trigger, float] = {}
    for one in measured:
        if one.trigger is not Trigger.LATENCY:
            found[one.trigger] = max(found.get(one.trigger, -math.inf), _usable(one.value))
    if len(answers) >= rules.latency.least_answers:
        found[Trigger.LATENCY] = percentile95([seconds for _, seconds in answers])
    return found


def percentile95(values: Sequence[float]) -> float:
    """95th percentile by nearest rank: of 20 values the last but one, so that one slow answer is no trend.

    Raises InputError without values.
    """
    if not values:
        raise InputError("no percentile of no values: ask once something was measured")
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _next(
    trigger: Trigger, now: Standing | None, values: Mapping[Trigger, float], at: datetime, rules: BreakerRules
) -> Standing | None:
    rule = rules.of(trigger)
    if not rule.enabled:
        return None
    if trigger not in values:
        return now
    value = values[trigger]
    if now is None:
        return Standing(at, value) if value > rule.threshold else None
    if value > rule.release:
        return Standing(now.since, now.value)
    clean_since = now.clean_since or at
    is_over = at - clean_since >= timedelta(seconds=rules.clean_seconds)
    return None if is_over else Standing(now.since, now.value, clean_since)


def portfolio_correlation(
    values_usd: Mapping[str, Decimal], correlations: Mapping[tuple[str, str], float]
) -> float | None:
    """Mean correlation of all pairs held, weighted by the product of their values (USD).

    correlations: Pearson ρ by the pair's symbols in ascending order. A pair whose ρ is unknown or no number is left
    out: the risk checks on entries tell of it. None when no pair is known.
    """
    symbols = sorted(symbol for symbol, value in values_usd.items() if value > 0)
    pairs = [(a, b) for number, a in enumerate(symbols) for b in symbols[number + 1 :]]
    known = [pair for pair in pairs if math.isfinite(correlations.get(pair, math.nan))]
    weights = [float(values_usd[a]) * float(values_usd[b]) for a, b in known]
    if not known:
        return None
    return sum(weight * correlations[pair] for weight, pair in zip(weights, known, strict=True)) / sum(weights)
