"""The deliverer: from the ledger's alerts to people, a worker of the relay.

Each pass is a few short transactions, so that who trades never waits long for one: outcomes in, new alerts queued and
escalation; then for every free channel its next message marked as leaving. Only then is it handed over: a crash in
between, or after, is an unknown outcome, and the message is sent again with a note. No two workers write: the ledger is
fenced by the lease.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from trading_pipeline.domain import alerting
from trading_pipeline.domain.alert_pace import messages_left, one_less
from trading_pipeline.domain.alert_rules import AlertRules
from trading_pipeline.domain.alert_text import Redact, Writer
from trading_pipeline.domain.alerting import (
    ChannelRecord,
    CircuitState,
    Delivery,
    DeliveryState,
    Message,
    Outcome,
    Watch,
)
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.ports import Clock
from trading_pipeline.ports.alerting import AlertLedger, AlertTransaction, Line
from trading_pipeline.services.alerting.escalation import escalate, watch_horizon, watch_of
from trading_pipeline.services.alerting.picking import pick
from trading_pipeline.services.alerting.round import Round
from trading_pipeline.services.alerting.settling import COUNTED, NAMED, leave, recover, settle

POLL = timedelta(milliseconds=250)
"""How often it looks for something new: a CRITICAL alert is taken up well within a second."""
IN_FLIGHT = timedelta(milliseconds=50)
LAST_TURN, LAST_WAIT = timedelta(seconds=5), timedelta(seconds=5)
"""At a clean end, or of a single pass: for what is due, and then for what is on its way."""
INTAKE, BUNDLE = 100, 250
"""Alerts queued, and deliveries looked at for a message, in one transaction: others want to write too."""


class Deliverer:
    """A Worker of the relay. Called from one thread; only the lines have threads of their own."""

    def __init__(
        self, ledger: AlertLedger, rules: AlertRules, lines: Mapping[str, Line], clock: Clock, *,
        redact: Redact, chance: Random,
    ) -> None:  # fmt: skip
        """lines: of the channels that are enabled, by name. chance: of the jitter between tries, seeded."""
        self._ledger, self._rules, self._lines, self._clock = ledger, rules, lines, clock
        self._chance = chance
        self._writers = {
            name: Writer(zone=rules.zone, redact=redact, max_characters=rules.channels[name].max_characters)
            for name in lines
        }
        self._order = [name for name in rules.in_order() if name in lines]
        self._records: dict[str, ChannelRecord] | None = None
        self._outcomes = list[Outcome]()
        self._queued_no = 0

    @property
    def name(self) -> str:
        """Of its lease too."""
        return "alerts"

    def step(self) -> timedelta:
        """One pass; how long until the next. Raises LedgerError, after which the same pass may be tried again."""
        now = self._clock.now()
        self._collect()
        if self._records is not None and not self._outcomes and not self._is_due(now, self._records):
            return self._wait()
        try:
            is_more = self._take_in(now)
            for name in self._order:
                self._tell(name, now)
        except LedgerError:
            self._records = None  # whether it was committed nobody knows: begin as after a crash
            raise
        return timedelta(0) if is_more else self._wait()

    def end(self) -> None:
        """What is due gets its turn for a moment, and what is on its way its outcome, so that it is not sent twice."""
        stop_at = self._clock.now() + LAST_TURN
        while self._clock.now() < stop_at and (self.step() < POLL or self._busy()):
            self._clock.sleep_until(self._clock.now() + IN_FLIGHT)
        give_up_at = self._clock.now() + LAST_WAIT
        while self._busy() and self._clock.now() < give_up_at:
            self._clock.sleep_until(self._clock.now() + IN_FLIGHT)
            self._collect()
        self._put_down()

    def _put_down(self) -> None:
        """The last outcomes, and nothing new."""
        if self._records is not None and self._outcomes:
            with self._ledger.transaction() as tx:
                work = Round(tx, self._rules, self._clock.now(), dict(self._records), self._chance)
                self._settle(work)
                work.save_records()
            self._outcomes.clear()

    def _collect(self) -> None:
        self._outcomes += [found for line in self._lines.values() if (found := line.outcome()) is not None]

    def _flying(self) -> set[str]:
        """Messages whose outcome this process knows, or will know."""
        return {line.message_id for line in self._lines.values()} | {one.message_id for one in self._outcomes}

    def _busy(self) -> bool:
        return any(not line.is_free for line in self._lines.values())

    def _wait(self) -> timedelta:
        return IN_FLIGHT if self._busy() else POLL

    def _is_due(self, now: datetime, records: Mapping[str, ChannelRecord]) -> bool:
        """Whether there is anything to write: asked without taking the writers' turn."""
        with self._ledger.read() as tx:
            if tx.newest_alert_no() != self._queued_no or tx.due_watches(
                now, watch_horizon(self._rules.escalation, now), 1
            ):
                return True
            return any(
                tx.due_deliveries(name, now, self._horizon(now), 1)
                for name in self._order
                if self._may_move(name, records.get(name) or ChannelRecord(name=name), now)
            )

    def _may_move(self, name: str, record: ChannelRecord, now: datetime) -> bool:
        """True when a due delivery of this channel can go somewhere: to the channel, or away from it."""
        if not alerting.may_send(record, self._rules.circuit, now):
            return True
        return self._lines[name].is_free and messages_left(record, self._rules.channels[name], now) > 0

    def _take_in(self, now: datetime) -> bool:
        """Outcomes, new alerts, and those nobody acknowledged; True when there is more of them at once."""
        with self._ledger.transaction() as tx:
            known = self._records
            work = Round(tx, self._rules, now, dict(tx.channel_records() if known is None else known), self._chance)
            if known is None:
                recover(work, self._flying())
                leave(work, self._order)
            self._settle(work)
            queued, taken = self._queue(tx, now)
            escalated = escalate(work)
            work.save_records()
        self._records, self._queued_no = work.records, queued
        self._outcomes.clear()
        return taken == INTAKE or escalated > 0

    def _tell(self, name: str, now: datetime) -> None:
        """Hand the channel its next message, once it is on record as leaving."""
        assert self._records is not None
        if not self._may_move(name, self._records.get(name) or ChannelRecord(name=name), now):
            return
        with self._ledger.read() as tx:
            if not tx.due_deliveries(name, now, self._horizon(now), 1):
                return
        with self._ledger.transaction() as tx:
            work = Round(tx, self._rules, now, dict(self._records), self._chance)
            message = self._next(work, name)
            work.save_records()
        self._records = work.records
        if message is not None:
            self._lines[name].hand(message)

    def _settle(self, work: Round) -> None:
        for outcome in self._outcomes:
            settle(work, outcome)

    def _queue(self, tx: AlertTransaction, now: datetime) -> tuple[int, int]:
        """Queue what is new; the number looked at up to, and how many alerts were taken up."""
        found = tx.unqueued_alerts(INTAKE)
        if not found:
            return tx.newest_alert_no(), 0
        noticed = tx.acknowledged([alert.alert_id for _, alert in found])
        deliveries, watches = list[Delivery](), list[Watch]()
        for number, alert in found:
            planned = alerting.deliveries_of(number, alert, self._rules, now)
            given = noticed.get(alert.alert_id)
            if given is not None:
                deliveries += [_not_needed(one, f"acknowledged by {given.operator}", now) for one in planned]
                continue
            deliveries += planned
            watch = watch_of(number, alert, self._rules.escalation, now) if self._order else None
            watches += [watch] if watch else []
        tx.add_deliveries(deliveries)
        tx.add_watches(watches)
        return found[-1][0], len(found)

    def _next(self, work: Round, name: str) -> Message | None:
        """The channel's next message, marked as leaving; None when it has none, or may not have one now."""
        record, limits = work.record(name), self._rules.channels[name]
        if not alerting.may_send(record, self._rules.circuit, work.now):
            self._divert(work, name)
            return None
        left = messages_left(record, limits, work.now)
        if not self._lines[name].is_free or left < 1:
            return None
        due = work.tx.due_deliveries(name, work.now, self._horizon(work.now), BUNDLE)
        if record.circuit is not CircuitState.CLOSED:
            due = sorted(due, key=lambda one: one.attempts)  # one that is itself the trouble must not stand for all
        picked = pick(work.tx, due, left, self._rules, work.now)
        work.tx.save_deliveries(picked.held)
        if not picked.parts:
            return None
        work.put(one_less(alerting.probing(record), limits, work.now))
        return self._marked(work, name, picked.parts)

    def _marked(self, work: Round, name: str, parts: Sequence[Delivery]) -> Message:
        alerts = work.tx.alerts_named([part.alert_id for part in parts])
        written = self._writers[name].write(_message_id(parts), parts, alerts)
        work.tx.save_deliveries(
            [
                replace(
                    part, state=DeliveryState.SENDING, reason=NAMED if part.alert_id in written.named else COUNTED,
                    attempts=part.attempts + 1, message_id=written.message.message_id, handed_at=work.now,
                )
                for part in parts
            ]
        )  # fmt: skip
        return written.message

    def _divert(self, work: Round, name: str) -> None:
        """What waits for a dead channel goes to the next one, or waits for the next try."""
        parts = work.tx.due_deliveries(name, work.now, self._horizon(work.now), BUNDLE)
        if parts:
            record = work.record(name)
            expired = timedelta(hours=self._rules.escalation.expire_hours)
            old = [part for part in parts if work.now - part.created_at > expired]
            words = f"{name} is dead: {record.last_error}"
            work.turn_away([part for part in parts if part not in old], words)
            work.turn_away(old, words, is_tired=True)

    def _horizon(self, now: datetime) -> datetime:
        """Nothing keeps a CRITICAL alert back for longer than this; only a clock that was set back seems to."""
        rules = self._rules
        longest = max(
            rules.retry.longest_seconds, rules.circuit.longest_seconds, rules.escalation.unacknowledged_seconds
        )
        return now + timedelta(seconds=longest)


def _not_needed(one: Delivery, why: str, now: datetime) -> Delivery:
    return replace(one, state=DeliveryState.SUPPRESSED, reason=why, settled_at=now)


def _message_id(parts: Sequence[Delivery]) -> str:
    """The same message tried again is another one: outcomes must not be mixed up."""
    text = "|".join(f"{part.channel} {part.alert_id} {part.attempts}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
