"""What a higher mode asks for, as data, and how evidence is held against it. Small samples fail, however good."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trading_pipeline.domain.errors import InputError
from trading_pipeline.domain.mode_gate import GateItem
from trading_pipeline.domain.modes import ChangeKind, Rung, least_equity_usd
from trading_pipeline.domain.money import plain
from trading_pipeline.domain.risk_book import Mode

SESSIONS_PER_YEAR = 252
Z95 = 1.959963984540054
"""Of the standard normal distribution: 95 % lie within this many deviations of the mean."""

STATEMENTS: Mapping[str, str] = {
    "stops_verified": "a protective stop was seen at the broker, and seen to fill",
    "emergency_stop_tested": "`kill --flatten` was tried, before the sessions that count; the broker showed it flat",
    "alerts_received": "a CRITICAL alert arrived on every channel (`alerts test`)",
    "backup_restored": "the newest backup was restored into another folder (`db restore`), and read",
    "results_match_broker": "net P&L of every session was compared with the broker's statement",
    "simulation_compared": "the same sessions were simulated (`session replay --dry-run`), and differences explained",
    "correlation_reviewed": "correlation among holdings, and of results with the market, was looked at",
}
"""What only a person can say, by name; the requester says it under that name, and approvers vouch for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What the record of the mode below must show. None and zero ask for nothing."""

    min_sessions: int
    min_trades: int = 0
    min_win_rate: float | None = None
    min_sharpe: float | None = None
    max_drawdown_fraction: float | None = None
    profit: bool = False
    statements: tuple[str, ...] = ()


EVIDENCE: Mapping[Mode, Thresholds] = {
    Mode.PAPER: Thresholds(min_sessions=1),
    Mode.LIVE_MINIMAL: Thresholds(
        min_sessions=10, min_trades=20, min_win_rate=0.45, min_sharpe=0.5, max_drawdown_fraction=0.15,
        statements=(
            "stops_verified", "emergency_stop_tested", "alerts_received", "backup_restored", "results_match_broker",
            "simulation_compared",
        ),
    ),
    Mode.LIVE_SCALED: Thresholds(
        min_sessions=7, min_trades=20, min_win_rate=0.45, min_sharpe=0.5, max_drawdown_fraction=0.15, profit=True,
        statements=("results_match_broker", "correlation_reviewed"),
    ),
}  # fmt: skip
"""By the mode asked for; every step of LIVE_SCALED, and every symbol more, asks for the same again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a record shows of the time since the mode was entered.

    sessions: closed, begun since; daily_returns: fractions of those, without money put in or taken out; wins, losses:
    of whole trades entered since, by net P&L (break-even is neither); net_usd: of them; drawdown_fraction: deepest fall
    of equity from a peak, ≥ 0; breaches: kinds of limit breaches with their session; equity_usd: of the account the
    mode is for, None when unknown. not_reconciled, self_test_failed, held_back: what is wrong, empty when nothing is.
    simulated: fills of those sessions that our own simulator made. elsewhere: sessions of a live rung that were left
    aside, being under other settings than those of now.
    """

    sessions: int
    trades: int
    wins: int
    losses: int
    net_usd: Decimal
    daily_returns: tuple[float, ...]
    sharpe: float
    drawdown_fraction: float
    breaches: tuple[str, ...]
    equity_usd: Decimal | None
    not_reconciled: str = ""
    self_test_failed: str = ""
    held_back: str = ""
    cooldown_until: datetime | None = None
    simulated: int = 0
    elsewhere: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for, and what the requester says in person. min_notional_usd: of the smallest order."""

    kind: ChangeKind
    rung: Rung
    at: datetime
    config_hash: str
    min_notional_usd: Decimal
    statements: frozenset[str] = frozenset()
    said_by: str = ""

    def __post_init__(self) -> None:
        """Raises InputError for a statement that does not exist."""
        unknown = sorted(self.statements - STATEMENTS.keys())
        if unknown:
            raise InputError(f"nobody can state {', '.join(unknown)}; there are: {', '.join(STATEMENTS)}")


def judge(wanted: Wanted, found: Evidence) -> tuple[GateItem, ...]:
    """Every condition of what is wanted, met or not, in the order in which they are shown."""
    items = [_configuration(wanted), *_state(wanted, found)]
    if wanted.rung.is_live:
        items.append(_equity(wanted, found))
    if wanted.kind is ChangeKind.RAISE:
        asked = EVIDENCE[wanted.rung.mode]
        if wanted.rung.is_live:
            items.append(_broker(found))
        items += [*_record(asked, found), *(_statement(name, wanted) for name in asked.statements)]
    return tuple(items)


def wilson_interval(wins: int, losses: int) -> tuple[float, float]:
    """95 % interval of a win rate; 0 to 1 without a trade. Source: Wilson (1927), without continuity correction."""
    n = wins + losses
    if n == 0:
        return 0.0, 1.0
    rate, z2 = wins / n, Z95 * Z95
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def sharpe_interval(sharpe: float, sessions: int) -> tuple[float, float]:
    """95 % interval of an annualised Sharpe ratio of daily returns; unbounded with fewer than two.

    Independent, identically distributed returns. Source: Lo, The Statistics of Sharpe Ratios (2002), equation 9.
    """
    if sessions < 2:
        return -math.inf, math.inf
    daily = sharpe / math.sqrt(SESSIONS_PER_YEAR)
    half = Z95 * math.sqrt((1 + daily * daily / 2) / sessions) * math.sqrt(SESSIONS_PER_YEAR)
    return sharpe - half, sharpe + half


def _configuration(wanted: Wanted) -> GateItem:
    return GateItem(
        name="configuration", measured=wanted.config_hash[:12], threshold="valid", passed=bool(wanted.config_hash),
        note="the approval holds for this one alone",
    )  # fmt: skip


