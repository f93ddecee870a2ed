"""Limits that a book has drifted above: prices moved or others traded, and no check of an entry was asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.risk_book import Exposure, SymbolFacts
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_measure import open_risk_of, value_of
from trading_pipeline.domain.risk_sizes import sector_of
from trading_pipeline.domain.risk_usage import Usage

TOLD_ABOVE = Decimal("1.05")
"""Share of a limit above which it is told: an entry that was cut to a limit is beyond it with the next uptick."""


def standing(
    exposures: Sequence[Exposure], equity_usd: Decimal, limits: RiskLimits, facts: Mapping[str, SymbolFacts]
) -> tuple[Usage, ...]:
    """What positions and working entries use of each limit that can be drifted above, its fullest symbol or sector."""
    total = Usage(
        "max_total_exposure_fraction", equity_usd * limits.max_total_exposure_fraction, value_of(exposures)
    )  # fmt: skip
    risk = sum((open_risk_of(held) for held in exposures), ZERO)
    at_risk = Usage("max_open_risk_fraction", equity_usd * limits.max_open_risk_fraction, risk)
    count = Usage(
        "max_open_positions", Decimal(limits.max_open_positions), Decimal(len({held.symbol for held in exposures}))
    )
    return (total, at_risk, count, *_fullest_ones(exposures, equity_usd, limits, facts))


def _fullest_ones(
    exposures: Sequence[Exposure], equity_usd: Decimal, limits: RiskLimits, facts: Mapping[str, SymbolFacts]
) -> Iterator[Usage]:
    worth = _sums((held.symbol, held) for held in exposures)
    yield _fullest("max_position_notional_fraction", equity_usd * limits.max_position_notional_fraction, worth)
    if limits.max_sector_exposure_fraction is not None:
        known = {held.symbol: facts.get(held.symbol) or SymbolFacts(symbol=held.symbol) for held in exposures}
        sectors = _sums((sector_of(known[held.symbol]), held) for held in exposures)
        yield _fullest("max_sector_exposure_fraction", equity_usd * limits.max_sector_exposure_fraction, sectors)


def _sums(named: Iterable[tuple[str, Exposure]]) -> dict[str, Decimal]:
    worth: dict[str, Decimal] = {}
    for name, held in named:
        worth[name] = worth.get(name, ZERO) + value_of([held])
    return worth


def _fullest(name: str, limit: Decimal, worth: Mapping[str, Decimal]) -> Usage:
    of = max(sorted(worth), key=lambda one: worth[one], default="")
    return Usage(name, limit, worth.get(of, ZERO), of)


def is_drifted(usage: Usage) -> bool:
    """True when it is to be told; a limit of zero or less is only drifted above by what is held."""
    return usage.used > max(usage.limit, ZERO) * TOLD_ABOVE


def is_within(usage: Usage) -> bool:
    """True when nothing is above the limit any more."""
    return usage.used <= max(usage.limit, ZERO)
