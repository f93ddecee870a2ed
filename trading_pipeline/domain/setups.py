"""From scored setup to trade plan: what was seen, and what we mean to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One symbol scored by SABR20 at one instant. Frame side: float64, prices in USD per share as of the session.

    A target signal (source other than sabr20) has no target price; its `details` hold the strength.
    """

    setup_id: str
    snapshot_id: str
    symbol: str
    session: date
    as_of: datetime
    score: float
    grade: str
    state: str
    phase: str
    reward_risk: float
    entry: float
    stop: float
    target: float | None
    lowest_low: float
    lower_band: float
    atr: float
    atr_mean: float
    rank: int
    selected: bool
    components: dict[str, float] = field(default_factory=dict)
    details: dict[str, float | str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSnapshot:
    """All setups scored at one instant; immutable. `as_of` is the close of a T1 bar (aware UTC).

    source: sabr20 for a watchlist, else the name of the provider of target signals.
    """

    snapshot_id: str
    session: date
    as_of: datetime
    code_version: str
    config_hash: str
    input_hash: str
    scored: int
    selected: int
    created_at: datetime
    run_id: str = ""
    changes: dict[str, list[str]] = field(default_factory=dict)
    source: str = "sabr20"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeSnapshot:
    """Market regime at one instant: the class, the favorability score 0–100, and what follows from it."""

    regime_id: str
    session: date
    as_of: datetime
    regime_class: str
    score: float
    size_multiplier: float
    positions_allowed: int
    only_a_plus: bool
    missing: tuple[str, ...]
    parts: dict[str, float]
    details: dict[str, object]
    code_version: str
    config_hash: str
    input_hash: str
    created_at: datetime
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradePlan:
    """What we would do with a setup: prices on the tick, size before the risk decision.

    entry, stop, target: USD per share. risk_per_share: entry − initial stop, for the whole life of the trade.
    quantity: whole shares after regime and volatility multiplier and caps; `size_bound_by` names the cap that bound.
    """

    plan_id: str
    setup_id: str
    snapshot_id: str
    account: str
    strategy: str
    session: date
    symbol: str
    as_of: datetime
    planned_at: datetime
    entry: Decimal
    stop: Decimal
    target: Decimal | None
    risk_per_share: Decimal
    reward_risk: Decimal
    multiplier: Decimal
    quantity: Decimal
    size_bound_by: str
    entry_reason: str
    expires_at: datetime
