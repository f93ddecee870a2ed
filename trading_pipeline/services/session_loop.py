"""One trading session, step by step: market, reports, care, decisions, dispatch, record.

The same loop runs on the real clock and on an accelerated one. Every step may be repeated after a crash: what it
already did is found and not done again, and it resumes after the last step that was recorded as done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from trading_pipeline.domain.errors import LedgerError, SettingsError
from trading_pipeline.domain.fold import open_risk_usd
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.money import ZERO
from trading_pipeline.domain.performance import EquityPoint
from trading_pipeline.domain.positions import Position
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.ports import BarFeed, LedgerTransaction, SimulatedMarket
from trading_pipeline.services import care
from trading_pipeline.services.book import cash_after, read_holdings
from trading_pipeline.services.decision_log import decision_log, log_hash
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import Dispatched, dispatch_due
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline.services.rebalancer import Rebalancer

Progress = Callable[[datetime, int, int], None]


@dataclass(slots=True)
class SessionLoop:
    """Runs one session of one desk to its close."""

    desk: Desk
    feed: BarFeed
    times: SessionTimes
    market: SimulatedMarket | None = None
    """The simulated market to drive; None at a venue that has a market of its own."""
    on_step: Progress | None = None
    stop_requested: Callable[[], bool] = lambda: False
    live: bool = False
    """True when watchlists are made while the loop runs; else all of the session's are there from the start."""
    session_after: Callable[[date], date] | None = None
    """The calendar's next session; None when nobody looks whether one was left out."""
    rebalancer: Rebalancer | None = None
    """Carries out external signals; None: those on record, with nobody looking for new ones."""
    _synced_to: datetime | None = None
    _applied: set[str] = field(default_factory=set)
    _delivered: dict[str, datetime] = field(default_factory=dict)
    _quotes: care.Quotes = field(default_factory=dict)
    _snapshots: tuple[ScanSnapshot, ...] = ()
    _decided: str = ""

    def run(self) -> SessionRecord:
        """Run to the close, or until stop is requested; returns the session's record. A closed session is returned
        unchanged."""
        record = self._start()
        if record.phase is SessionPhase.CLOSED:
            return record
        if record.cursor_at is None:
            self.desk.clock.sleep_until(self.times.opens_at)
            self._open(record)
        ends = self.feed.bar_ends(self.times)
        self._quotes = self.feed.quotes(self.times, record.cursor_at, self._watched()) if record.cursor_at else {}
        self._snapshots = self._read_snapshots()
        for number, instant in enumerate(ends):
            if record.cursor_at is not None and instant <= record.cursor_at:
                continue
            self.desk.clock.sleep_until(instant)
            done_before = ends[number - 1] if number else None
            if self.stop_requested():
                return self._catch_up(record, done_before)
            record = self._step(record, instant, done_before, bars_left=len(ends) - number - 1)
            if self.on_step:
                self.on_step(instant, number + 1, len(ends))
        return self._close(record)

    def _start(self) -> SessionRecord:
        desk = self.desk
        with desk.ledger.read() as tx:
            known = tx.session_record(desk.account, self.times.session)
        if known is not None:
            return known
        self._require_time_to_leave()
        with desk.ledger.transaction() as tx:
            record = opening_record(desk, tx, self.times, self.session_after)
            tx.save_session_record(record)
            tx.add_equity_point(self._point(tx, record, self.times.opens_at))
        return record

    def _open(self, record: SessionRecord) -> None:
        """Before the first bar: splits and dividends of the day, then a stop for what nothing covers."""
        splits, dividends = self.feed.actions(self.times)
        care.apply_splits(self.desk, self.times, splits)
        if self.market is not None:
            self.market.on_session_open(self.times, splits, dividends)
        self._sync(record)
        if care.guard_protection(self.desk, self.times):
            self._sync(record)
        self._protect(record)

    def _require_time_to_leave(self) -> None:
        lead, bar = self.desk.rules.exits.flatten_before_close_minutes, self.feed.base_minutes()
        if lead < 2 * bar:
            raise SettingsError(
                f"execution.exits.flatten_before_close_minutes is {lead}, and base bars last {bar} minutes: an exit "
                f"needs one bar to fill in and one to secure what did not. Set it to {2 * bar} or more."
            )

    def _step(
        self, record: SessionRecord, instant: datetime, done_before: datetime | None, *, bars_left: int
    ) -> SessionRecord:
        desk, before, snapshot = self.desk, self._quotes, self._snapshot_at(instant)
        signals = self._rebalancer().due(desk, instant)
        wanted = self._watched(snapshot) | (self.market.symbols_of_interest() if self.market else frozenset())
        if not wanted and snapshot is None and signals is None:
            return self._record_idle(record, instant)
        record = self._catch_up(record, done_before)
        if self.market is not None:
            self._deliver_bars(self.market, wanted, done_before or self.times.opens_at, instant)
        self._sync(record)
        self._quotes = self.feed.quotes(self.times, instant, self._watched(snapshot))
        care.flag_unannounced_splits(desk, self.times, self._quotes)
        positions = care.mark_positions(desk, self._quotes)
        care.cancel_stale_entries(desk, self.times)
        care.take_partial_profits(desk, self.times, positions, before, self._quotes)
        care.trail_stops(desk, positions, before, self._quotes)
        if bars_left > 1:
            self._exit_what_is_due(record, snapshot)
        elif positions:
            self._prepare_the_night(record)
        if snapshot is not None and desk.rules.decider == "loop":
            if desk.rules.signals == "sabr20":
                decide_on_snapshot(desk, snapshot, self.times, self._quotes)
            self._decided = snapshot.snapshot_id
        if signals is not None and bars_left > 1 and self._rebalancer().step(desk, signals, instant):
            self._sync(record)
            self._rebalancer().step(desk, signals, instant)
        dispatch_due(desk)
        self._sync(record)
        self._guard(record, bars_left)
        return self._record_step(record, instant)

    def _deliver_bars(
        self, market: SimulatedMarket, wanted: frozenset[str], done_before: datetime, instant: datetime
    ) -> None:
        """Give the market what it has not seen: a bar that was late comes with the next one.

        After a start, what the market holds or works on is given from the open: it passes over the bars it knows.
        """
        working = market.symbols_of_interest()
        since = {s: self._delivered.get(s, self.times.opens_at if s in working else done_before) for s in wanted}
        bars = self.feed.bars_after(self.times, since, instant)
        market.on_bars(bars, instant)
        self._delivered.update(since)
        self._delivered.update({bar.symbol: bar.end_at for bar in bars})

    def _record_idle(self, record: SessionRecord, instant: datetime) -> SessionRecord:
        """Nothing held, ordered or listed: only an equity point may be due. Repeating idle steps changes nothing."""
        return self._record_step(record, instant) if self._is_point_due(instant) else record

    def _catch_up(self, record: SessionRecord, done_before: datetime | None) -> SessionRecord:
        """Record the idle steps before a step that acts, so that a resumed session never goes back behind them."""
        if done_before is None or (record.cursor_at is not None and record.cursor_at >= done_before):
            return record
        moved = replace(record, cursor_at=done_before)
        with self.desk.ledger.transaction() as tx:
            tx.save_session_record(moved)
        return moved

    def _exit_what_is_due(self, record: SessionRecord, snapshot: ScanSnapshot | None) -> None:
        """An exit whose orders made room at once sells in the same step; what exits leave alone is guarded."""
        if care.exit_due(self.desk, self.times, self._quotes, snapshot):
            self._sync(record)
            care.exit_due(self.desk, self.times, self._quotes, snapshot)
        if care.guard_protection(self.desk, self.times):
            self._sync(record)

    def _guard(self, record: SessionRecord, bars_left: int) -> None:
        """After the orders of a step have left: a sale that was refused gives its stop back at once."""
        if bars_left > 1 and care.guard_protection(self.desk, self.times):
            dispatch_due(self.desk, sells_only=True)
            self._sync(record)

    def _prepare_the_night(self, record: SessionRecord) -> None:
        """From the last but one bar on, what could not be sold gets its stop for the night: no exit touches it."""
        care.release_day_legs(self.desk)
        self._sync(record)
        care.protect_overnight(self.desk, self.times)

    def _protect(self, record: SessionRecord) -> None:
        """At the open and after the close: a position that nothing covers gets a stop that outlives the session."""
        care.protect_overnight(self.desk, self.times)
        if dispatch_due(self.desk, sells_only=True) != Dispatched():
            self._sync(record)

    def _sync(self, record: SessionRecord) -> None:
        since = self._synced_to or record.cursor_at or record.started_at
        synced = sync_orders(self.desk, self.times.session, since, self._applied)
        self._synced_to = synced.last_at or self._synced_to

    def _snapshot_at(self, instant: datetime) -> ScanSnapshot | None:
        """The newest watchlist known at the instant, unless it was decided on before; its age is a risk check."""
        if self.live:
            self._snapshots = self._read_snapshots()
        known = [snapshot for snapshot in self._snapshots if snapshot.as_of <= instant]
        return known[-1] if known and known[-1].snapshot_id != self._decided else None

    def _read_snapshots(self) -> tuple[ScanSnapshot, ...]:
        with self.desk.ledger.read() as tx:
            return tuple(self.desk.snapshots(tx, self.times.session))

    def _watched(self, snapshot: ScanSnapshot | None = None) -> frozenset[str]:
        with self.desk.ledger.read() as tx:
            held = {position.symbol for position in tx.positions(self.desk.account)}
            ordered = {order.symbol for order in tx.open_orders(self.desk.account)}
            listed = {s.symbol for s in tx.setups(snapshot.snapshot_id) if s.selected} if snapshot else set()
        return frozenset(held | ordered | listed)

    def _rebalancer(self) -> Rebalancer:
        if self.rebalancer is None:
            self.rebalancer = Rebalancer(self.feed, self.times, self.live)
        return self.rebalancer

    def _record_step(self, record: SessionRecord, instant: datetime) -> SessionRecord:
        """Every step that acts is recorded: a resumed session repeats only the one it was interrupted in."""
        moved = replace(record, cursor_at=instant)
        with self.desk.ledger.transaction() as tx:
            if self._is_point_due(instant):
                tx.add_equity_point(self._point(tx, record, instant))
            tx.save_session_record(moved)
        return moved

    def _is_point_due(self, instant: datetime) -> bool:
        every = timedelta(minutes=self.desk.rules.equity_point_minutes)
        return (instant - self.times.opens_at) % every == timedelta(0)

    def _point(self, tx: LedgerTransaction, record: SessionRecord, instant: datetime) -> EquityPoint:
        holdings = read_holdings(self.desk, tx, record)
        return EquityPoint(
            account=self.desk.account, session=record.session, at=instant, cash_usd=holdings.cash_usd,
            positions_usd=holdings.positions_usd, equity_usd=holdings.equity_usd,
            open_risk_usd=sum((open_risk_usd(p) for p in holdings.positions), ZERO),
            positions=len(holdings.positions),
        )  # fmt: skip

    def _close(self, record: SessionRecord) -> SessionRecord:
        desk = self.desk
        if self.market is not None:
            self.market.on_session_close(self.times)
        desk.clock.sleep_until(self.times.closes_at)
        self._sync(record)
        self._protect(record)
        with desk.ledger.transaction() as tx:
            care.alarm_unprotected(desk, tx, self.times)
            if not any(
                p.at == self.times.closes_at for p in tx.equity_points(desk.account, record.session, record.session)
            ):
                tx.add_equity_point(self._point(tx, record, self.times.closes_at))
            digest = log_hash(decision_log(tx, desk.account, record.session))
            closed = replace(record, phase=SessionPhase.CLOSED, cursor_at=self.times.closes_at, decision_hash=digest)
            tx.save_session_record(closed)
        return closed


