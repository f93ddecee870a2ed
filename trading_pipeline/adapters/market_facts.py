"""Facts of symbols from files and stored bars: sectors, earnings dates, correlations, Value at Risk.

Files are read once, when first asked for: one session decides on one state of them. A file that is named but cannot be
used makes every fact unusable, which denies entries and leaves exits alone.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from math import isnan
from pathlib import Path

import pandas as pd

from trading_pipeline.analytics.correlation import daily_returns, pairwise_correlation
from trading_pipeline.analytics.value_at_risk import VAR_SESSIONS, ValueAtRisk, value_at_risk
from trading_pipeline.domain.errors import DataFileError, FrameContractError
from trading_pipeline.domain.market import Timeframe
from trading_pipeline.domain.money import CENT
from trading_pipeline.domain.risk import SymbolFacts
from trading_pipeline.ports import BarStore, TradingCalendar

GICS_SECTORS = (
    "Communication Services", "Consumer Discretionary", "Consumer Staples", "Energy", "Financials", "Health Care",
    "Industrials", "Information Technology", "Materials", "Real Estate", "Utilities",
)  # fmt: skip
HORIZON = timedelta(days=120)
"""Earnings farther away than that are near for nobody; sessions are not counted beyond."""


@dataclass(frozen=True)
class StoredMarketFacts:
    """Facts from a sector map, an earnings calendar and daily bars before the session. Implements MarketFacts."""

    store: BarStore
    calendar: TradingCalendar
    sector_file: Path | None = None
    earnings_file: Path | None = None
    correlation_sessions: int = 60
    _returns: dict[tuple[date, int], pd.DataFrame] = field(default_factory=dict)

    def facts(
        self,
        symbols: Iterable[str],
        held: Iterable[str],
        session: date,
        now: datetime,  # noqa: ARG002 - no source knows of halts yet
    ) -> Mapping[str, SymbolFacts]:
        """Facts of each of `symbols`, with its correlation to each of `held`; known before the session began."""
        wanted, others = sorted(set(symbols)), sorted(set(held))
        unusable = [problem for table in (self._sectors, self._earnings) if (problem := table.problem)]
        rho, source = self._correlations(wanted, others, session, unusable)
        return {symbol: self._facts_of(symbol, session, rho.get(symbol, {}), source, unusable) for symbol in wanted}

    def prepare(self, session: date) -> None:
        """Read files and daily returns once, so that later questions of the session are quick."""
        self._correlations(("", "-"), (), session, [self._sectors.problem, self._earnings.problem])

    def value_at_risk_usd(self, values_usd: Mapping[str, Decimal], session: date) -> Decimal | None:
        """Historical 1-day 95 % VaR of such holdings (USD by symbol); None when it is unknown."""
        try:
            at95 = self.value_at_risk(values_usd, session)[0]
        except (DataFileError, FrameContractError):
            return None
        return None if pd.isna(at95.usd) else Decimal(repr(at95.usd)).quantize(CENT)

    def value_at_risk(self, values_usd: Mapping[str, Decimal], session: date) -> Sequence[ValueAtRisk]:
        """Historical 1-day VaR at 95 % and 99 % over the 250 sessions before the session."""
        values = {symbol: float(value) for symbol, value in values_usd.items()}
        return value_at_risk(values, self._returns_before(session, VAR_SESSIONS) if values else pd.DataFrame())

    def _facts_of(
        self, symbol: str, session: date, rho: dict[str, float], source: str, unusable: Sequence[str]
    ) -> SymbolFacts:
        dates = self._earnings.rows.get(symbol, [])
        reports_on = next((day for day in dates if day >= session), None)
        return SymbolFacts(
            symbol=symbol, sector=self._sectors.rows.get(symbol, ""), sector_source=self._sectors.source(symbol),
            next_earnings=reports_on, sessions_to_earnings=self._sessions_ahead(session, reports_on),
            earnings_source=self._earnings.source(symbol, is_found=reports_on is not None),
            correlations=rho, correlation_source=source, unusable=tuple(unusable),
        )  # fmt: skip

    def _sessions_ahead(self, session: date, day: date | None) -> int | None:
        """Sessions from `session` to the first on or after the day: 0 when that is the session itself."""
        if day is None:
            return None
        last = min(day, session + HORIZON)
        return len(self.calendar.sessions(session, last)) - self.calendar.is_session(last)

    def _correlations(
        self, symbols: Sequence[str], held: Sequence[str], session: date, unusable: list[str]
    ) -> tuple[dict[str, dict[str, float]], str]:
        window = self.correlation_sessions
        source = f"{window} daily returns before {session}"
        if len({*symbols, *held}) < 2:
            return {}, source
        try:
            returns = self._returns_before(session, window)
        except (DataFileError, FrameContractError) as error:
            unusable.append(f"daily bars: {error}")
            return {}, source
        rho = pairwise_correlation(returns.reindex(columns=sorted({*symbols, *held})), window=window)
        table = rho.reindex(index=list(symbols), columns=list(held)).to_numpy()
        rows = {symbol: zip(held, row.tolist(), strict=True) for symbol, row in zip(symbols, table, strict=True)}
        return {a: {b: rho for b, rho in row if b != a and not isnan(rho)} for a, row in rows.items()}, source

    def _returns_before(self, session: date, count: int) -> pd.DataFrame:
        """Daily returns of the `count` sessions before the session, in its units."""
        if (session, count) not in self._returns:
            first, last = self.calendar.previous(session, count + 1), self.calendar.previous(session)
            days = self.calendar.sessions(first, last)
            daily = self.store.view(Timeframe.DAY1, days, as_of=session)
            for old in [key for key in self._returns if key[0] != session]:
                del self._returns[old]
            self._returns[session, count] = daily_returns(daily, days)
        return self._returns[session, count]

    @cached_property
    def _sectors(self) -> _SectorMap:
        return _SectorMap.read(self.sector_file)

    @cached_property
    def _earnings(self) -> _EarningsCalendar:
        return _EarningsCalendar.read(self.earnings_file)


@dataclass(frozen=True)
class _SectorMap:
    """Sector by symbol; `problem` tells why a named file cannot be used, `digest` which content it had."""

    path: Path | None = None
    rows: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    problem: str = ""

    @classmethod
    def read(cls, path: Path | None) -> _SectorMap:
        try:
            return cls(path, read_sectors(path), _digest(path)) if path else cls()
        except DataFileError as error:
            return cls(path, problem=str(error))

    def source(self, symbol: str) -> str:
        if self.path is None:
            return "no sector map (execution.filters.sector_file)"
        return f"sector map {self.path.name} ({self.digest})" + (
            "" if symbol in self.rows else f": no row for {symbol}"
        )


@dataclass(frozen=True)
class _EarningsCalendar:
    """Dates by symbol, ascending; `problem` tells why a named file cannot be used, `digest` which content it had."""

    path: Path | None = None
    rows: Mapping[str, Sequence[date]] = field(default_factory=dict)
    digest: str = ""
    problem: str = ""

    @classmethod
    def read(cls, path: Path | None) -> _EarningsCalendar:
        try:
            return cls(path, read_earnings(path), _digest(path)) if path else cls()
        except DataFileError as error:
            return cls(path, problem=str(error))

    def source(self, symbol: str, *, is_found: bool) -> str:
        if self.path is None:
            return "no earnings calendar (execution.filters.earnings_file)"
        last = max((days[-1] for days in self.rows.values()), default=None)
        name = f"earnings calendar {self.path.name} ({self.digest}), which reaches to {last}"
        return name if is_found else f"{name}: no coming row for {symbol}"


def _digest(path: Path) -> str:
    """The beginning of the file's SHA-256: which content it was, for who looks it up later."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def read_sectors(path: Path) -> dict[str, str]:
    """Sector by symbol of a CSV symbol,sector[,industry]; sectors are the eleven of GICS, in any case.

    A repeated equal row is one. Raises DataFileError naming file, line and fix: unreadable, a column missing, an
    unknown sector, a symbol in two sectors.
    """
    names, sectors = {name.casefold(): name for name in GICS_SECTORS}, dict[str, str]()
    for line, symbol, text in _rows(path, "sector"):
        sector = names.get(text.casefold())
        if sector is None:
            raise DataFileError(f"{path}:{line}: {text!r} is no GICS sector. Write one of: {', '.join(GICS_SECTORS)}")
        if sectors.setdefault(symbol, sector) != sector:
            raise DataFileError(f"{path}:{line}: {symbol} is in {sectors[symbol]} and in {sector}: keep one row")
    return sectors


