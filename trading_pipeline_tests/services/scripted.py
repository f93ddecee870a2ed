"""A trading day written by hand: a short session of 5-minute bars, watchlists at chosen instants, an exact venue.

The session opens at 13:30 UTC and lasts 120 minutes; minute 15 is the first at which entries are decided. XYZ trades
flat at 50.00; its setup plans an entry at 50.00, a stop at 48.00 and a target at 56.00.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.market import MarketBar, Quote, SessionTimes
from trading_pipeline.domain.orders import Fill, Leg, Order, OrdStatus
from trading_pipeline.domain.setups import RegimeSnapshot, ScanSnapshot
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import Broker, Clock, Ledger
from trading_pipeline.services.desk import Desk, Provenance
from trading_pipeline.services.opening import opening_record
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline.settings import ExecutionSettings
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.builders import a_setup, dec
from trading_pipeline_tests.fakes import ScriptedFeed

BAR = timedelta(minutes=5)
OPENS = datetime.fromisoformat("2025-06-10T13:30:00+00:00")
TIMES = SessionTimes(OPENS.date(), OPENS, OPENS + timedelta(minutes=120))
NEXT = SessionTimes(OPENS.date() + timedelta(days=1), OPENS + timedelta(days=1), OPENS + timedelta(days=1, minutes=120))
FREE = VenueRules(account="A", commission_usd_per_order=dec(0), slippage_fraction=dec(0))
COSTLY = VenueRules(account="A", commission_usd_per_order=dec(1), slippage_fraction=dec("0.0005"))


def rules(**changes: Any) -> ExecutionSettings:
    """Account A with 100,000 USD; entries from minute 15 to 30 minutes before the close, flat 15 minutes before."""
    return ExecutionSettings.model_validate({"account": "A", "entry_close_lead_minutes": 30, **changes})


def minute(count: int, times: SessionTimes = TIMES) -> datetime:
    """The open plus that many minutes."""
    return times.opens_at + timedelta(minutes=count)


def a_bar(
    ends: int,
    price: object,
    *,
    low: object = None,
    high: object = None,
    opened: object = None,
    symbol: str = "XYZ",
    volume: object = 1_000_000,
    times: SessionTimes = TIMES,
) -> MarketBar:
    """The 5-minute bar that ends at that minute and closes at the price."""
    price, opened = dec(price), dec(price if opened is None else opened)
    low = min(price, opened) if low is None else dec(low)
    high = max(price, opened) if high is None else dec(high)
    return MarketBar(
        symbol=symbol, start_at=minute(ends - 5, times), end_at=minute(ends, times), open=opened, high=high, low=low,
        close=price, volume=dec(volume),
    )  # fmt: skip


def flat_bars(price: object = "50.00", symbol: str = "XYZ", times: SessionTimes = TIMES) -> list[MarketBar]:
    """The whole session at one price."""
    return [a_bar(ends, price, symbol=symbol, times=times) for ends in range(5, 125, 5)]


def path(prices: dict[int, object], symbol: str = "XYZ", times: SessionTimes = TIMES) -> list[MarketBar]:
    """The whole session: at each named minute a new price, held until the next; the bar of the change spans both."""
    bars, price = [], prices[min(prices)]
    for ends in range(5, 125, 5):
        before, price = price, prices.get(ends, price)
        bars.append(a_bar(ends, price, opened=before, symbol=symbol, times=times))
    return bars


@dataclass
class Scene:
    """A ledger on disk, a venue, and what happens; every `desk()` is a process of its own over them."""

    ledger: Ledger
    venue: SimulatedVenue
    rules: ExecutionSettings = field(default_factory=rules)
    bars: list[MarketBar] = field(default_factory=list)

    def desk(self, *, at: int = 0, times: SessionTimes = TIMES, clock: Clock | None = None, **parts: Any) -> Desk:
        """A desk with its clock at that minute."""
        clock = clock or ReplayClock(minute(at, times))
        broker: Broker = SimulatedBroker(self.venue, clock)
        desk = Desk(
            ledger=self.ledger, broker=broker, clock=clock, rules=self.rules,
            provenance=Provenance(code_version="1", config_hash="c"), base_bar_minutes=5,
        )  # fmt: skip
        return replace(desk, **parts)

    def loop(self, times: SessionTimes = TIMES, desk: Desk | None = None) -> SessionLoop:
        return SessionLoop(
            desk=desk or self.desk(times=times), feed=ScriptedFeed(self.bars), times=times, market=self.venue
        )

    def start(self, desk: Desk) -> SessionRecord:
        """Put the session on record without running it."""
        with self.ledger.transaction() as tx:
            record = opening_record(desk, tx, TIMES)
            tx.save_session_record(record)
        return record

    def regime(self, *, at: int = 0, score: float = 75.0, multiplier: float = 1.0, **changes: Any) -> None:
        write_regime(self.ledger, at=at, score=score, multiplier=multiplier, **changes)

    def watchlist(self, *symbols: str, at: int = 15, times: SessionTimes = TIMES, **changes: Any) -> ScanSnapshot:
        return write_watchlist(self.ledger, symbols, at=at, times=times, **changes)

    # what is on record

    def orders(self, leg: Leg | None = None) -> list[Order]:
        with self.ledger.read() as tx:
            found = [*tx.orders("A", TIMES.session), *tx.orders("A", NEXT.session)]
        return [order for order in found if leg is None or order.leg is leg]

    def order(self, leg: Leg = Leg.ENTRY, symbol: str = "XYZ") -> Order:
        (found,) = [order for order in self.orders(leg) if order.symbol == symbol]
        return found

    def fills(self) -> list[Fill]:
        with self.ledger.read() as tx:
            return list(tx.fills("A"))

    def shares(self) -> list[tuple[str, int, str]]:
        """(side, shares, price) of every fill."""
        return [(fill.side.value, int(fill.quantity), f"{fill.price:.2f}") for fill in self.fills()]

    def events(self, kind: str | None = None) -> list[tuple[str, str]]:
        """(kind, severity) of every risk event."""
        with self.ledger.read() as tx:
            found = [*tx.risk_events("A", TIMES.session), *tx.risk_events("A", NEXT.session)]
        return [(event.kind, event.severity) for event in found if kind in {None, event.kind}]

    def statuses(self) -> dict[str, OrdStatus]:
        return {order.leg.value: order.status for order in self.orders()}


def write_regime(ledger: Ledger, *, at: int, score: float, multiplier: float, **changes: Any) -> None:
    regime = RegimeSnapshot(
        regime_id=f"regime-{at}-{score}", session=TIMES.session, as_of=minute(at), regime_class="calm", score=score,
        size_multiplier=multiplier, positions_allowed=8, only_a_plus=False, missing=(), parts={}, details={},
        code_version="1", config_hash="c", input_hash="i", created_at=minute(at),
    )  # fmt: skip
    with ledger.transaction() as tx:
        tx.add_regime(replace(regime, **changes))


def write_watchlist(
    ledger: Ledger,
    symbols: Sequence[str],
    *,
    at: int,
    times: SessionTimes = TIMES,
    made_under: str = "c",
    **changes: Any,
) -> ScanSnapshot:
    """A snapshot of a configuration with the default setup of each symbol, ranked as given."""
    snapshot_id = f"scan-{times.session:%d}-{at}" + ("" if made_under == "c" else f"-{made_under}")
    setups = [
        replace(
            a_setup(
                setup_id=f"{snapshot_id}-{symbol}", snapshot_id=snapshot_id, symbol=symbol, session=times.session,
                as_of=minute(at, times), rank=rank,
            ), **changes,
        )
        for rank, symbol in enumerate(symbols, start=1)
    ]  # fmt: skip
    snapshot = ScanSnapshot(
        snapshot_id=snapshot_id, session=times.session, as_of=minute(at, times), code_version="1",
        config_hash=made_under, input_hash="i", scored=len(setups), selected=len(setups), created_at=minute(at, times),
    )  # fmt: skip
    with ledger.transaction() as tx:
        tx.add_snapshot(snapshot, setups)
    return snapshot


class Stage:
    """Makes scenes quickly: the empty ledger is migrated once and copied."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        SqlLedger.open(default_url(folder / "empty")).close()

    def scene(self, *, venue: VenueRules = FREE, bars: Iterable[MarketBar] = (), **settings: Any) -> Scene:
        """A scene with a friendly regime and XYZ flat at 50.00 unless bars are given."""
        scene = self.unknown_regime(venue=venue, bars=bars, **settings)
        for at in range(0, 120, 30):
            scene.regime(at=at)
        return scene

    def unknown_regime(self, *, venue: VenueRules = FREE, bars: Iterable[MarketBar] = (), **settings: Any) -> Scene:
        """A scene in a market of which nothing is known."""
        self._count += 1
        home = self._folder / str(self._count)
        home.mkdir()
        shutil.copy(self._folder / "empty" / "ledger.sqlite3", home)
        ledger, book = SqlLedger(default_url(home)), SimulatedVenue(None, venue)
        return Scene(ledger, book, rules(**settings), list(bars) or flat_bars())


def quote(price: object, at: int, symbol: str = "XYZ") -> dict[str, Quote]:
    """One symbol's quote at a minute."""
    return {symbol: Quote(symbol, dec(price), minute(at))}


def cash_by_hand(opening: Decimal, fills: Iterable[Fill]) -> Decimal:
    """Opening cash less what was bought, plus what was sold, less commissions: counted a second way."""
    cash = opening
    for fill in fills:
        cash -= fill.commission
        cash += fill.quantity * fill.price * (1 if fill.side == "SELL" else -1)
    return cash
