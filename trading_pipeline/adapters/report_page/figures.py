"""How figures read on the page: one function per kind of number, so that the template only places them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from trading_pipeline.domain.reports import STAGES, Funnel

Number = Decimal | float | int
EXCHANGE = ZoneInfo("America/New_York")
NOTHING = "–"
MINUS = "\u2212"


def usd(value: Number | None, *, signed: bool = False) -> str:
    """Dollars and cents."""
    return NOTHING if value is None else _minus(f"{value:+,.2f}" if signed and value else f"{value:,.2f}")


def signed_usd(value: Number | None) -> str:
    """Dollars and cents with the sign in front."""
    return usd(value, signed=True)


def price(value: Number | None) -> str:
    """USD per share, with sub-penny digits only when there are any."""
    if value is None:
        return NOTHING
    text = f"{value:,.4f}"
    return text.removesuffix("00")


def shares(value: Number) -> str:
    """Whole shares."""
    return f"{value:,.0f}"


def percent(value: Number | None, *, signed: bool = False) -> str:
    """A fraction in percent."""
    return NOTHING if value is None else _minus(f"{value:+.2%}" if signed and value else f"{value:.2%}")


def signed_percent(value: Number | None) -> str:
    """A fraction in percent with the sign in front."""
    return percent(value, signed=True)


def rate(value: Number | None) -> str:
    """A win rate."""
    return NOTHING if value is None else f"{value:.0%}"


def multiple(value: Number | None) -> str:
    """A multiple of R, signed."""
    return NOTHING if value is None else _minus(f"{value:+.2f} R")


def ratio(value: Number | None) -> str:
    """A plain ratio."""
    return NOTHING if value is None else _minus(f"{value:.2f}")


def clock(at: datetime) -> str:
    """Exchange time of day."""
    return f"{at.astimezone(EXCHANGE):%H:%M}"


def tone(value: Number | None) -> str:
    """The class of a gain or a loss; empty for zero and for nothing."""
    return "" if not value else ("gain" if value > 0 else "loss")


def words(name: str) -> str:
    """A stored name as words."""
    return name.replace("_", " ").replace(":", ": ").replace("+", ", ")


def r_bar(value: Number | None, largest: Number) -> tuple[float, float]:
    """Left edge and width (%) of a bar that grows from the middle; `largest` fills its half, nothing has no width."""
    if value is None:
        return 50.0, 0.0
    half = 50.0 * min(abs(float(value)) / float(largest), 1.0) if largest else 0.0
    return (50.0 - half if value < 0 else 50.0), half


def funnel_rows(funnel: Funnel) -> list[tuple[str, int, float, list[tuple[str, int]]]]:
    """Per stage: name, symbols, share of the first stage (%), and why symbols ended there."""
    whole = max(funnel.counts[STAGES[0]], 1)
    return [
        (
            stage,
            count,
            round(100.0 * count / whole, 2),
            [(reason.removeprefix(f"{stage}:"), number) for reason, number in funnel.reasons(stage).items()],
        )
        for stage, count in funnel.counts.items()
    ]


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
