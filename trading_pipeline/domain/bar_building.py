"""Minute bars of a running session, and how shorter pieces become one where a vendor has no minute bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trading_pipeline.domain.market import require_aware

MINUTE = timedelta(minutes=1)
UNKNOWN = math.nan


class SyntheticRules(BaseModel):
    """The made-up market that lives by the machine's clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(16, ge=0, description="everything random comes from this number")
    symbols: int = Field(24, ge=8, le=1000, description="made-up stocks beside the four index funds")
    reversals_per_symbol_year: float = Field(30.0, ge=0, le=60, description="sell-offs that end in a washout")


class LiveRules(BaseModel):
    """Whose bars the running session is recorded from, when one counts as closed, and a stream as stalled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["none", "alpaca", "ib", "synthetic"] = Field(
        "none", description="recorded without being asked for by the schedules and by `up`; none: only data stream"
    )
    synthetic: SyntheticRules = SyntheticRules()

    grace_seconds: float = Field(
        2.0, ge=0, le=30, description="how long after its end a bar is waited for; what comes later corrects it"
    )
    silence_seconds: float = Field(
        30.0, ge=5, le=600, description="a stream without any bar this long after a minute's end is reopened"
    )
    late_minutes: int = Field(
        10, ge=1, le=390, description="a piece later than this changes no bar built here; it is counted"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteBar:
    """One minute of one symbol: float64 USD per share and shares, raw; aware UTC instants.

    vwap and trade_count are NaN where unknown. A second bar of the same symbol and start corrects the first.
    """

    symbol: str
    start_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    arrived_at: datetime
    vwap: float = UNKNOWN
    trade_count: float = UNKNOWN

    @property
    def end_at(self) -> datetime:
        """When the minute ends."""
        return self.start_at + MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a minute: a five-second bar, or one trade (all four prices equal). key: its identity at the vendor."""

    symbol: str
    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float = UNKNOWN
    trade_count: float = 1.0
    key: str = ""


@dataclass(slots=True)
class BuildingCounts:
    """What became of pieces, besides bars. Nothing is lost in silence."""

    repeated: int = 0
    """Came twice, equal."""
    late: int = 0
    """Came after their minute was closed: a corrected bar followed."""
    too_late: int = 0
    """Came when their minute was no longer kept: no bar changed."""
    unusable: int = 0
    """A price that is not finite and above zero, a negative volume, or a high below the low."""


@dataclass(slots=True)
class _Minute:
    pieces: dict[tuple[datetime, str], Piece] = field(default_factory=dict)
    is_closed: bool = False
    has_news: bool = True


@dataclass(slots=True)
class MinuteBuilder:
    """Pieces in, closed minute bars out.

    The late-trade rule: a minute is closed `grace` after its end. A piece that comes after that, but within `memory`,
    changes its minute: the whole bar is built again and handed out as a correction; a later one is counted and changes
    nothing. Pieces count by their own time, not by arrival: open is the earliest, close the latest. A piece with the
    key of an earlier one replaces it. A minute in which nothing was traded has no bar.
    """

    grace: timedelta
    memory: timedelta
    counts: BuildingCounts = field(default_factory=BuildingCounts)
    _minutes: dict[tuple[str, datetime], _Minute] = field(default_factory=dict)

    def add(self, piece: Piece, now: datetime) -> None:
        """Take a piece that arrived `now`."""
        start = require_aware(piece.at).replace(second=0, microsecond=0)
        if not _is_usable(piece):
            self.counts.unusable += 1
            return
        if now > start + MINUTE + self.memory:
            self.counts.too_late += 1
            return
        minute = self._minutes.setdefault((piece.symbol, start), _Minute())
        identity = (piece.at, piece.key)
        if minute.pieces.get(identity) == piece:
            self.counts.repeated += 1
            return
        self.counts.late += minute.is_closed
        minute.pieces[identity] = piece
        minute.has_news = True

    def closed(self, now: datetime) -> list[MinuteBar]:
        """Bars of minutes that are closed by `now` and new or changed since the last call, by symbol and start."""
        due = sorted(key for key, one in self._minutes.items() if one.has_news and key[1] + MINUTE + self.grace <= now)
        found = []
        for symbol, start in due:
            minute = self._minutes[symbol, start]
            minute.is_closed, minute.has_news = True, False
            traded = [piece for _, piece in sorted(minute.pieces.items()) if piece.volume > 0]
            if traded:
                found.append(_bar(symbol, start, traded, now))
        self._forget(now)
        return found

    def _forget(self, now: datetime) -> None:
        old = [key for key, one in self._minutes.items() if one.is_closed and key[1] + MINUTE + self.memory < now]
        for key in old:
            del self._minutes[key]


def _is_usable(piece: Piece) -> bool:
    prices = (piece.open, piece.high, piece.low, piece.close)
    return (
        all(math.isfinite(price) and price > 0 for price in prices)
        and math.isfinite(piece.volume)
        and piece.volume >= 0
        and piece.low <= min(piece.open, piece.close)
        and piece.high >= max(piece.open, piece.close)
    )


def _bar(symbol: str, start: datetime, pieces: Sequence[Piece], now: datetime) -> MinuteBar:
    volume = math.fsum(piece.volume for piece in pieces)
    return MinuteBar(
        symbol=symbol, start_at=start, arrived_at=now, open=pieces[0].open, close=pieces[-1].close,
        high=max(piece.high for piece in pieces), low=min(piece.low for piece in pieces), volume=volume,
        vwap=math.fsum(_paid(piece) for piece in pieces) / volume,
        trade_count=math.fsum(piece.trade_count for piece in pieces),
    )  # fmt: skip


def _paid(piece: Piece) -> float:
    """USD that changed hands; NaN where a five-second bar has no average."""
    price = piece.close if piece.high == piece.low else piece.vwap
    return price * piece.volume


def unusable(bars: Iterable[MinuteBar]) -> list[MinuteBar]:
    """Bars no store may take: a price that is not finite and above zero, high below low, a volume that is negative."""
    return [
        bar
        for bar in bars
        if not _is_usable(
            Piece(symbol=bar.symbol, at=bar.start_at, open=bar.open, high=bar.high, low=bar.low, close=bar.close,
                  volume=bar.volume)
        )
    ]  # fmt: skip
