"""When trading stops by itself: the triggers, and the rule of each.

Each limit is defined once: the daily loss and the row of failures stand under `execution.risk`, all else here.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Trigger(StrEnum):
    """What stops entries; the names are kept on record."""

    STALE_DATA = "stale_data"
    LATENCY = "latency"
    VENUE_SILENT = "venue_silent"
    CLOCK_SKEW = "clock_skew"
    CORRELATION = "correlation"
    DAILY_LOSS_NEAR = "daily_loss_near"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    ERROR_STREAK = "error_streak"
    RECONCILIATION = "reconciliation"
    ORDERS_WITHOUT_INTENT = "orders_without_intent"
    TOO_MANY_INTENTS = "too_many_intents"
    PAUSE = "pause"
    KILL = "kill"


CONDITIONS = (
    Trigger.STALE_DATA, Trigger.LATENCY, Trigger.VENUE_SILENT, Trigger.CLOCK_SKEW, Trigger.CORRELATION,
)  # fmt: skip
"""What lasts as long as its cause, and then lifts by itself; everything else latches."""

Level = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Rule(_Rules):
    enabled: bool = Field(True, description="false: it is not looked at")
    flattens: bool = Field(False, description="true: positions are closed as well")


class ConditionRule(_Rule):
    """A condition begins above `threshold` and ends after a while at or below `release`; in between it stays."""

    threshold: Level
    release: Level

    @model_validator(mode="after")
    def _there_is_a_band(self) -> Self:
        if self.release > self.threshold:
            raise ValueError(
                f"release ({self.release}) must not be above threshold ({self.threshold}): it would begin and end at "
                "once"
            )
        return self


class StaleDataRule(ConditionRule):
    """Age of the newest price of what is held or ordered, beyond one base bar."""

    threshold: Level = Field(120, description="seconds; above it entries are held back")
    release: Level = Field(60, description="seconds; at or below it counts as clean")


class LatencyRule(ConditionRule):
    """95th percentile of the venue's answers in a window: one slow answer is no trend."""

    threshold: Level = Field(2, description="seconds; above it entries are held back")
    release: Level = Field(1.5, description="seconds; at or below it counts as clean")
    window_seconds: int = Field(120, ge=1, le=3600)
    least_answers: int = Field(20, ge=1, le=1000, description="of fewer no percentile is taken")


class SilenceRule(ConditionRule):
    """Questions in a row that the venue left without an answer."""

    threshold: Level = Field(4, description="questions; above it entries are held back")
    release: Level = Field(0, description="questions; at or below it counts as clean")


class SkewRule(ConditionRule):
    """How far our clock and others' are apart."""

    threshold: Level = Field(2, description="seconds; above it entries are held back")
    release: Level = Field(1, description="seconds; at or below it counts as clean")


class CorrelationRule(ConditionRule):
    """Mean correlation of all pairs held, weighted by value; that of an entry with each holding stands under risk."""

    threshold: Level = Field(0.7, description="ρ; above it entries are held back")
    release: Level = Field(0.65, description="ρ; at or below it counts as clean")


class TripRule(_Rule):
    """A trip whose limit stands under risk, or is fixed."""


class DailyLossRule(TripRule):
    """The limit is risk.daily_loss_fraction; from its share daily_loss_block_share on only exits leave that session."""

    flattens: bool = Field(True, description="true: positions are closed as well")


class DrawdownRule(TripRule):
    """How far equity may fall from its highest value of the session."""

    threshold_fraction: Decimal = Field(Decimal("0.03"), gt=0, le=1, description="of the session's peak")
    flattens: bool = Field(True, description="true: positions are closed as well")


class DifferenceRule(TripRule):
    """How long a difference between record and venue may last; its symbol is blocked from the beginning."""

    lasting_seconds: int = Field(300, ge=5, le=86_400, description="longer is a trip")


class BreakerRules(_Rules):
    """When trading stops by itself. The limits on the daily loss and on failures in a row stand under risk."""

    clean_seconds: int = Field(60, ge=1, le=3600, description="a condition ends after that long without its cause")
    cooldown_minutes: int = Field(30, ge=0, le=1440, description="no resume sooner after a trip or a kill")
    stale_data: StaleDataRule = StaleDataRule()
    latency: LatencyRule = LatencyRule()
    venue_silent: SilenceRule = SilenceRule()
    clock_skew: SkewRule = SkewRule()
    correlation: CorrelationRule = CorrelationRule()
    daily_loss: DailyLossRule = DailyLossRule()
    drawdown: DrawdownRule = DrawdownRule()
    error_streak: TripRule = Field(TripRule(), description="limit: risk.reject_streak_to_reduce")
    reconciliation: DifferenceRule = DifferenceRule()
    orders_vs_intents: TripRule = Field(TripRule(), description="orders out against decisions on record")

    def of(self, trigger: Trigger) -> ConditionRule:
        """The rule of a condition."""
        rules: dict[Trigger, ConditionRule] = {
            Trigger.STALE_DATA: self.stale_data, Trigger.LATENCY: self.latency,
            Trigger.VENUE_SILENT: self.venue_silent, Trigger.CLOCK_SKEW: self.clock_skew,
            Trigger.CORRELATION: self.correlation,
        }  # fmt: skip
        return rules[trigger]

    @property
    def cooldown(self) -> timedelta:
        """How long after a trip nobody resumes."""
        return timedelta(minutes=self.cooldown_minutes)
