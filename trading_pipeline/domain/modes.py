"""The ladder of modes as data: the limits of each rung, which rung comes next, where an account stands.

A rung is climbed with evidence and people's approval, one at a time; downwards anybody may go, at once. An emergency
stop leaves the account on its rung and lets nothing be entered until people approve that it goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.risk_limits import RiskLimits

EMERGENCY_STOP = "EMERGENCY_STOP"
LIVE = frozenset({Mode.LIVE_MINIMAL, Mode.LIVE_SCALED})
"""Modes in which real money is at stake."""


class ModeRules(BaseModel):
    """How modes are approved, and what holds right after one was entered. The ladder itself cannot be configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approvers: Literal[1, 2] = Field(
        1, description="distinct people who approve PAPER, LIVE_MINIMAL and going on after a stop; LIVE_SCALED takes 2"
    )
    requester_may_approve: bool = Field(True, description="false: whoever asked is none of the approvers")
    approval_hours: int = Field(24, ge=1, le=168, description="a request and its approvals are void after that")
    password_attempts: int = Field(5, ge=1, le=20, description="wrong passwords until an operator has to wait")
    password_wait_minutes: int = Field(15, ge=1, le=1440, description="how long")
    watch_hours: int = Field(24, ge=1, le=168, description="tightened alerts after a start or a rise")
    first_trades: int = Field(5, ge=5, le=100, description="trades after a rise to a live mode at reduced size")
    first_trades_size_fraction: Decimal = Field(Decimal("0.25"), gt=0, le=Decimal("0.25"), description="of the size")

    @property
    def lasting(self) -> timedelta:
        """How long a request and its approvals are good."""
        return timedelta(hours=self.approval_hours)

    def approvers_for(self, mode: Mode) -> int:
        """How many distinct people it takes."""
        return 2 if mode is Mode.LIVE_SCALED else self.approvers


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeLimits:
    """What a rung allows at most; fractions of equity. symbols: held or being entered at once, None for any number."""

    trade_risk_fraction: Decimal
    exposure_fraction: Decimal
    daily_loss_fraction: Decimal
    symbols: int | None = None


def _limits(risk: str, exposure: str, daily_loss: str, symbols: int | None = None) -> ModeLimits:
    return ModeLimits(
        trade_risk_fraction=Decimal(risk), exposure_fraction=Decimal(exposure),
        daily_loss_fraction=Decimal(daily_loss), symbols=symbols,
    )  # fmt: skip


LADDER: Mapping[Mode, tuple[ModeLimits, ...]] = {
    Mode.SIMULATION: (_limits("0.01", "0.80", "0.02"),),
    Mode.PAPER: (_limits("0.005", "0.20", "0.02"),),
    Mode.LIVE_MINIMAL: (_limits("0.001", "0.02", "0.01", 2),),
    Mode.LIVE_SCALED: (
        _limits("0.0025", "0.05", "0.02", 2),
        _limits("0.005", "0.05", "0.02", 2),
        _limits("0.01", "0.10", "0.02", 2),
    ),
}
"""Limits of each mode, upwards, one line per step. In LIVE_SCALED symbols are added one approval at a time."""
MOST_SYMBOLS = 100