def _state(wanted: Wanted, found: Evidence) -> Iterator[GateItem]:
    yield _nothing_wrong("reconciliation", "record and venue agree", found.not_reconciled)
    if wanted.kind is not ChangeKind.RENEW:
        yield _nothing_wrong("self_test", "all controls passed", found.self_test_failed)
    if wanted.kind is ChangeKind.RAISE:
        yield _nothing_wrong("trading_state", "ACTIVE, nothing latched", found.held_back)
    if wanted.kind is ChangeKind.RESUME:
        until = found.cooldown_until
        is_over = until is None or wanted.at >= until
        measured = "over" if is_over or until is None else f"until {until:%Y-%m-%d %H:%M:%S} UTC"
        yield GateItem(name="cooldown", measured=measured, threshold="over", passed=is_over)


def _nothing_wrong(name: str, threshold: str, wrong: str) -> GateItem:
    return GateItem(name=name, measured=wrong or "yes", threshold=threshold, passed=not wrong)


def _equity(wanted: Wanted, found: Evidence) -> GateItem:
    least = least_equity_usd(wanted.rung, wanted.min_notional_usd)
    equity = found.equity_usd
    return GateItem(
        name="equity", measured="unknown" if equity is None else f"{equity:,.2f} USD",
        threshold=f"≥ {plain(least)} USD", passed=equity is not None and equity.is_finite() and equity >= least,
        note="state it with --equity USD; the broker is asked at every start" if equity is None else
        f"{wanted.rung.limits.exposure_fraction:.0%} of it must buy an order of {plain(wanted.min_notional_usd)} USD",
    )  # fmt: skip


def _broker(found: Evidence) -> GateItem:
    return GateItem(
        name="broker", measured=f"{found.simulated} fills by the simulator", threshold="0",
        passed=not found.simulated and found.sessions > 0, sample=found.sessions,
        note="sessions count as traded at the broker: execution.mode paper" if found.simulated else "",
    )  # fmt: skip


def _record(asked: Thresholds, found: Evidence) -> Iterator[GateItem]:
    sessions = _count("sessions", found.sessions, asked.min_sessions)
    yield replace(sessions, note=f"{found.elsewhere} under other settings left aside") if found.elsewhere else sessions
    if asked.min_trades:
        yield _count("closed_trades", found.trades, asked.min_trades)
    if asked.min_win_rate is not None:
        yield _win_rate(asked, found)
    if asked.min_sharpe is not None:
        yield _sharpe(asked, found)
    if asked.max_drawdown_fraction is not None:
        yield _drawdown(asked, asked.max_drawdown_fraction, found)
    if asked.profit:
        yield GateItem(
            name="net_pnl", measured=f"{found.net_usd:,.2f} USD", threshold="> 0 USD", sample=found.trades,
            passed=found.net_usd > 0 and found.trades >= asked.min_trades,
        )  # fmt: skip
    yield GateItem(
        name="limit_breaches", measured=str(len(found.breaches)), threshold="0", sample=found.sessions,
        passed=not found.breaches and found.sessions >= asked.min_sessions, note="; ".join(found.breaches),
    )  # fmt: skip


def _count(name: str, measured: int, least: int) -> GateItem:
    return GateItem(name=name, measured=str(measured), threshold=f"≥ {least}", passed=measured >= least)


def _win_rate(asked: Thresholds, found: Evidence) -> GateItem:
    decided, least = found.wins + found.losses, asked.min_win_rate or 0.0
    low, high = wilson_interval(found.wins, found.losses)
    rate = found.wins / decided if decided else None
    return GateItem(
        name="win_rate", measured="none" if rate is None else f"{rate:.1%}", threshold=f"≥ {least:.0%}",
        passed=rate is not None and rate >= least and decided >= asked.min_trades, sample=decided,
        interval=f"{low:.1%} to {high:.1%}" if decided else "",
        note=_too_few(decided, asked.min_trades, "decided trades") or _by_chance(low, least),
    )  # fmt: skip


def _sharpe(asked: Thresholds, found: Evidence) -> GateItem:
    days, least = len(found.daily_returns), asked.min_sharpe or 0.0
    low, high = sharpe_interval(found.sharpe, days)
    return GateItem(
        name="sharpe", measured=f"{found.sharpe:.2f}", threshold=f"≥ {least:g}", sample=days,
        passed=math.isfinite(found.sharpe) and found.sharpe >= least and days >= asked.min_sessions,
        interval=f"{low:.2f} to {high:.2f}" if math.isfinite(low) else "",
        note=_too_few(days, asked.min_sessions, "sessions") or _by_chance(low, least),
    )  # fmt: skip


def _drawdown(asked: Thresholds, most: float, found: Evidence) -> GateItem:
    return GateItem(
        name="max_drawdown", measured=f"{found.drawdown_fraction:.2%}", threshold=f"≤ {most:.0%}",
        passed=found.drawdown_fraction <= most and found.sessions >= asked.min_sessions, sample=found.sessions,
        note=_too_few(found.sessions, asked.min_sessions, "sessions"),
    )  # fmt: skip


def _too_few(sample: int, least: int, what: str) -> str:
    return f"too few {what}: {sample} of {least}" if sample < least else ""


def _by_chance(low: float, least: float) -> str:
    return "the interval reaches below the threshold: it may be chance" if low < least else ""


def _statement(name: str, wanted: Wanted) -> GateItem:
    is_said = name in wanted.statements
    return GateItem(
        name=name, measured=f"stated by {wanted.said_by}" if is_said else "not stated", threshold="stated in person",
        passed=is_said, note=STATEMENTS[name] if is_said else f"{STATEMENTS[name]}: --state {name}",
    )  # fmt: skip
