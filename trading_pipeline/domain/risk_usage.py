"""How much of each limit a book has used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.risk_book import RiskBook
from trading_pipeline.domain.risk_counts import positions_allowed
from trading_pipeline.domain.risk_limits import RiskLimits
from trading_pipeline.domain.risk_measure import daily_loss_limits, lost_today, open_risk_of, value_of
from trading_pipeline.domain.risk_sizes import sector_of


@dataclass(frozen=True, slots=True)
class Usage:
    """One limit and what is used of it, both in USD or both counted. `of` names the symbol or sector meant."""

    name: str
    limit: Decimal
    used: Decimal
    of: str = ""

    @property
    def fraction(self) -> Decimal:
        """Used over limit; 1 is full. A limit of zero or less is full."""
        return self.used / self.limit if self.limit > 0 else Decimal(1)


def usages(book: RiskBook, limits: RiskLimits) -> tuple[Usage, ...]:
    """Every limit that fills up, as the checks measure it; per sector, and the fullest symbol where one is meant.

    Amounts in USD of the book's equity; counts as numbers. The fullest is what binds next.
    """
    return (*_amounts(book, limits), *_sectors(book, limits), *_counts(book, limits))


def _amounts(book: RiskBook, limits: RiskLimits) -> Iterator[Usage]:
    equity = book.equity_usd
    risk = sum((open_risk_of(held) for held in book.exposures), ZERO)
    yield Usage("max_open_risk_fraction", equity * limits.max_open_risk_fraction, risk)
    yield Usage("max_total_exposure_fraction", equity * limits.max_total_exposure_fraction, value_of(book.exposures))
    power = equity * limits.buying_power_multiple
    spendable = power - equity * limits.buying_power_reserve_fraction
    yield Usage("buying_power_reserve_fraction", spendable, power - book.buying_power_usd)
    blocks_at, _ = daily_loss_limits(
        book.prior_close_equity_usd, limits.daily_loss_fraction, limits.daily_loss_block_share
    )
    yield Usage("daily_loss_fraction", blocks_at, max(ZERO, lost_today(book)))
    if book.exposures:
        yield _fullest_position(book, limits)


def _fullest_position(book: RiskBook, limits: RiskLimits) -> Usage:
    worth = {held.symbol: ZERO for held in book.exposures}
    for held in book.exposures:
        worth[held.symbol] += value_of([held])
    symbol = max(sorted(worth), key=lambda name: worth[name])
    limit = book.equity_usd * limits.max_position_notional_fraction
    return Usage("max_position_notional_fraction", limit, worth[symbol], symbol)


def _sectors(book: RiskBook, limits: RiskLimits) -> Iterator[Usage]:
    if limits.max_sector_exposure_fraction is None:
        return
    sectors = {held.symbol: sector_of(book.facts_of(held.symbol)) for held in book.exposures}
    for sector in sorted(set(sectors.values())):
        used = value_of(held for held in book.exposures if sectors[held.symbol] == sector)
        limit = book.equity_usd * limits.max_sector_exposure_fraction
        yield Usage("max_sector_exposure_fraction", limit, used, sector)


def _counts(book: RiskBook, limits: RiskLimits) -> Iterator[Usage]:
    allowed, name = positions_allowed(book, limits)
    yield Usage(name, Decimal(allowed), Decimal(len({held.symbol for held in book.exposures})))
    yield Usage("max_orders_per_day", Decimal(limits.max_orders_per_day), Decimal(book.orders_today))
    for name, by_symbol in (
        ("max_orders_per_symbol_per_day", book.orders_today_by_symbol),
        ("max_entries_per_symbol_per_session", book.entries_today_by_symbol),
    ):
        symbol = max(sorted(by_symbol), key=lambda one: by_symbol[one], default="")
        yield Usage(name, Decimal(getattr(limits, name)), Decimal(by_symbol.get(symbol, 0)), symbol)
