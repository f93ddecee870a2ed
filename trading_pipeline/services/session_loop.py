"""One trading session, step by step: market, reports, care, decisions, dispatch, record.

The same loop runs on the real clock and on an accelerated one. On a real one it also acts every few seconds between
bars, and twice as often while there is something to look at again soon. It never acts on an instant before the last one
it acted on, whatever the machine's clock does. Every step may be repeated after a crash: what it already did is found
and not done again, and it resumes after the last step that was recorded as done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial

from trading_pipeline.domain.correlation import working_on
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.market import SessionTimes, require_aware
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.ports import BarFeed, Clock, SimulatedMarket
from trading_pipeline.services import care
from trading_pipeline.services.closing import mark_unheard, require_an_answer
from trading_pipeline.services.cycle import Cycle
from trading_pipeline.services.decision_log import decision_log, log_hash
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.entries import decide_on_snapshot
from trading_pipeline.services.opening import opening_record, require_time_to_leave
from trading_pipeline.services.rebalancer import Rebalancer
from trading_pipeline.services.reconcile import Reconciler
from trading_pipeline.services.session_acts import RecordedActs
from trading_pipeline.services.session_news import tell_closed, tell_started
from trading_pipeline.services.startup import StartUp
from trading_pipeline.services.valuing import Valuation
from trading_pipeline.services.waiting import LiveWait, rounds_between

log = logging.getLogger(__name__)
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
    real_clock: Clock | None = None
    """The clock that `live` sleeps on; between bars the loop acts every few seconds by it. None: at bar ends only."""
    acts: RecordedActs | None = None
    """What people did in the recorded session that is run again; None: they act now."""
    start_up: StartUp | None = None
    """What must be good before the first entry; None: nobody looks."""
    _cycle: Cycle | None = None
    _delivered: dict[str, datetime] = field(default_factory=dict)
    _quotes: care.Quotes = field(default_factory=dict)
    _snapshots: tuple[ScanSnapshot, ...] = ()
    _decided: str = ""
    _valuation: Valuation = field(init=False)

    def __post_init__(self) -> None:
        self._valuation = Valuation(self.desk)

    def run(self) -> SessionRecord:
        """Run to the close, or until stop is requested; returns the session's record. A closed session is returned
        unchanged."""
        desk = self.desk
        with working_on(account=desk.account, session=self.times.session, run=desk.provenance.run_id):
            record = self._run()
            log.info("the session is %s", record.phase.value)
            return record

    def _run(self) -> SessionRecord:
        record = self._start()
        if record.phase is SessionPhase.CLOSED:
            return record
        if not self._enter(record):
            return record
        ends = self.feed.bar_ends(self.times)
        self._quotes = self.feed.quotes(self.times, record.cursor_at, self._watched()) if record.cursor_at else {}
        self._snapshots = self._read_snapshots()
        for number, instant in enumerate(ends):
            if record.cursor_at is not None and instant <= record.cursor_at:
                continue
            done_before = ends[number - 1] if number else None
            if not self._wait(record, instant, done_before or self.times.opens_at):
                return self._catch_up(record, done_before)
            if not self._is_missed(instant, ends[number + 1 : number + 2]):
                left = len(ends) - number - 1
                record = self._heard(
                    record, partial(self._step, instant=instant, done_before=done_before, bars_left=left)
                )
            if self.on_step:
                self.on_step(instant, number + 1, len(ends))
        return self._heard(record, self._close)

    @property
    def cycle(self) -> Cycle:
        """What the loop does at the venue."""
        if self._cycle is None:
            reconciler, is_live = Reconciler(self.desk, self.times.session), self.real_clock is not None
            self._cycle = Cycle(self.desk, self.times, reconciler, is_live=is_live, is_repeated=self.acts is not None)
        return self._cycle

    def _live_wait(self) -> LiveWait | None:
        if self.real_clock is None:
            return None
        return LiveWait(self.desk, self.real_clock, self.stop_requested, self.desk.news)

    def _start(self) -> SessionRecord:
        desk = self.desk
        for instant in (self.times.opens_at, self.times.closes_at, desk.clock.now()):
            require_aware(instant)
        with desk.ledger.read() as tx:
            known = tx.session_record(desk.account, self.times.session)
        if known is not None:
            return known
        require_time_to_leave(desk, self.feed.base_minutes())
        with desk.ledger.transaction() as tx:
            record = opening_record(desk, tx, self.times, self.session_after)
            tx.save_session_record(record)
            if not self.times.follows_at_once:  # else the session before has told of this instant, as its close
                self._valuation.put(tx, record, self.times.opens_at)
            tell_started(tx, record, desk.clock.now())
        return record

    def _enter(self, record: SessionRecord) -> bool:
        """At the open, or where an earlier process stopped: reports, then reconciliation; only then entries."""
        if self.start_up is not None:
            self.start_up.look(is_open=False)
        if record.cursor_at is None and not self._wait(record, self.times.opens_at, None):
            return False
        self.desk.clock.sleep_until(record.cursor_at or self.times.opens_at)
        self._heard(record, self._look_and_protect)
        return True

    def _look_and_protect(self, record: SessionRecord) -> SessionRecord:
        if record.cursor_at is not None:
            self.cycle.look(record)
            self._make_ready()
            return record
        self._hear_people(record)
        splits, dividends = self.feed.actions(self.times)
        care.apply_splits(self.desk, self.times, splits)
        if self.market is not None:
            self.market.on_session_open(self.times, splits, dividends)
        self.cycle.look(record)
        self.cycle.guard(record)
        self._protect(record)
        self._make_ready()
        return record

    def _wait(self, record: SessionRecord, instant: datetime, since: datetime | None) -> bool:
        """Sleep to the instant, attending to orders on the way from `since`; False when a stop was requested instead.

        On an accelerated clock there are no rounds but those of the session that is run again, and a few after a
        bar that left something to look at again soon.
        """
        if (live := self._live_wait()) is not None:
            return self._wait_live(record, instant, since, live)
        for at in rounds_between(self.desk, self.acts, since, instant, self.cycle.is_uneasy) if since else ():
            self.desk.clock.sleep_until(at)
            self._hear_people(record)
            self.cycle.attend(record, self._quotes)
        self.desk.clock.sleep_until(instant)
        return not self.stop_requested()

    def _hear_people(self, record: SessionRecord) -> None:
        """What they have set since the last look is noted; in a session that is run again they do it again."""
        if self.acts is not None:
            self.acts.repeat(self.desk)
        self.cycle.note_trading_state(record)

    def _make_ready(self) -> None:
        """Let entries leave once all that must be good is."""
        if self.start_up is not None:
            self.start_up.look()

    def _wait_live(self, record: SessionRecord, instant: datetime, since: datetime | None, live: LiveWait) -> bool:
        if since is None:
            every = timedelta(seconds=self.desk.rules.cadence.cycle_seconds)
            return live.quietly(instant, live.real_clock.now(), every)
        return live.until(instant, since, self._pace, partial(self._attend, record))

    def _pace(self) -> timedelta:
        """Until the next round: half as long after one that left something to look at again soon.

        A venue that does not answer is asked no sooner for it.
        """
        every = timedelta(seconds=self.desk.rules.cadence.cycle_seconds)
        return every / 2 if self.cycle.is_heard and self.cycle.is_uneasy() else every

    def _attend(self, record: SessionRecord) -> None:
        """A round between bars; at a market that only this loop moves, only when something new is on record."""
        self._hear_people(record)
        self._make_ready()
        if self.market is not None and not self.cycle.is_news() and not self.cycle.is_uneasy():
            return
        try:
            self.cycle.attend(record, self._quotes)
        except OutcomeUnknown as silence:
            self.cycle.note_silence(str(silence))

    def _heard(self, record: SessionRecord, act: Callable[[SessionRecord], SessionRecord]) -> SessionRecord:
        """Act, and on the real clock act again while the venue does not answer; every act may be repeated."""
        while True:
            try:
                done = act(record)
            except OutcomeUnknown as silence:
                if (live := self._live_wait()) is None:
                    raise
                self.cycle.note_silence(str(silence))
                live.pause(timedelta(seconds=self.desk.rules.cadence.cycle_seconds))
                if self.stop_requested():
                    return record
            else:
                return done

    def _is_missed(self, instant: datetime, following: Sequence[datetime]) -> bool:
        """True for a bar end that a venue with a market of its own has left behind: nothing is decided on it now."""
        if self.market is not None or self.real_clock is None or not following:
            return False
        is_late = self.real_clock.now() >= following[0]
        if is_late:
            log.warning("the bar that ended at %s is passed over: it is %s", instant, self.real_clock.now())
        return is_late

    def _step(
        self, record: SessionRecord, *, instant: datetime, done_before: datetime | None, bars_left: int
    ) -> SessionRecord:
        self.desk.give_sign()
        desk, snapshot = self.desk, self._snapshot_at(instant)
        signals = self._rebalancer().due(desk, instant)
        wanted = self._watched(snapshot) | (self.market.symbols_of_interest() if self.market else frozenset())
        if not wanted and snapshot is None and signals is None:
            return self._record_idle(record, instant)
        record = self._catch_up(record, done_before)
        self._hear_people(record)
        self._make_ready()
        before, self._quotes = self._quotes, self.feed.quotes(self.times, instant, self._watched(snapshot))
        care.flag_unannounced_splits(desk, self.times, self._quotes)
        if self.market is not None:
            self._deliver_bars(self.market, wanted, done_before or self.times.opens_at, instant)
        self.cycle.look(record)
        self._care(record, before, snapshot, bars_left)
        self._decide(record, instant, snapshot, signals if bars_left > 1 else None)
        self.cycle.dispatch(record)
        self.cycle.sync(record)
        if bars_left > 1:
            self.cycle.guard(record)
        return self._record_step(record, instant)

    def _care(self, record: SessionRecord, before: care.Quotes, snapshot: ScanSnapshot | None, bars_left: int) -> None:
        """What is held and what works at the venue, before anything new is decided."""
        desk = self.desk
        positions = care.mark_positions(desk, self._quotes)
        self.cycle.watch(record, self._quotes)
        if care.cancel_stale_entries(desk, self.times):
            self.cycle.sync(record)  # what has ended is known before anything is decided, after a restart as well
        care.take_partial_profits(desk, self.times, positions, before, self._quotes)
        care.trail_stops(desk, positions, before, self._quotes)
        if bars_left > 1:
            self.cycle.exit_what_is_due(record, self._quotes, snapshot)
        elif positions:
            self._prepare_the_night(record)

    def _decide(
        self, record: SessionRecord, instant: datetime, snapshot: ScanSnapshot | None, signals: ScanSnapshot | None
    ) -> None:
        desk = self.desk
        if snapshot is not None and desk.rules.decider == "loop":
            if desk.rules.signals == "sabr20":
                decide_on_snapshot(desk, snapshot, self.times, self._quotes)
            self._decided = snapshot.snapshot_id
        if signals is not None and self._rebalancer().step(desk, signals, instant):
            self.cycle.sync(record)
            self._rebalancer().step(desk, signals, instant)

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

    def _prepare_the_night(self, record: SessionRecord) -> None:
        """From the last but one bar on, what could not be sold gets its stop for the night: no exit touches it."""
        care.release_day_legs(self.desk)
        self.cycle.sync(record)
        care.protect_overnight(self.desk, self.times)

    def _protect(self, record: SessionRecord) -> None:
        """At the open and after the close: a position that nothing covers gets a stop that outlives the session."""
        care.protect_overnight(self.desk, self.times)
        self.cycle.dispatch(record, sells_only=True)

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
                self._valuation.put(tx, record, instant)
            tx.save_session_record(moved)
        return moved

    def _is_point_due(self, instant: datetime) -> bool:
        every = timedelta(minutes=self.desk.rules.equity_point_minutes)
        return (instant - self.times.opens_at) % every == timedelta(0)

    def _close(self, record: SessionRecord) -> SessionRecord:
        desk = self.desk
        if self.market is not None:
            self.market.on_session_close(self.times)
        desk.clock.sleep_until(self.times.closes_at)
        self.cycle.sync(record)
        if not self.cycle.is_heard and not self.times.follows_at_once:
            require_an_answer(self.times.closes_at, self.real_clock)
        self._protect(record)
        with desk.ledger.transaction() as tx:
            care.alarm_unprotected(desk, tx, self.times)
            if not any(
                p.at == self.times.closes_at for p in tx.equity_points(desk.account, record.session, record.session)
            ):
                self._valuation.put(tx, record, self.times.closes_at)
            if not self.cycle.is_heard:
                mark_unheard(tx, record, self.times.closes_at)
            digest = log_hash(decision_log(tx, desk.account, record.session))
            closed = replace(record, phase=SessionPhase.CLOSED, cursor_at=self.times.closes_at, decision_hash=digest)
            tx.save_session_record(closed)
            tell_closed(tx, closed, self.times.closes_at)
        return closed
