"""Ports with a will of their own: a feed of scripted bars, a broker whose answers get lost, parts that break."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeVar, cast

from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.market import MarketBar, Quote, SessionTimes
from trading_pipeline.domain.orders import ExecutionReport
from trading_pipeline.ports import Broker, Clock, Ledger, LedgerTransaction
from trading_pipeline.ports.forwarding import ACTS, ForwardingBroker, Op

T = TypeVar("T")
Bars = Mapping[datetime, Sequence[MarketBar]]


class ScriptedFeed:
    """Bars written by a test, by the instant they end. Implements BarFeed."""

    def __init__(self, bars: Iterable[MarketBar], minutes: int = 5) -> None:
        self._bars = sorted(bars, key=lambda bar: (bar.end_at, bar.symbol))
        self._minutes = minutes
        self.splits: dict[date, dict[str, Decimal]] = {}

    def actions(self, times: SessionTimes) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
        return self.splits.get(times.session, {}), {}

    def base_minutes(self) -> int:
        return self._minutes

    def bar_ends(self, times: SessionTimes) -> Sequence[datetime]:
        step = timedelta(minutes=self._minutes)
        return [times.opens_at + (n + 1) * step for n in range((times.closes_at - times.opens_at) // step)]

    def bars_after(self, times: SessionTimes, since: Mapping[str, datetime], instant: datetime) -> Sequence[MarketBar]:
        bars = [b for b in self._bars if b.symbol in since and times.opens_at < b.end_at <= instant]
        return [bar for bar in bars if bar.end_at > since[bar.symbol]]

    def quotes(self, times: SessionTimes, instant: datetime, symbols: Iterable[str]) -> dict[str, Quote]:
        wanted = set(symbols)
        seen = [b for b in self._bars if b.symbol in wanted and times.opens_at < b.end_at <= instant]
        return {bar.symbol: Quote(bar.symbol, bar.close, bar.end_at) for bar in seen}


class LiveFeed(ScriptedFeed):
    """The same bars, each known only once it has ended."""

    def __init__(self, bars: Iterable[MarketBar], clock: Clock, minutes: int = 5) -> None:
        super().__init__(bars, minutes)
        self._all, self._clock = self._bars, clock

    def bars_after(self, times: SessionTimes, since: Mapping[str, datetime], instant: datetime) -> Sequence[MarketBar]:
        self._bars = [bar for bar in self._all if bar.end_at <= self._clock.now()]
        return super().bars_after(times, since, instant)

    def quotes(self, times: SessionTimes, instant: datetime, symbols: Iterable[str]) -> dict[str, Quote]:
        self._bars = [bar for bar in self._all if bar.end_at <= self._clock.now()]
        return super().quotes(times, instant, symbols)


class Crashed(BaseException):
    """The process is gone: nothing may catch this."""


@dataclass
class Fuse:
    """Burns at the nth touch; 0 never burns."""

    burns_at: int = 0
    touched: int = 0

    def touch(self) -> None:
        self.touched += 1
        if self.touched == self.burns_at:
            raise Crashed


class FusedLedger:
    """A ledger during whose every transaction the process may die: before it, or after its commit."""

    def __init__(self, ledger: Ledger, fuse: Fuse) -> None:
        self._ledger, self._fuse = ledger, fuse

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        return _Fused(self._ledger.transaction(), self._fuse)

    def read(self) -> AbstractContextManager[LedgerTransaction]:
        return self._ledger.read()


class _Fused(AbstractContextManager[LedgerTransaction]):
    def __init__(self, inner: AbstractContextManager[LedgerTransaction], fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __enter__(self) -> LedgerTransaction:
        self._fuse.touch()
        return self._inner.__enter__()

    def __exit__(self, *error: object) -> bool | None:
        swallowed = self._inner.__exit__(*error)  # type: ignore[arg-type]
        if error[0] is None:
            self._fuse.touch()
        return swallowed


@dataclass
class Wrapped(ForwardingBroker):
    """A broker seen through `around`: it is called with the name of what changes something and the call itself."""

    broker: Broker
    around: Callable[[str, Callable[[], object]], object]
    name: str = "simulated"
    sent: list[str] = field(default_factory=list)

    def through(self, op: Op, call: Callable[[], T], client_order_id: str = "") -> T:
        """Orders, changes and cancels pass by `around`; questions do not."""
        if op == "submit":
            self.sent.append(client_order_id)
        return cast("T", self.around(op, call)) if op in ACTS else call()


def fused_broker(broker: Broker, fuse: Fuse) -> Wrapped:
    """A broker around whose every change the process may die."""

    def around(name: str, call: Callable[[], object]) -> object:
        fuse.touch()
        answer = call()
        fuse.touch()
        return answer

    return Wrapped(broker, around)


def losing_broker(broker: Broker, *losses: str) -> Wrapped:
    """A broker that loses answers to submit: "request" never arrives, "reply" is lost on the way back, "" is heard."""
    script = list(losses)

    def around(name: str, call: Callable[[], object]) -> object:
        loss = script.pop(0) if name == "submit" and script else ""
        if loss == "request":
            raise OutcomeUnknown("the connection broke while sending")
        answer = call()
        if loss == "reply":
            raise OutcomeUnknown("no answer within 10 s")
        return answer

    return Wrapped(broker, around)


@dataclass
class ScriptedReports:
    """A broker that only reports, what it was told to. Implements the part of Broker that order_sync uses."""

    reports: Sequence[ExecutionReport] = ()
    name: str = "simulated"

    def execution_reports(self, since: datetime) -> Sequence[ExecutionReport]:
        return [report for report in self.reports if report.occurred_at >= since]


class FastClock:
    """Runs by itself, a little with every look, as a real clock does. Implements Clock."""

    def __init__(self, instant: datetime, *, drift: timedelta = timedelta(milliseconds=1)) -> None:
        self._instant, self._drift = instant, drift

    def now(self) -> datetime:
        self._instant += self._drift
        return self._instant

    def sleep_until(self, instant: datetime) -> None:
        self._instant = max(self._instant, instant)


@dataclass
class FusedClock:
    """A clock at whose every tick the process may die."""

    clock: Clock
    fuse: Fuse

    def now(self) -> datetime:
        return self.clock.now()

    def sleep_until(self, instant: datetime) -> None:
        self.fuse.touch()
        self.clock.sleep_until(instant)
