"""Trips: what latches until a person resumes. They never end by themselves.

Conditions, which do, are in conditions.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from trading_pipeline.domain.breaker_rules import BreakerRules, Trigger
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_measure import daily_loss_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What was measured, and the limit it met. flattens: positions are to be closed as well."""

    trigger: Trigger
    state: TradingState
    measured: str
    limit: str
    words: str
    flattens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """An account's money in a session (USD), cash put in or taken out today left out."""

    opening_usd: Decimal
    peak_usd: Decimal
    equity_usd: Decimal

    @property
    def loss_usd(self) -> Decimal:
        """Lost since the prior close; below zero is a gain."""
        return self.opening_usd - self.equity_usd

    @property
    def fallen_usd(self) -> Decimal:
        """Below the session's peak."""
        return max(self.peak_usd, self.equity_usd) - self.equity_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPeak:
    """The highest equity (USD) an account had in a session so far, cash put in or taken out that day left out."""

    account: str
    session: date
    equity_usd: Decimal
    reached_at: datetime


def money_causes(levels: Levels, limits: RiskLimits, rules: BreakerRules) -> tuple[Cause, ...]:
    """Trips by what was lost, the strictest first; near the daily limit only exits are left for the session."""
    near, limit = daily_loss_limits(levels.opening_usd, limits.daily_loss_fraction, limits.daily_loss_block_share)
    farthest = levels.peak_usd * rules.drawdown.threshold_fraction
    found = []
    if rules.daily_loss.enabled and levels.loss_usd >= limit:
        found.append(_lost(Trigger.DAILY_LOSS, levels.loss_usd, limit, flattens=rules.daily_loss.flattens))
    if rules.drawdown.enabled and levels.fallen_usd >= farthest > 0:
        found.append(_lost(Trigger.DRAWDOWN, levels.fallen_usd, farthest, flattens=rules.drawdown.flattens))
    if rules.daily_loss.enabled and near <= levels.loss_usd < limit:
        found.append(_lost(Trigger.DAILY_LOSS_NEAR, levels.loss_usd, near))
    return tuple(found)


_LOST = {
    Trigger.DAILY_LOSS: "lost since the prior close: the daily limit",
    Trigger.DAILY_LOSS_NEAR: "lost since the prior close: near the daily limit, only exits leave in this session",
    Trigger.DRAWDOWN: "below the session's peak",
}


def _lost(trigger: Trigger, measured: Decimal, limit: Decimal, *, flattens: bool = False) -> Cause:
    state = TradingState.REDUCING if trigger is Trigger.DAILY_LOSS_NEAR else TradingState.HALTED
    words = f"{measured:,.2f} USD {_LOST[trigger]} ({limit:,.2f} USD)"
    return Cause(
        trigger=trigger, state=state, measured=plain(measured), limit=plain(limit), words=words, flattens=flattens
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A trip as it is latched, in the database and in a file: enough to write the one from the other.

    by: the rule's name, or who did it. hands_off_until: until then the session loop itself sends nothing at all,
    because somebody closes the positions past it. Instants are of the clock of whoever tripped, but `hands_off_until`
    is of the machine's.
    """

    account: str
    cause: Cause
    by: str
    at: datetime
    session: date
    hands_off_until: datetime | None = None
