"""One account and its venue, played with one act at a time: the real services over a ledger and a simulated market.

What dies with a process (the desk, the loop, its quotes) is rebuilt from the ledger; the ledger, the venue and the
clock live on. Time runs in sessions of two hours of 5-minute bars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from trading_pipeline.adapters.brokers.faulty import FaultyBroker
from trading_pipeline.adapters.brokers.simulated import SimulatedBroker
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.market import MarketBar, Quote, SessionTimes
from trading_pipeline.domain.orders import Order
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.ports import Ledger
from trading_pipeline.services.desk import Desk, Provenance
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline.venue.engine import SimulatedVenue
from trading_pipeline.venue.faults import Faults
from trading_pipeline.venue.rules import VenueRules
from trading_pipeline_tests.builders import dec
from trading_pipeline_tests.fakes import Crashed, Fuse, FusedLedger, fused_broker
from trading_pipeline_tests.machine.socket import Socket
from trading_pipeline_tests.services.scripted import rules, write_regime

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
ACCOUNT = "A"
OPENING_CASH = dec(100_000)
FIRST = datetime.fromisoformat("2025-06-09T13:30:00+00:00")
LENGTH, BAR = timedelta(minutes=120), timedelta(minutes=5)
BARS = LENGTH // BAR
VENUE = VenueRules(account=ACCOUNT, commission_usd_per_order=dec(1), slippage_fraction=dec("0.0005"))
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"exits": {"hold": "swing", "ladder": True, "max_hold_sessions": 2, "stalled_bars": 0}},
    {"exits": {"partial_profit": True, "external_stop_fraction": "0.05"}},
    {"exits": {"hold": "swing", "stalled_bars": 10, "partial_profit": True}, "plan": {"entry_type": "market"}},
)
"""What worlds differ in."""
LIMITS = {"max_open_positions": 3, "max_entries_per_symbol_per_session": 3, "max_open_risk_fraction": "0.02"}


class Days:
    """Every day is a session. The part of TradingCalendar that is asked here."""

    def times(self, session: date) -> SessionTimes:
        opens = FIRST + (session - FIRST.date())
        return SessionTimes(session, opens, opens + LENGTH)

    def session_of(self, instant: datetime) -> date:
        return instant.date()

    def next(self, session: date, count: int = 1) -> date:
        return session + timedelta(days=count)


class Tape:
    """Bars as the market makes them. Implements BarFeed."""

    def __init__(self) -> None:
        self.bars: list[MarketBar] = []
        self.last: dict[str, Quote] = {}
        self.dividends: dict[date, dict[str, Decimal]] = {}

    def add(self, bar: MarketBar) -> None:
        self.bars.append(bar)
        self.last[bar.symbol] = Quote(bar.symbol, bar.close, bar.end_at)

    def base_minutes(self) -> int:
        return BAR // timedelta(minutes=1)

    def bar_ends(self, times: SessionTimes) -> Sequence[datetime]:
        return [times.opens_at + (n + 1) * BAR for n in range(BARS)]

    def bars_after(self, *_: object) -> Sequence[MarketBar]:
        return ()  # the venue has a market of its own

    def quotes(self, times: SessionTimes, _: datetime, symbols: Iterable[str]) -> dict[str, Quote]:
        newest = (self.last.get(symbol) for symbol in symbols)
        return {quote.symbol: quote for quote in newest if quote is not None and quote.quoted_at > times.opens_at}

    def actions(self, times: SessionTimes) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
        return {}, self.dividends.get(times.session, {})


@dataclass(slots=True)
class World:
    """All of it. `what`: what happened, counted."""

    ledger: Ledger
    settings: dict[str, Any] = field(default_factory=dict)
    what: Counter[str] = field(default_factory=Counter)
    venue: SimulatedVenue = field(init=False)
    clock: ReplayClock = field(init=False)
    tape: Tape = field(init=False, default_factory=Tape)
    faults: Faults = field(init=False, default_factory=Faults)
    fuse: Fuse = field(init=False, default_factory=Fuse)
    socket: Socket = field(init=False)
    times: SessionTimes = field(init=False)
    loop: SessionLoop = field(init=False)
    record: SessionRecord | None = field(init=False, default=None)
    done: int = field(init=False, default=0)
    """Bars of the session the market has made."""
    stepped: int = field(init=False, default=0)
    """The bar the loop last acted on."""
    numbers: int = field(init=False, default=0)
    """Identities given to what outsiders do."""
    meddled: set[str] = field(init=False, default_factory=set)
    """Symbols in which somebody else did something at the venue."""
    busted: set[str] = field(init=False, default_factory=set)
    """Orders of which the venue has taken an execution back, or corrected it."""

    def __post_init__(self) -> None:
        self.times = Days().times(FIRST.date())
        self.clock = ReplayClock(self.times.opens_at)
        self.venue = SimulatedVenue(None, VENUE)
        self.socket = Socket(SimulatedBroker(self.venue, self.clock), self.ledger, self.venue)
        self._open_market()
        self.boot()

    # the process

    def boot(self) -> None:
        """A new process: nothing of the old one's memory is there."""
        self.fuse.burns_at = 0
        settings = {"initial_cash_usd": OPENING_CASH, "risk": LIMITS, **self.settings}
        desk = Desk(
            ledger=FusedLedger(self.ledger, self.fuse),  # type: ignore[arg-type]
            broker=fused_broker(FaultyBroker(self.socket, self.faults), self.fuse),
            clock=self.clock,
            rules=rules(**settings),
            provenance=Provenance(code_version="1", config_hash="c"),
            base_bar_minutes=5,
        )
        self.loop = SessionLoop(desk=desk, feed=self.tape, times=self.times, live=True, session_after=Days().next)
        self.record = None

    def run(self, act: Callable[[SessionRecord], object]) -> None:
        """Let the process do something; it may not hear from the venue, and it may die doing it."""
        try:
            act(self._entered())
        except OutcomeUnknown:
            self.loop.cycle.reconciler.reconnected()
        except Crashed:
            self.what["crashed"] += 1
            self.boot()

    def _entered(self) -> SessionRecord:
        """The session's record; a process that has not entered the session yet does so first."""
        if self.record is None:
            record = self.loop._start()
            if record.phase is not SessionPhase.CLOSED:
                self.loop._look_and_protect(record)
                self.loop._quotes = self.tape.quotes(self.times, self.clock.now(), SYMBOLS) if record.cursor_at else {}
            self.record = record
        return self.record

    # the market

    def _open_market(self) -> None:
        splits, dividends = self.tape.actions(self.times)
        self.venue.on_session_open(self.times, splits, dividends)
        for minute in range(0, 120, 30):
            at = self.times.opens_at + timedelta(minutes=minute)
            write_regime(
                self.ledger, at=minute, score=75.0, multiplier=1.0, regime_id=f"regime-{at.isoformat()}",
                session=self.times.session, as_of=at, created_at=at,
            )  # fmt: skip

    def next_session(self) -> None:
        """A night passes."""
        self.times = Days().times(Days().next(self.times.session))
        self.clock.sleep_until(self.times.opens_at)
        self.done = self.stepped = 0
        self.tape.last.clear()
        self._open_market()
        self.boot()

    @property
    def bar_end(self) -> datetime:
        """When the last bar of the session so far ended."""
        return self.times.opens_at + self.done * BAR

    @property
    def is_over(self) -> bool:
        """True once the market has made every bar."""
        return self.done >= BARS

    @property
    def is_closed(self) -> bool:
        """True once the session is closed on record."""
        with self.ledger.read() as tx:
            record = tx.session_record(ACCOUNT, self.times.session)
        return record is not None and record.phase is SessionPhase.CLOSED

    def own_open_orders(self) -> list[Order]:
        with self.ledger.read() as tx:
            return list(tx.open_orders(ACCOUNT))
