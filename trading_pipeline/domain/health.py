"""How well the pipeline is: what is looked at, from which value on it is a warning or a failure, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Edge = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"a warning comes before a failure: {pair[0]} must not be above {pair[1]}")
    return pair


def _falling(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < pair[1]:
        raise ValueError(f"a warning comes before a failure: {pair[0]} must not be below {pair[1]}")
    return pair


Above = Annotated[tuple[Edge, Edge], AfterValidator(_rising)]
Below = Annotated[tuple[Edge, Edge], AfterValidator(_falling)]


class HealthRules(BaseModel):
    """Thresholds as pairs: from the first on a warning, from the second on a failure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_seconds: float = Field(5.0, ge=0.1, le=300, description="how often `health serve` looks")
    heartbeat_seconds: Above = Field((10.0, 20.0), description="in session: the loop's last sign of life")
    feed_age_seconds: Above = Field((90.0, 300.0), description="in session: the newest bar; one base bar is added")
    screening_age_minutes: Above = Field((40.0, 75.0), description="in session: the newest regime and screen")
    watchlist_age_minutes: Above = Field((20.0, 40.0), description="in session: the newest watchlist")
    reconcile_age_seconds: Above = Field((90.0, 300.0), description="in session: record and venue compared")
    unsent_seconds: Above = Field((30.0, 120.0), description="in session: the oldest order that waits to leave")
    clock_skew_seconds: Above = Field((1.0, 2.0), description="between the broker's clock and ours, either way")
    errors_per_hour: Above = Field((1.0, 10.0), description="alarms of level ERROR and above, and lines in the log")
    open_risk_share: Above = Field((0.8, 1.0), description="of max_open_risk_fraction; above the second: a failure")
    disk_free_gigabytes: Below = Field((5.0, 1.0), description="where the home is")


class Level(StrEnum):
    """How one thing stands. What cannot be known is a warning that says so."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"

    @property
    def severity(self) -> int:
        """0, 1, 2."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. measured: the value by name and unit, as in `age_seconds`; None where nobody knows.

    says: the value in words. threshold: from where on it is worse, in words. advice: what to do, when it is not ok.
    """

    name: str
    level: Level
    says: str
    threshold: str = ""
    advice: str = ""
    measured: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Everything looked at, in the order it is shown."""

    at: datetime
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """That of the worst finding."""
        return max((one.level for one in self.findings), key=lambda level: level.severity, default=Level.OK)

    def find(self, name: str) -> Finding:
        """The finding of that name; raises KeyError."""
        return {one.name: one for one in self.findings}[name]


def ago(seconds: float) -> str:
    """An age in words: 12 s ago, 3 min ago, 2.5 h ago, 4 days ago; one of the future says so."""
    if seconds <= -0.5:
        return f"{-seconds:.0f} s in the future"
    seconds = max(seconds, 0.0)  # read a moment before it was written
    for unit, length, most in (("s", 1, 120), ("min", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{seconds / length:.0f} {unit} ago" if unit != "h" else f"{seconds / length:.1f} h ago"
    return f"{seconds / 86_400:.0f} days ago"


def rated(value: float, edges: tuple[float, float]) -> Level:
    """Above the second edge a failure, above the first a warning."""
    if value > edges[1]:
        return Level.FAIL
    return Level.WARN if value > edges[0] else Level.OK


def rated_low(value: float, edges: tuple[float, float]) -> Level:
    """Below the second edge a failure, below the first a warning."""
    if value < edges[1]:
        return Level.FAIL
    return Level.WARN if value < edges[0] else Level.OK
