"""What is done at the venue at any instant: reports, reconciliation, a halt carried out, protection, orders out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime

from trading_pipeline.domain.alert_kinds import alert
from trading_pipeline.domain.control import TradingStateRecord
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.orders import Order, OrdStatus
from trading_pipeline.domain.protection import cover_of
from trading_pipeline.domain.setups import ScanSnapshot
from trading_pipeline.domain.submission import grows_exposure
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.services import care
from trading_pipeline.services.breaker_watch import Breaker
from trading_pipeline.services.care.exits import started_exits
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.dispatch import NOTHING, dispatch_due
from trading_pipeline.services.modes.noting import TermsWatch
from trading_pipeline.services.order_sync import sync_orders
from trading_pipeline.services.reconcile import Reconciler
from trading_pipeline.services.reconciled import is_reconciled
from trading_pipeline.services.session_acts import note_trading_state

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Cycle:
    """One session's dealings with the venue. Every part may be repeated: what was done is found and not done again."""

    desk: Desk
    times: SessionTimes
    reconciler: Reconciler
    is_live: bool = False
    """True on the real clock."""
    is_repeated: bool = False
    """True for a recorded session that is run again."""
    _synced_to: datetime | None = None
    _breaker: Breaker = field(init=False)
    _terms: TermsWatch = field(init=False)
    _applied: set[str] = field(default_factory=set)
    _heard_of: int = 0
    _state: TradingStateRecord | None = None
    _unheard: int = 0
    _connections: int = 0

    def __post_init__(self) -> None:
        self._terms = TermsWatch(self.desk, self.is_repeated)
        self._breaker = Breaker(self.desk, self.times, self.is_live, self.is_repeated)

    def look(self, record: SessionRecord) -> None:
        """Reports first, then the comparison of record and venue when it is due; what it adopted brings reports.

        After each reconnect it is due: what happened meanwhile may not have been told.
        """
        connections = self.desk.connections()
        if connections != self._connections:
            if self._connections:
                self._tell_reconnected(connections)
            self._connections = connections
            self.reconciler.reconnected()
        self.sync(record)
        if self.reconciler.run_if_due() is not None:
            self.sync(record)

    def _tell_reconnected(self, connections: int) -> None:
        now = self.desk.clock.now()
        with self.desk.ledger.transaction() as tx:
            tx.raise_alert(
                alert(
                    "connection_restored", now.isoformat(), account=self.desk.account, session=self.times.session,
                    at=now, message="the connection to the venue was lost and is there again: record and venue are "
                    "compared before any entry leaves", data={"connections": str(connections)},
                )
            )  # fmt: skip

    def sync(self, record: SessionRecord) -> None:
        """Apply what the venue has reported since the last time; without an answer no entry leaves."""
        since = self._synced_to or self._unheard_since(record)
        synced = sync_orders(self.desk, self.times.session, since, self._applied)
        self._synced_to = synced.last_at or self._synced_to
        if synced.heard:
            self._unheard = 0
        else:
            self.note_silence("it did not tell what became of orders")

    def _unheard_since(self, record: SessionRecord) -> datetime:
        """Where a new process begins to ask: the process or the session before may have ended without hearing all."""
        with self.desk.ledger.read() as tx:
            past = [one.started_at for one in tx.session_records(record.account) if one.session < record.session]
        return max(past, default=record.started_at)

    def note_silence(self, silence: str) -> None:
        """Count it: after some in a row only exits leave, and after an answer record and venue are compared."""
        self._unheard += 1
        self.reconciler.reconnected()
        log.warning("the venue does not answer (%d in a row): %s", self._unheard, silence)
        self._breaker.note_silence(self._unheard)

    def note_trading_state(self, record: SessionRecord) -> None:
        """A state or a mode that others have set is noted before anything is done under it, by file or on record."""
        self._breaker.align()
        self._state = note_trading_state(self.desk, record, self._state)
        self._breaker.keep_off(self._state)
        self._terms.note(record)

    def attend(self, record: SessionRecord, quotes: care.Quotes) -> None:
        """A round between bars: exits that a person or the time asks for, protection, and what is due to leave."""
        self.look(record)
        self.watch(record, quotes)
        self.exit_what_is_due(record, quotes)
        self.dispatch(record)
        self.guard(record)

    def watch(self, record: SessionRecord, quotes: care.Quotes) -> None:
        """What may stop trading is measured; while it is HALTED no entry stays at the venue."""
        self._breaker.watch(record, quotes, self._unheard)

    def exit_what_is_due(
        self, record: SessionRecord, quotes: care.Quotes, snapshot: ScanSnapshot | None = None
    ) -> None:
        """An exit whose orders made room at once sells in the same step; what exits leave alone is guarded.

        So does the sale of a part: no bar passes in which its shares are under no stop and not for sale.
        """
        if care.exit_due(self.desk, self.times, quotes, snapshot):
            self.sync(record)
            care.exit_due(self.desk, self.times, quotes, snapshot)
        if care.guard_protection(self.desk, self.times):
            self.sync(record)
        care.write_partial_sales(self.desk, self.times)

    def dispatch(self, record: SessionRecord, *, sells_only: bool = False) -> None:
        """Send what is due; entries only while the venue answers and the record agrees with it."""
        with self.desk.ledger.read() as tx:
            agrees = is_reconciled(tx, self.desk, self.times.session, self.desk.clock.now())
        if dispatch_due(self.desk, sells_only=sells_only or not agrees or self._unheard > 0) != NOTHING:
            self.sync(record)

    def guard(self, record: SessionRecord) -> None:
        """After orders have left: a sale that was refused gives its stop back at once."""
        if care.guard_protection(self.desk, self.times):
            dispatch_due(self.desk, sells_only=True)
            self.sync(record)

    @property
    def is_heard(self) -> bool:
        """True unless the venue left the last question without an answer."""
        return self._unheard == 0

    def is_news(self) -> bool:
        """True when anybody has put something on record since this was last asked."""
        with self.desk.ledger.read() as tx:
            newest = max((number for number, _ in tx.audit_entries(after=self._heard_of)), default=self._heard_of)
        is_new, self._heard_of = newest > self._heard_of, newest
        return is_new

    def is_uneasy(self) -> bool:
        """True while an entry is filled in part; and, where a connection may fail, while an order is in doubt, a
        position that is not being left lies under no live stop, or the venue was not heard: look again soon."""
        with self.desk.ledger.read() as tx:
            orders, held = tx.open_orders(self.desk.account), tx.positions(self.desk.account)
            leaving = started_exits(tx, held)
        if not self.desk.connections():
            return any(_is_in_part(order) for order in orders)
        kept = (position for position in held if position.trade_id not in leaving)
        bare = (cover_of(p.quantity, [o for o in orders if o.symbol == p.symbol]).bare for p in kept)
        return self._unheard > 0 or any(_is_uneasy(order) for order in orders) or any(bare)


def _is_in_part(order: Order) -> bool:
    return grows_exposure(order) and order.status is OrdStatus.PARTIALLY_FILLED


def _is_uneasy(order: Order) -> bool:
    return _is_in_part(order) or order.status is OrdStatus.IN_DOUBT
