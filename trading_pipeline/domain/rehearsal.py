"""A rehearsal in figures: what was done to it, what the venue saw, and what must have held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueEye:
    """What the venue saw of its client: longest gap in protection (seconds), every gap in words, faults it played."""

    longest_gap_seconds: float
    gaps: tuple[str, ...]
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must hold, whether it did, and what was measured."""

    name: str
    holds: bool
    measured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedSession:
    """A session in figures. orders: those the venue took. alarms: more than information."""

    session: date
    phase: str
    orders: int
    fills: int
    trades: int
    net_usd: Decimal
    alarms: int
    kills: int
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All of a rehearsal: clean when every check holds."""

    broker: str
    account: str
    sessions: tuple[RehearsedSession, ...]
    checks: tuple[Check, ...]
    faults: Mapping[str, int]
    alarms: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """True when every check holds."""
        return all(check.holds for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbances:
    """What was done to the loop of one session: kills, and how often it was started again."""

    kills: int = 0
    restarts: int = 0
