"""What a venue's data doors tell of the market: bars, corporate actions, sessions. Nothing later than its own now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from trading_pipeline.domain.market import MarketBar, SessionTimes, Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class CorporateAction:
    """A split (new shares for one old one) or a cash dividend (USD per share), effective from `ex_date`'s open."""

    symbol: str
    ex_date: date
    kind: str
    value: Decimal


class Tape(Protocol):
    """The market's past, as a vendor would tell it: unadjusted bars, ascending, of whole timeframes."""

    def symbols(self) -> Sequence[str]:
        """Every symbol that ever traded, ascending."""

    def base_timeframe(self) -> Timeframe | None:
        """The finest intraday bars there are: coarser ones are made of them, finer ones do not exist. None: no such."""

    def bars(self, symbol: str, timeframe: Timeframe, first: datetime, last: datetime) -> Sequence[MarketBar]:
        """Bars that start in [first, last] (aware UTC), ascending; empty for a symbol unknown."""

    def actions(self, first: date, last: date) -> Sequence[CorporateAction]:
        """Corporate actions with an ex-date in [first, last], by date, then symbol."""

    def sessions(self, first: date, last: date) -> Sequence[SessionTimes]:
        """The exchange's sessions from first to last, both included, ascending."""
