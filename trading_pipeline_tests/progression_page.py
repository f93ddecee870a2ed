"""The tables of docs/progression.md, made from the ladder and from what each rung asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from trading_pipeline.domain.gate_rules import EVIDENCE, STATEMENTS, Thresholds
from trading_pipeline.domain.modes import LADDER, ModeLimits, ModeRules
from trading_pipeline.domain.risk_book import Mode

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def tables(table: Table) -> str:
    """The ladder, what each rung asks for, and what a person states."""
    head = ("mode", "risk per trade", "exposure", "daily loss", "symbols", "approvers")
    asked = [(f"`{mode.value}`", *_asked(one)) for mode, one in EVIDENCE.items()]
    names = ("to enter", "sessions", "closed trades", "win rate", "Sharpe", "max drawdown", "net P&L", "limit breaches")
    people = [(f"`{name}`", says, ", ".join(_where(name))) for name, says in STATEMENTS.items()]
    return (
        "## The ladder\n\n" + table(head, [row for mode in Mode for row in _rungs(mode)])
        + "\nAt most; fractions of equity. The strictest of this and `execution.risk` is in force.\n"
        "\n## What a rung asks for\n\n" + table(names, asked)
        + "\nOf the mode below, or, in LIVE_SCALED, of the step before, since it was entered. Besides, for every rung:"
        " a valid configuration, the newest comparison of record and venue clean, the newest self-test passed, trading"
        " ACTIVE with nothing latched; for live rungs enough equity for the smallest order, and no fill by our own"
        " simulator.\n"
        "\n## What a person states\n\n" + table(("name", "what it says", "asked for by"), people)
    )  # fmt: skip


def _rungs(mode: Mode) -> Iterator[tuple[str, ...]]:
    steps = LADDER[mode]
    for number, one in enumerate(steps, start=1):
        name = f"`{mode.value}`" + (f" step {number}" if len(steps) > 1 else "")
        yield name, *_limits(one, mode), str(ModeRules().approvers_for(mode)) if mode is not Mode.SIMULATION else ""


def _limits(one: ModeLimits, mode: Mode) -> tuple[str, ...]:
    symbols = "any" if one.symbols is None else str(one.symbols)
    parts = (one.trade_risk_fraction, one.exposure_fraction, one.daily_loss_fraction)
    more = " and one more per approval" if mode is Mode.LIVE_SCALED else ""
    return (*(f"{float(part * 100):g} %" for part in parts), symbols + more)


def _asked(one: Thresholds) -> tuple[str, ...]:
    def least(value: float | None, text: str) -> str:
        return text if value else ""

    return (
        f"≥ {one.min_sessions}", least(one.min_trades, f"≥ {one.min_trades}"),
        least(one.min_win_rate, f"≥ {one.min_win_rate or 0:.0%}"), least(one.min_sharpe, f"≥ {one.min_sharpe}"),
        least(one.max_drawdown_fraction, f"≤ {one.max_drawdown_fraction or 0:.0%}"), "> 0" if one.profit else "", "0",
    )  # fmt: skip


def _where(name: str) -> Iterator[str]:
    return (mode.value for mode, one in EVIDENCE.items() if name in one.statements)
