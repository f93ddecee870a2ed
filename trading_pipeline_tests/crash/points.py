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
from trading_pipeline.domain.corporate import CashActivity
from trading_pipeline.domain.market import MarketBar, SessionTimes
from trading_pipeline.domain.orders import AnyRequest, ExecutionReport
from trading_pipeline.ports import (
    Broker,
    Ledger,
    LedgerTransaction,
    SimulatedMarket,
    VenueAccount,
    VenueCapabilities,
    VenueOrder,
    VenuePosition,
)

T = TypeVar("T")
PACKAGE = "trading_pipeline/"


@dataclass(slots=True)
class Points:
    """Counts side effects, each before and after; at number `die_at` the process kills itself. 0: never."""

    die_at: int = 0
    seen: list[str] = field(default_factory=list)

    def pass_by(self, what: str) -> None:
        """One more point, named for what happens and for the line of ours that made it happen."""
        self.seen.append(f"{what} @ {_caller()}")
        if len(self.seen) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

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
class PointedBroker:
    """A broker whose every act has a point before and after it. Implements Broker; what only asks has none."""

    broker: Broker
    points: Points
    name: str = "simulated"

    @property
    def capabilities(self) -> VenueCapabilities:
        return self.broker.capabilities

    def submit(self, request: AnyRequest) -> str:
        return self.points.around("submit", lambda: self.broker.submit(request))

    def replace(
        self,
        client_order_id: str,
        *,
        stop_price: Decimal | None = None,
        limit_price: Decimal | None = None,
        quantity: Decimal | None = None,
    ) -> None:
        self.points.around(
            "replace",
            lambda: self.broker.replace(
                client_order_id, stop_price=stop_price, limit_price=limit_price, quantity=quantity
            ),
        )

    def cancel(self, client_order_id: str) -> None:
        self.points.around("cancel", lambda: self.broker.cancel(client_order_id))

    def order(self, client_order_id: str) -> VenueOrder | None:
        return self.broker.order(client_order_id)

    def open_orders(self) -> Sequence[VenueOrder]:
        return self.broker.open_orders()

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        return self.broker.execution_reports(since)

    def positions(self) -> Sequence[VenuePosition]:
        return self.broker.positions()

    def account(self) -> VenueAccount:
        return self.broker.account()

    def cash_activities(self, since: datetime) -> Sequence[CashActivity]:
        return self.broker.cash_activities(since)


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