def read_earnings(path: Path) -> dict[str, list[date]]:
    """Earnings dates by symbol, ascending and distinct, of a CSV symbol,date (YYYY-MM-DD, as New York dates).

    Raises DataFileError naming file, line and fix.
    """
    found = dict[str, set[date]]()
    for line, symbol, text in _rows(path, "date"):
        try:
            found.setdefault(symbol, set()).add(date.fromisoformat(text))
        except ValueError as error:
            raise DataFileError(f"{path}:{line}: {text!r} is not a date: write it as 2026-01-02") from error
    return {symbol: sorted(days) for symbol, days in found.items()}


def _rows(path: Path, column: str) -> Iterator[tuple[int, str, str]]:
    """(line, symbol, text of the column) of each row that is not empty."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataFileError(
            f"cannot read {path}: {reason}. Correct the file, or its name in execution.filters"
        ) from error
    reader = csv.DictReader(lines)
    missing = [name for name in ("symbol", column) if name not in (reader.fieldnames or ())]
    if missing:
        raise DataFileError(
            f"{path} lacks the column(s) {', '.join(missing)}: its first line must name symbol,{column}"
        )
    for row in reader:
        symbol, text = (row["symbol"] or "").strip().upper(), (row[column] or "").strip()
        if not symbol and not text:
            continue
        if not symbol or not text:
            raise DataFileError(f"{path}:{reader.line_num}: a row needs both symbol and {column}")
        yield reader.line_num, symbol, text


def write_sectors(path: Path, sectors: Mapping[str, str]) -> None:
    """Write a sector map, whole or not at all."""
    lines = ["symbol,sector", *(f"{symbol},{sectors[symbol]}" for symbol in sorted(sectors))]
    scratch = path.with_suffix(".tmp")
    scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
    scratch.replace(path)