def opening_record(
    desk: Desk, tx: LedgerTransaction, times: SessionTimes, session_after: Callable[[date], date] | None = None
) -> SessionRecord:
    """How the account enters a session: cash and equity carried over from the last closed one.

    Raises LedgerError when a later session is on record, an earlier one was never finished, or one was left out
    while something is held (`session_after` names the next session of the calendar).
    """
    cash, equity = desk.rules.initial_cash_usd, desk.rules.initial_cash_usd
    past = tx.session_records(desk.account)
    if past:
        last = past[-1]
        _require_next(desk, last, times)
        if session_after is not None:
            _require_none_left_out(desk, tx.positions(desk.account), session_after(last.session), times)
        cash = cash_after(last.opening_cash_usd, tx.fills(desk.account, session=last.session))
        equity = cash + sum((p.quantity * (p.mark or p.avg_px) for p in tx.positions(desk.account)), ZERO)
    return SessionRecord(
        account=desk.account, session=times.session, phase=SessionPhase.RUNNING, opening_cash_usd=cash,
        opening_equity_usd=equity, was_flat=not tx.positions(desk.account) and not tx.open_orders(desk.account),
        cursor_at=None, decision_hash="", code_version=desk.provenance.code_version,
        config_hash=desk.provenance.config_hash, started_at=times.opens_at, run_id=desk.provenance.run_id,
    )  # fmt: skip


def _require_next(desk: Desk, last: SessionRecord, times: SessionTimes) -> None:
    if last.session > times.session:
        raise LedgerError(
            f"account {desk.account} has already traded {last.session}; sessions run in date order, "
            f"and {times.session} is earlier. Try it without recording: trading-pipeline session replay --dry-run "
            f"--session {times.session}"
        )
    if last.phase is not SessionPhase.CLOSED:
        raise LedgerError(
            f"session {last.session} of account {desk.account} was interrupted at {last.cursor_at}. Finish it first: "
            f"trading-pipeline session replay --session {last.session}"
        )


def _require_none_left_out(desk: Desk, held: Sequence[Position], due: date, times: SessionTimes) -> None:
    """A position lives through every session: its stop may fill in any."""
    if held and due < times.session:
        raise LedgerError(
            f"account {desk.account} holds {len(held)} position(s): {', '.join(p.symbol for p in held)}. Session {due} "
            f"is not on record, and {times.session} cannot come before it. Run it first: trading-pipeline session "
            f"replay --session {due}"
        )
