"""The breaker while a session runs: every round it measures, latches, and carries out what is latched.

Every step may be repeated after a crash: what is on record is found and not done again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from trading_pipeline.domain.breaker import Cause, SessionPeak, money_causes
from trading_pipeline.domain.breaker_rules import Trigger
from trading_pipeline.domain.control import (
    Alert,
    AlertLevel,
    Block,
    BlockKind,
    TradingState,
    TradingStateRecord,
)
from trading_pipeline.domain.errors import OutcomeUnknown
from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.orders import Order, Side
from trading_pipeline.domain.positions import ExitReason
from trading_pipeline.domain.protection import SETTLED
from trading_pipeline.domain.submission import grows_exposure
from trading_pipeline.domain.trading_session import RiskEvent, SessionRecord
from trading_pipeline.services.care.asking import Quotes, ask_cancel, say_once
from trading_pipeline.services.care.requests import exit_request
from trading_pipeline.services.condition_watch import ConditionWatch
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.flattening import closed_elsewhere_until, end_when_flat, wanted
from trading_pipeline.services.latch import Latched, look_at
from trading_pipeline.services.levels import levels_of
from trading_pipeline.services.modes.terms import under
from trading_pipeline.services.trading_state import adopt, current_state, trip

log = logging.getLogger(__name__)
BY = "breaker"


@dataclass(slots=True)
class Breaker:
    """One session's breaker. is_live: on the real clock. is_repeated: conditions come from a record, not from here."""

    desk: Desk
    times: SessionTimes
    is_live: bool = False
    is_repeated: bool = False
    _conditions: ConditionWatch = field(init=False)
    _verified: datetime | None = None

    def __post_init__(self) -> None:
        self._conditions = ConditionWatch(self.desk, self.times)

    # the latch

    def align(self) -> None:
        """Bring the record in line with a file that is stricter: a kill may have found no database."""
        if self.desk.latch is None:
            return
        latched = self.desk.latch.look()
        if latched.trip is None:
            self._tell_unreadable(latched)
            return
        adopt(self.desk.ledger, latched.trip)
        self.desk.latch.retry()
        self.desk.latch.on_record()

    def keep_off(self, row: TradingStateRecord | None) -> None:
        """Send nothing while a kill that left no file here, but a row, may be selling what is held."""
        if self.desk.latch is not None:
            self.desk.latch.keep_off(closed_elsewhere_until(row, self.desk.latch.look()))

    def _tell_unreadable(self, latched: Latched) -> None:
        if latched.state is not TradingState.ACTIVE:
            self._alert("latch_unreadable", AlertLevel.CRITICAL, latched.words, "once")

    def is_halted(self) -> bool:
        """True while no entry may stay at the venue, by record or file."""
        if look_at(self.desk.latch).state is TradingState.HALTED:
            return True
        with self.desk.ledger.read() as tx:
            return current_state(tx, self.desk.account) is TradingState.HALTED

    # measuring

    def watch(self, record: SessionRecord, quotes: Quotes, unheard: int) -> None:
        """Measure everything, latch what has tripped, and carry it out."""
        self._watch_money(record)
        self._watch_differences(record)
        if not self.is_repeated and self._conditions.measure(quotes, unheard, is_live=self.is_live):
            self._ask_exits("a condition that is set to close positions began")
        self.carry_out(record)

    def note_silence(self, unheard: int) -> None:
        """The venue left a question without an answer, for the nth time in a row."""
        if not self.is_repeated:
            self._conditions.note_silence(unheard)

    def _watch_money(self, record: SessionRecord) -> None:
        with self.desk.ledger.read() as tx:
            levels = levels_of(tx, record)
            rules = under(self.desk, tx, record.session, levels.equity_usd).rules
            causes = money_causes(levels, rules.risk, rules.breaker)
            near = [block for block in tx.blocks(self.desk.account) if block.kind is BlockKind.BREAKER]
        if levels.equity_usd > levels.peak_usd:
            self._put_peak(record, levels.equity_usd)
        self._end_near([block for block in near if block.block_id.startswith(Trigger.DAILY_LOSS_NEAR.value)])
        for cause in causes:
            if cause.trigger is Trigger.DAILY_LOSS_NEAR:
                self._begin_near(cause)
            else:
                trip(self.desk, record.session, cause)

    def _put_peak(self, record: SessionRecord, equity_usd: Decimal) -> None:
        peak = SessionPeak(
            account=record.account, session=record.session, equity_usd=equity_usd, reached_at=self.desk.clock.now()
        )  # fmt: skip
        with self.desk.ledger.transaction() as tx:
            tx.save_session_peak(peak)

    def _near_id(self) -> str:
        return f"{Trigger.DAILY_LOSS_NEAR.value}-{self.desk.account}-{self.times.session}"

    def _begin_near(self, cause: Cause) -> None:
        """Only exits for the rest of the session: said once, and whatever becomes of the loss."""
        now, block_id = self.desk.clock.now(), self._near_id()
        event = RiskEvent(
            event_id=block_id, account=self.desk.account, session=self.times.session, occurred_at=now,
            kind=cause.trigger.value, severity="WARNING", message=cause.words,
            data={"measured": cause.measured, "limit": cause.limit},
        )  # fmt: skip
        with self.desk.ledger.transaction() as tx:
            if say_once(tx, event):
                block = Block(
                    block_id=block_id, account=self.desk.account, symbol="", kind=BlockKind.BREAKER,
                    reason=cause.words, since=now,
                )  # fmt: skip
                tx.add_block(block)

    def _end_near(self, near: list[Block]) -> None:
        """The limit is a day's: with the next session it begins anew."""
        past = [block for block in near if block.block_id != self._near_id()]
        if past:
            with self.desk.ledger.transaction() as tx:
                for block in past:
                    tx.clear_block(block.block_id, self.desk.clock.now(), BY)

    def _watch_differences(self, record: SessionRecord) -> None:
        rule, now = self.desk.rules.breaker.reconciliation, self.desk.clock.now()
        with self.desk.ledger.read() as tx:
            passed = tx.last_reconciliation(self.desk.account)
        if passed is None or passed.session != record.session or not rule.enabled:
            return
        oldest = now - timedelta(seconds=rule.lasting_seconds)
        lasting = [one for one in passed.breaks if one.blocks and one.since is not None and one.since <= oldest]
        if lasting:
            words = f"{len(lasting)} difference(s) between record and venue last longer than {rule.lasting_seconds} s"
            cause = Cause(
                trigger=Trigger.RECONCILIATION, state=TradingState.HALTED, measured=lasting[0].words,
                limit=f"{rule.lasting_seconds} s", words=f"{words} (first: {lasting[0].words})",
                flattens=rule.flattens,
            )  # fmt: skip
            trip(self.desk, record.session, cause)

    # carrying it out

    def carry_out(self, record: SessionRecord) -> None:
        """While HALTED no entry stays at the venue; their legs and all stops do, unless positions are closed."""
        if self.is_halted():
            self._withdraw()
        with self.desk.ledger.read() as tx:
            flatten = wanted(tx, look_at(self.desk.latch), record.account, record.session)
        if flatten is not None:
            self._ask_exits(flatten.words, flatten.reason)
            end_when_flat(self.desk, record.session)

    def _withdraw(self) -> None:
        with self.desk.ledger.read() as tx:
            working = [order for order in tx.open_orders(self.desk.account) if grows_exposure(order)]
        for order in working:
            if order.status in SETTLED:
                ask_cancel(self.desk, order)
        if not working:
            self._verify()

    def _verify(self) -> None:
        """The venue itself is asked, until it shows no entry of ours; then it is said once."""
        with self.desk.ledger.read() as tx:
            row = tx.trading_state(self.desk.account)
        since = row.changed_at if row else self.desk.clock.now()
        if self._verified == since:
            return
        left = self._entries_at_venue()
        if left is None:
            return
        for order in left:
            ask_cancel(self.desk, order)
        if not left:
            self._verified = since
            words = "the venue shows no working entry of ours any more; stops stay"
            self._alert("entries_withdrawn", AlertLevel.INFO, words, since.isoformat())

    def _entries_at_venue(self) -> list[Order] | None:
        """Entries on our record that the venue still works; None when it does not answer."""
        try:
            shown = [one.client_order_id for one in self.desk.broker.open_orders() if one.side is Side.BUY]
        except OutcomeUnknown:
            return None
        with self.desk.ledger.read() as tx:
            return list(tx.orders_named(sorted(shown)).values())

    def _ask_exits(self, why: str, reason: ExitReason = ExitReason.CIRCUIT_BREAKER) -> None:
        """Everything held is to be left; what this session's time does not allow is left at the next open."""
        now = self.desk.clock.now()
        with self.desk.ledger.transaction() as tx:
            for position in tx.positions(self.desk.account):
                say_once(
                    tx,
                    exit_request(
                        position, self.times.session, reason=reason, operator=BY,
                        text=self._when(now, why), now=now,
                    ),
                )  # fmt: skip

    def _when(self, now: datetime, why: str) -> str:
        is_late = now >= self.times.closes_at - timedelta(minutes=max(self.desk.base_bar_minutes, 1))
        return f"{why} (the session ends: queued for the next open)" if is_late else why

    def _alert(self, kind: str, level: AlertLevel, message: str, what: str) -> None:
        alert_id = f"{kind}-{self.desk.account}-{self.times.session}-{what}"
        with self.desk.ledger.read() as tx:
            told = {one.alert_id for one in tx.alerts(self.desk.account, self.times.session)}
        if alert_id in told:
            return
        alert = Alert(
            alert_id=alert_id, account=self.desk.account, session=self.times.session,
            occurred_at=self.desk.clock.now(), level=level, kind=kind, message=message, data={},
        )  # fmt: skip
        with self.desk.ledger.transaction() as tx:
            tx.add_alert(alert)
