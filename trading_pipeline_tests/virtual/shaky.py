"""Parts of a trading process that the weather gets at: ledger, feed, clock, broker; each does its work, or fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd

from trading_pipeline.adapters.bar_feed import PRICES, StoredBarFeed
from trading_pipeline.adapters.brokers.faulty import FaultyBroker
from trading_pipeline.domain.control import Lease
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.domain.market import MarketBar, Quote, SessionTimes, Timeframe
from trading_pipeline.domain.orders import AnyRequest, Side
from trading_pipeline.ports import BarFeed, BarStore, Broker, Clock, Ledger, LedgerTransaction, SimulatedMarket
from trading_pipeline.services.lease import HeldLease
from trading_pipeline.venue.checks import orders_of
from trading_pipeline.wiring.venues import Line, OwnVenue
from trading_pipeline_tests.fakes import Crashed, Wrapped
from trading_pipeline_tests.virtual.weather import Trouble, Weather

STEP_BACK = timedelta(seconds=20)


def touch(weather: Weather) -> None:
    """A process may die here."""
    if weather.touches_to_live:
        weather.touches_to_live -= 1
        if not weather.touches_to_live:
            raise Crashed


@dataclass(frozen=True)
class ShakyLedger:
    """A ledger that is locked or full for some transactions, and around whose commits the process may die."""

    ledger: Ledger
    weather: Weather

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        touch(self.weather)
        if self.weather.spend(Trouble.LEDGER_LOCKED):
            raise LedgerError("the ledger is locked by another process. Wait, or find it")
        with self.ledger.transaction() as tx:
            yield tx
            if self.weather.spend(Trouble.DISK_FULL):
                raise LedgerError("the disk is full. Make room")
        touch(self.weather)

    def read(self) -> AbstractContextManager[LedgerTransaction]:
        return self.ledger.read()

    def fenced(self, lease: Lease) -> Ledger:
        return ShakyLedger(self.ledger.fenced(lease), self.weather)


@dataclass(frozen=True)
class TenfoldStore:
    """A bar store in which the bars that end at an instant are ten times what they were."""

    store: BarStore
    instant: datetime

    def base_timeframe(self) -> Timeframe | None:
        return self.store.base_timeframe()

    def view(self, timeframe: Timeframe, sessions: Sequence[date], *, as_of: date) -> pd.DataFrame:
        frame = self.store.view(timeframe, sessions, as_of=as_of)
        wrong = frame["end"] == pd.Timestamp(self.instant)
        return frame.assign(**{name: frame[name].where(~wrong, frame[name] * 10) for name in PRICES})


@dataclass(frozen=True)
class ShakyFeed:
    """A feed whose quotes are missing, or made of prints ten times too high, now and then.

    What the market trades on is right.
    """

    feed: BarFeed
    store: BarStore
    weather: Weather

    def bar_ends(self, times: SessionTimes) -> Sequence[datetime]:
        return self.feed.bar_ends(times)

    def bars_after(self, times: SessionTimes, since: Mapping[str, datetime], instant: datetime) -> Sequence[MarketBar]:
        return self.feed.bars_after(times, since, instant)

    def quotes(self, times: SessionTimes, instant: datetime, symbols: Iterable[str]) -> dict[str, Quote]:
        found = self.feed.quotes(times, instant, symbols)
        if self.weather.spend(Trouble.NO_QUOTES):
            return {}
        if self.weather.spend(Trouble.TENFOLD_QUOTES):
            wrong = StoredBarFeed(TenfoldStore(self.store, instant))  # type: ignore[arg-type]  # the part it reads
            return wrong.quotes(times, instant, symbols)
        return found

    def base_minutes(self) -> int:
        return self.feed.base_minutes()

    def actions(self, times: SessionTimes) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal]]:
        return self.feed.actions(times)


@dataclass(frozen=True)
class ShakyClock:
    """A clock that brings the weather as it moves on, and is set back for some looks."""

    clock: Clock
    weather: Weather
    opens_at: datetime

    def now(self) -> datetime:
        return self.clock.now() - (STEP_BACK if self.weather.spend(Trouble.CLOCK_BACK) else timedelta(0))

    def sleep_until(self, instant: datetime) -> None:
        self.clock.sleep_until(instant)
        self.weather.pass_to(instant, self.opens_at)


@dataclass(frozen=True)
class ShakyAccess:
    """A venue reached over a line that the weather gets at. on_entry is told of each entry the venue takes."""

    venue: OwnVenue
    weather: Weather
    on_entry: Callable[[str], None]

    @property
    def market(self) -> SimulatedMarket:
        return self.venue.market

    def line(self, clock: Clock, lease: HeldLease | None) -> Line:
        line = self.venue.line(clock, lease)
        return replace(line, broker=self._watched(FaultyBroker(self._watching(line.broker), self.weather.faults)))

    def close(self) -> None:
        self.venue.close()

    def _watching(self, broker: Broker) -> Broker:
        """Right at the venue: what arrives there is seen, whatever becomes of the answer."""
        return _Seen(broker, lambda _, call: call(), on_entry=self.on_entry)

    def _watched(self, broker: Broker) -> Broker:
        def around(_: str, call: Callable[[], object]) -> object:
            touch(self.weather)
            answer = call()
            touch(self.weather)
            return answer

        return Wrapped(broker, around)


@dataclass
class _Seen(Wrapped):
    on_entry: Callable[[str], None] = lambda _: None

    def submit(self, request: AnyRequest) -> str:
        taken = self.broker.submit(request)
        first = orders_of(request)[0]
        if first.side is Side.BUY:
            self.on_entry(first.client_order_id)
        return taken