@dataclass(frozen=True, slots=True)
class Rung:
    """A place on the ladder. step, symbols: of LIVE_SCALED; elsewhere 1 and what the mode says."""

    mode: Mode
    step: int = 1
    symbols: int | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a rung that the ladder does not have."""
        steps = LADDER[self.mode]
        if not 1 <= self.step <= len(steps):
            raise InputError(f"{self.mode.value} has the steps 1 to {len(steps)}, not {self.step}")
        least = steps[self.step - 1].symbols
        if self.symbols is None:
            object.__setattr__(self, "symbols", least)
        elif self.mode is not Mode.LIVE_SCALED and self.symbols != least:
            raise InputError(f"{self.mode.value} fixes how many symbols there are: they are added in LIVE_SCALED only")
        elif self.symbols < (least or 1) or self.symbols > MOST_SYMBOLS:
            raise InputError(f"{self.symbols} symbols: LIVE_SCALED has {least} to {MOST_SYMBOLS}")

    @property
    def limits(self) -> ModeLimits:
        """What it allows at most."""
        return replace(LADDER[self.mode][self.step - 1], symbols=self.symbols)

    @property
    def is_live(self) -> bool:
        """True when real money is at stake."""
        return self.mode in LIVE

    def __str__(self) -> str:
        return f"{self.mode.value} step {self.step}, {self.symbols} symbols" if self._scales else self.mode.value

    @property
    def _scales(self) -> bool:
        return self.mode is Mode.LIVE_SCALED

    @property
    def place(self) -> tuple[int, int, int]:
        """Mode, step and symbols as numbers; what is larger in any of them is more."""
        return tuple(Mode).index(self.mode), self.step, self.symbols or 0


def rises(before: Rung, after: Rung) -> bool:
    """True when anything is allowed after that was not before: a higher mode, or in the same more risk or symbols."""
    if before.mode is not after.mode:
        return after.place[0] > before.place[0]
    return any(now > then for then, now in zip(before.place, after.place, strict=True))


def next_rungs(rung: Rung) -> tuple[Rung, ...]:
    """The rungs that may be asked for from here: the next mode; in LIVE_SCALED the next step, or one symbol more."""
    if rung.mode is Mode.LIVE_SCALED:
        return tuple(_scaled(rung))
    modes = tuple(Mode)
    return (Rung(modes[modes.index(rung.mode) + 1]),)


def _scaled(rung: Rung) -> Iterator[Rung]:
    if rung.step < len(LADDER[rung.mode]):
        yield replace(rung, step=rung.step + 1)
    if (rung.symbols or 0) < MOST_SYMBOLS:
        yield replace(rung, symbols=(rung.symbols or 0) + 1)


def one_below(rung: Rung) -> Rung:
    """The rung to fall to: a step down in LIVE_SCALED, else the mode beneath; SIMULATION stays."""
    if rung.step > 1:
        return replace(rung, step=rung.step - 1)
    modes = tuple(Mode)
    return Rung(modes[max(0, modes.index(rung.mode) - 1)])


def limits_in_force(limits: RiskLimits, rung: Rung) -> RiskLimits:
    """The stricter of configuration and rung, limit by limit."""
    of_mode = rung.limits
    exposure = min(limits.max_total_exposure_fraction, of_mode.exposure_fraction)
    positions = limits.max_open_positions
    return RiskLimits.model_validate({
        **dict(limits),
        "max_trade_risk_fraction": min(limits.max_trade_risk_fraction, of_mode.trade_risk_fraction),
        "max_total_exposure_fraction": exposure,
        "max_position_notional_fraction": min(limits.max_position_notional_fraction, exposure),
        "daily_loss_fraction": min(limits.daily_loss_fraction, of_mode.daily_loss_fraction),
        "max_open_positions": min(positions, of_mode.symbols or positions),
    })  # fmt: skip


def limits_hash(limits: RiskLimits, rung: Rung) -> str:
    """SHA-256 of the limits in force on a rung, however their numbers were written."""
    values = {name: _plain(value) for name, value in limits_in_force(limits, rung)}
    return content_hash({**values, "rung": str(rung)})


def content_hash(document: Mapping[str, object]) -> str:
    """SHA-256 of a document of texts, numbers, lists and documents, whatever the order of its names."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return format(Decimal(str(value)).normalize(), "f")
    return value


def least_equity_usd(rung: Rung, min_notional_usd: Decimal) -> Decimal:
    """The equity whose allowed exposure just buys the smallest order ($5,000 for $100 in LIVE_MINIMAL)."""
    return min_notional_usd / rung.limits.exposure_fraction


class ChangeKind(StrEnum):
    """How a mode changes. Upwards, and going on, needs approval; the other two need none."""

    RAISE = "raise"
    RENEW = "renew"
    RESUME = "resume"
    LOWER = "lower"
    STOP = "stop"

    @property
    def needs_approval(self) -> bool:
        """RENEW: the same rung under another configuration."""
        return self in {ChangeKind.RAISE, ChangeKind.RENEW, ChangeKind.RESUME}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeState:
    """Where an account stands. While it is stopped, mode, step and symbols are those it goes on with.

    entered_at: since when, evidence counts from here; None for an account whose mode was never changed.
    config_hash, limits_hash: what was approved with it; empty after a change that took no approval.
    """

    account: str
    mode: Mode = Mode.SIMULATION
    step: int = 1
    symbols: int | None = None
    is_stopped: bool = False
    entered_at: datetime | None = None
    change_id: str = ""
    config_hash: str = ""
    limits_hash: str = ""

    @property
    def rung(self) -> Rung:
        """The place on the ladder, stopped or not."""
        return Rung(self.mode, self.step, self.symbols)

    @property
    def name(self) -> str:
        """The mode in force, for people."""
        return EMERGENCY_STOP if self.is_stopped else str(self.rung)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChange:
    """One change of an account's mode: from where to where, when, why, by whom, and on whose word.

    actor: the operator, or the rule that acted by itself. approvals: ids of those used up by it.
    """

    change_id: str
    account: str
    at: datetime
    kind: ChangeKind
    from_mode: Mode
    from_step: int
    from_symbols: int | None
    from_stopped: bool
    mode: Mode
    step: int
    symbols: int | None
    is_stopped: bool
    reason: str
    actor: str
    request_id: str = ""
    report_id: str = ""
    approvals: tuple[str, ...] = ()
    config_hash: str = ""
    limits_hash: str = ""

    @property
    def before(self) -> Rung:
        """The rung it left."""
        return Rung(self.from_mode, self.from_step, self.from_symbols)

    @property
    def after(self) -> Rung:
        """The rung it led to."""
        return Rung(self.mode, self.step, self.symbols)

    @property
    def state(self) -> ModeState:
        """Where it left the account."""
        return ModeState(
            account=self.account, mode=self.mode, step=self.step, symbols=self.symbols, is_stopped=self.is_stopped,
            entered_at=self.at, change_id=self.change_id, config_hash=self.config_hash, limits_hash=self.limits_hash,
        )  # fmt: skip
