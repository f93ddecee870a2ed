"""The process that is killed: one session loop over a ledger on disk and a venue in another process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from trading_pipeline.adapters.brokers.remote import RemoteBroker, RemoteMarket
from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.control import TradingState
from trading_pipeline.domain.market import MarketBar, Quote, SessionTimes
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.orders import OrderType
from trading_pipeline.ports import Broker, Ledger
from trading_pipeline.services.desk import Desk, Provenance
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline.services.trading_state import set_trading_state
from trading_pipeline_tests.crash.days import DAYS, Day
from trading_pipeline_tests.crash.doors import Addresses, DoorKind, line_at
from trading_pipeline_tests.crash.points import PointedLedger, PointedMarket, Points
from trading_pipeline_tests.fakes import ScriptedFeed, Wrapped
from trading_pipeline_tests.services.scripted import TIMES, minute, rules, write_regime, write_watchlist

LONGEST_GAP_SECONDS = 10.0
STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process is to do. die_at 0: live to the end. victim: who dies at the point; 0: itself.

    as_wired: the line is as line_at says, and the venue alone looks on.
    """

    day: str
    ledger_url: str
    addresses: Addresses
    result: Path
    door: DoorKind = DoorKind.SIMULATED
    die_at: int = 0
    victim: int = 0
    as_wired: bool = False

    @property
    def venue_url(self) -> str:
        """The venue's own door."""
        return self.addresses.control


@dataclass(slots=True)
class Watch:
    """Looks at the venue before each delivery of bars: what is held there under no stop, and since when."""

    broker: Broker
    started: float
    looks: int = 0
    naked: list[str] = field(default_factory=list)
    covered_after_s: float | None = None

    def look(self, now: datetime) -> None:
        """The first look of a process is at what the crash left; from the second on all must be covered."""
        self.looks += 1
        bare = self._bare()
        if not bare and self.covered_after_s is None:
            self.covered_after_s = time.monotonic() - self.started
        if bare and self.looks > 1:
            self.naked.append(f"{now:%H:%M} {', '.join(bare)}")

    def _bare(self) -> list[str]:
        stops = [order for order in self.broker.open_orders() if order.order_type in STOPS]
        held = self.broker.positions()
        return [
            f"{p.quantity} {p.symbol}"
            for p in held
            if sum((o.quantity - o.cum_qty for o in stops if o.symbol == p.symbol), ZERO) < p.quantity
        ]


class OperatedFeed(ScriptedFeed):
    """Scripted bars; at a given minute somebody halts trading, as an operator would from another process."""

    def __init__(self, bars: Iterable[MarketBar], ledger: Ledger, halt_at: datetime | None) -> None:
        super().__init__(bars)
        self._ledger, self._halt_at = ledger, halt_at

    def bars_after(self, times: SessionTimes, since: Mapping[str, datetime], instant: datetime) -> Sequence[MarketBar]:
        self._operate(instant)
        return super().bars_after(times, since, instant)

    def quotes(self, times: SessionTimes, instant: datetime, symbols: Iterable[str]) -> dict[str, Quote]:
        self._operate(instant)
        return super().quotes(times, instant, symbols)

    def _operate(self, instant: datetime) -> None:
        if self._halt_at is None or instant < self._halt_at:
            return
        with self._ledger.read() as tx:
            known = tx.trading_state("A")
        if known is None or known.state is not TradingState.HALTED:
            set_trading_state(
                self._ledger, "A", TradingState.HALTED, reason="a drill", operator="tester", at=self._halt_at
            )


def prepare(day: Day, ledger: Ledger) -> None:
    """What research would have recorded before the session."""
    for at in range(0, 120, 30):
        write_regime(ledger, at=at, score=75.0, multiplier=1.0)
    for at, symbols in day.watchlists.items():
        write_watchlist(ledger, symbols, at=at)


def trade(run: Run) -> None:
    """Run the day's session to its close, or to the process's death at the point asked for."""
    started = time.monotonic()
    day, points = DAYS[run.day], Points(run.die_at, run.victim)
    ledger, market = SqlLedger.open(run.ledger_url), RemoteMarket(run.venue_url)
    clock = ReplayClock(_reached(ledger))
    watch = Watch(RemoteBroker(run.venue_url, clock), started)
    halt_at = None if day.halt_at is None else minute(day.halt_at)
    with line_at(run.door, run.addresses, run.result.parent, clock, as_wired=run.as_wired) as line:
        desk = Desk(
            ledger=PointedLedger(ledger, points), clock=clock,
            broker=Wrapped(line.broker, points.around, name=line.broker.name), rules=rules(**day.settings),
            provenance=Provenance(code_version="1", config_hash="c"), base_bar_minutes=5, connections=line.connections,
        )  # fmt: skip
        SessionLoop(
            desk=desk, feed=OperatedFeed(day.bars, ledger, halt_at), times=TIMES,
            market=PointedMarket(market, points, _nothing if run.as_wired else watch.look),
        ).run()  # fmt: skip
    naked, covered = [*watch.naked, *gaps_of(market)], watch.covered_after_s or 0.0
    told = {"points": points.seen, "naked": naked, "covered_after_s": covered}
    run.result.write_text(json.dumps({"run": {k: str(v) for k, v in asdict(run).items()}, **told}))


def _reached(ledger: Ledger) -> datetime:
    """Where the last process was: no restart is earlier."""
    with ledger.read() as tx:
        record = tx.session_record("A", TIMES.session)
    return (record.cursor_at if record else None) or TIMES.opens_at


def _nothing(_: datetime) -> None:
    """The venue's own watch is enough."""


def gaps_of(market: RemoteMarket) -> list[str]:
    """What the venue itself saw uncovered for too long."""
    seen = market.watched()
    long = [gap for gap in seen.gaps if gap.seconds(seen.now) > LONGEST_GAP_SECONDS]
    return [f"{gap.shares} {gap.symbol} from {gap.since:%H:%M:%S} for {gap.seconds(seen.now):g} s" for gap in long]
