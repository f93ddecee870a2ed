"""Numbered crash points: before and after every commit of the ledger and every act at the venue."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import FrameType
from typing import Any, TypeVar

from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.ports import (
    Ledger,
    LedgerTransaction,
    SimulatedMarket,
)

T = TypeVar("T")
PACKAGE = "trading_pipeline/"


@dataclass(slots=True)
class Points:
    """Counts side effects, each before and after; at number `die_at` the process kills itself. 0: never.

    victim: the process that is killed instead; 0: itself.
    """

    die_at: int = 0
    victim: int = 0
    seen: list[str] = field(default_factory=list)

    def pass_by(self, what: str) -> None:
        """One more point, named for what happens and for the line of ours that made it happen."""
        self.seen.append(f"{what} @ {_caller()}")
        if len(self.seen) == self.die_at:
            os.kill(self.victim or os.getpid(), signal.SIGKILL)

    def around(self, what: str, act: Callable[[], T]) -> T:
        """Do it between two points; an answer that is lost is one too."""
        self.pass_by(f"before {what}")
        try:
            return act()
        finally:
            self.pass_by(f"after {what}")


def _caller() -> str:
    """The nearest service that asked for the side effect: module and function."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename.replace("\\", "/")
        if f"/{PACKAGE}services/" in name:
            return f"{name.rsplit('/services/', 1)[1].removesuffix('.py')}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "outside"


@dataclass(frozen=True, slots=True)
class PointedLedger:
    """A ledger whose every commit has a point before and after it. Implements Ledger."""

    ledger: Ledger
    points: Points

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        return _Pointed(self.ledger.transaction(), self.points)

    def read(self) -> AbstractContextManager[LedgerTransaction]:
        return self.ledger.read()

    def fenced(self, lease: Lease) -> Ledger:
        return PointedLedger(self.ledger.fenced(lease), self.points)


class _Pointed(AbstractContextManager[LedgerTransaction]):
    def __init__(self, inner: AbstractContextManager[LedgerTransaction], points: Points) -> None:
        self._inner, self._points = inner, points

    def __enter__(self) -> LedgerTransaction:
        return self._inner.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        if error[0] is not None:
            return self._inner.__exit__(*error)
        return self._points.around("commit", lambda: self._inner.__exit__(*error))


@dataclass(slots=True)
class PointedMarket:
    """The market with a point around every act; `look` is called before each delivery. Implements SimulatedMarket."""

    market: SimulatedMarket
    points: Points
    look: Callable[[datetime], None]

    def on_bars(self, bars: Sequence[MarketBar], now: datetime) -> None:
        self.look(now)
        self.points.around("bars", lambda: self.market.on_bars(bars, now))

    def on_session_open(
        self, times: SessionTimes, splits: Mapping[str, Decimal], dividends: Mapping[str, Decimal]
    ) -> None:
        self.points.around("open", lambda: self.market.on_session_open(times, splits, dividends))

    def on_session_close(self, times: SessionTimes) -> None:
        self.points.around("close", lambda: self.market.on_session_close(times))

    def symbols_of_interest(self) -> frozenset[str]:
        return self.market.symbols_of_interest()
