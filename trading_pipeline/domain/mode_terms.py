"""On what terms a session enters positions: its rung of the ladder, how much of its size, and how closely watched.

The terms are noted on record at the loop's instant; every decision composes its limits from them, and a replay from the
same note. What lowers them acts by itself; what raises them is only suggested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile

from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.domain.breaker_rules import BreakerRules, ConditionRule
from trading_pipeline.domain.modes import Rung, limits_in_force
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.risk_book import Mode
from trading_pipeline.domain.risk_limits import RiskLimits

ONE = Decimal(1)
MANY = 10**6
SIMULATION = Rung(Mode.SIMULATION)
NEEDED: Mapping[str, Mode] = {
    "simulation": Mode.SIMULATION,
    "paper": Mode.PAPER,
    "live": Mode.LIVE_MINIMAL,
}
"""The lowest rung that execution.mode needs before anything may be entered."""


class WatchRules(BaseModel):
    """What lowers an account's mode or risk by itself, and how much closer a watched one is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    watched_factor: Decimal = Field(
        Decimal("0.5"), gt=0, le=1, description="of the breaker's thresholds while a mode is watched"
    )
    halve_streak: int = Field(3, ge=2, le=50, description="losing trades in a row that halve the risk per trade")
    lower_streak: int = Field(6, ge=2, le=50, description="losing trades in a row that take the mode one rung down")
    halve_drawdown_fraction: Decimal = Field(
        Decimal("0.025"), gt=0, le=1, description="below the highest equity in the mode; halves the risk per trade"
    )
    lower_drawdown_fraction: Decimal = Field(
        Decimal("0.05"), gt=0, le=1, description="below the highest equity in the mode; one rung down"
    )
    breach_fraction: Decimal = Field(
        Decimal("1.1"),
        ge=1,
        le=2,
        description="exposure above this part of the mode's limit is a breach: one rung down",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds in a session from some instant on.

    first_fraction, risk_fraction: parts of the rung's size per trade, for its first trades and after losses.
    is_watched: thresholds are tightened. barred_by: why nothing may be entered under this configuration; empty: it may.
    approved_by: id of the change of mode that people approved last; empty when none was.
    """

    rung: Rung = SIMULATION
    first_fraction: Decimal = ONE
    risk_fraction: Decimal = ONE
    is_watched: bool = False
    barred_by: str = ""
    approved_by: str = ""

    @property
    def size_fraction(self) -> Decimal:
        """The part of the rung's size per trade."""
        return self.first_fraction * self.risk_fraction

    @property
    def data(self) -> dict[str, str]:
        """As texts, for a record."""
        return {
            "mode": self.rung.mode.value, "step": str(self.rung.step), "symbols": str(self.rung.symbols or ""),
            "first_fraction": plain(self.first_fraction), "risk_fraction": plain(self.risk_fraction),
            "watched": "yes" if self.is_watched else "no", "barred_by": self.barred_by,
            "approved_by": self.approved_by,
        }  # fmt: skip

    @classmethod
    def of(cls, data: Mapping[str, str]) -> Terms:
        """From the texts of a record."""
        symbols = int(data["symbols"]) if data["symbols"] else None
        return cls(
            rung=Rung(Mode(data["mode"]), int(data["step"]), symbols),
            first_fraction=Decimal(data["first_fraction"]), risk_fraction=Decimal(data["risk_fraction"]),
            is_watched=data["watched"] == "yes", barred_by=data["barred_by"], approved_by=data["approved_by"],
        )  # fmt: skip

    def limits(
        self, limits: RiskLimits, rules: WatchRules, *, equity_usd: Decimal | None = None, is_leveraged: bool = False
    ) -> RiskLimits:
        """The strictest of configuration, rung and these terms, limit by limit.

        equity_usd: of the moment; a reduced size is never below the smallest order, where that is within the limits.
        is_leveraged: in SIMULATION, where nothing is at stake, exposure that was asked for by name is not the ladder's.
        """
        found = limits_in_force(limits, self.rung)
        if is_leveraged and self.rung.mode is Mode.SIMULATION:
            names = ("max_total_exposure_fraction", "max_position_notional_fraction")
            found = found.model_copy(update={name: getattr(limits, name) for name in names})
        if self.size_fraction < 1:
            found = found.model_copy(update=self._reduced(found, equity_usd))
        if self.is_watched:
            share = found.daily_loss_block_share * rules.watched_factor
            found = found.model_copy(update={"daily_loss_block_share": share})
        return found

    def _reduced(self, limits: RiskLimits, equity_usd: Decimal | None) -> dict[str, Decimal]:
        """Risk, value and order: a trade of this part of its size, whichever of them binds."""
        part, least = self.size_fraction, limits.min_notional_usd
        of_equity = least / equity_usd if equity_usd is not None and equity_usd > 0 else Decimal(0)
        notional, order = limits.max_position_notional_fraction, limits.max_order_notional_usd
        return {
            "max_trade_risk_fraction": limits.max_trade_risk_fraction * part,
            "max_position_notional_fraction": min(notional, max(notional * part, of_equity)),
            "max_order_notional_usd": min(order, max(order * part, least)),
        }

    def breaker(self, rules: BreakerRules, watch: WatchRules) -> BreakerRules:
        """The breaker's rules, tightened while the mode is watched."""
        if not self.is_watched:
            return rules
        factor = watch.watched_factor
        drawdown = rules.drawdown.model_copy(
            update={"threshold_fraction": rules.drawdown.threshold_fraction * factor}
        )  # fmt: skip
        names = ("stale_data", "latency", "clock_skew", "correlation")
        tight: dict[str, BaseModel] = {name: _tightened(getattr(rules, name), float(factor)) for name in names}
        return rules.model_copy(update={**tight, "drawdown": drawdown})

    def words(self) -> str:
        """For people, in one line."""
        parts = [str(self.rung)]
        if self.size_fraction < 1:
            parts.append(f"{self.size_fraction * 100:f}".rstrip("0").rstrip(".") + " % of its size")
        if self.is_watched:
            parts.append("watched")
        if self.barred_by:
            parts.append(f"nothing may be entered: {self.barred_by}")
        return "; ".join(parts)


def _tightened(rule: ConditionRule, factor: float) -> ConditionRule:
    return rule.model_copy(update={"threshold": rule.threshold * factor, "release": rule.release * factor})


def allows_less(before: Terms, after: Terms) -> bool:
    """True when an entry that was decided on under `before` could be too much under `after`."""
    then, now = before.rung.limits, after.rung.limits
    return (
        bool(after.barred_by)
        or now.trade_risk_fraction * after.size_fraction < then.trade_risk_fraction * before.size_fraction
        or now.exposure_fraction < then.exposure_fraction
        or (now.symbols or MANY) < (then.symbols or MANY)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an account did since its mode was entered.

    results_usd: net of each closed trade, oldest first. drawdown: from the highest equity in the mode, as a fraction of
    it. exposure_fraction: of equity, now. correlations: how often the portfolio's was too high in this session.
    """

    results_usd: Sequence[Decimal] = ()
    drawdown: Decimal = Decimal(0)
    exposure_fraction: Decimal = Decimal(0)
    correlations: int = 0

    @property
    def streak(self) -> int:
        """Losing trades in a row, up to now."""
        return len(list(takewhile(lambda result: result < 0, reversed(self.results_usd))))


def why_lower(done: Record, rung: Rung, rules: WatchRules) -> str:
    """Why the mode has to go one rung down now, in words; empty when it may stay."""
    if rung.mode is Mode.SIMULATION:
        return ""
    most = rung.limits.exposure_fraction * rules.breach_fraction
    if done.streak >= rules.lower_streak:
        return f"{done.streak} losing trades in a row ({rules.lower_streak} allowed)"
    if done.drawdown >= rules.lower_drawdown_fraction:
        return f"{done.drawdown:.2%} below the highest equity in this mode ({rules.lower_drawdown_fraction:.2%})"
    if done.exposure_fraction > most:
        return f"exposure of {done.exposure_fraction:.2%} of equity breaks the mode's limit ({most:.2%})"
    return ""


def risk_left(done: Record, rules: WatchRules) -> Decimal:
    """The part of the rung's risk per trade that its record leaves: 1, or half of it for each finding.

    It may be more than it was before; who keeps it takes the least until people approve the mode again.
    """
    halved = (
        done.streak >= rules.halve_streak,
        done.drawdown >= rules.halve_drawdown_fraction,
        done.correlations > 0,
    )
    return Decimal("0.5") ** sum(halved)
