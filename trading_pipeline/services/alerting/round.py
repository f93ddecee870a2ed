"""One pass of the deliverer over the queue, inside one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random

from trading_pipeline.domain import alert_kinds, alerting
from trading_pipeline.domain.alert_rules import AlertRules
from trading_pipeline.domain.alerting import ABOUT_CHANNEL, ChannelRecord, CircuitState, Delivery, DeliveryState
from trading_pipeline.ports.alerting import AlertTransaction

DEAD, RESTORED = "alert_channel_dead", "alert_channel_restored"


@dataclass(slots=True)
class Round:
    """The transaction, the instant, and how the channels stand: `records` is a copy that counts once committed."""

    tx: AlertTransaction
    rules: AlertRules
    now: datetime
    records: dict[str, ChannelRecord]
    chance: Random
    _changed: dict[str, ChannelRecord] = field(default_factory=dict)

    def record(self, name: str) -> ChannelRecord:
        """How the channel stands."""
        return self.records.get(name) or ChannelRecord(name=name)

    def put(self, record: ChannelRecord) -> None:
        """It stands differently now."""
        if record != self.records.get(record.name):
            self.records[record.name] = self._changed[record.name] = record

    def save_records(self) -> None:
        """Put on record what changed."""
        for name in sorted(self._changed):
            self.tx.save_channel(self._changed[name])
        self._changed.clear()

    @property
    def dead(self) -> tuple[str, ...]:
        """Channels that are not counted on."""
        return tuple(name for name, one in self.records.items() if one.circuit is not CircuitState.CLOSED)

    def succeeded(self, name: str) -> None:
        """The channel took a message; the others hear of it when it had been dead."""
        before = self.record(name)
        self.put(alerting.succeeded(before, self.now))
        if before.circuit is not CircuitState.CLOSED:
            self._tell(RESTORED, name, before, f"the alert channel {name} takes messages again")

    def failed(self, name: str, words: str) -> None:
        """It did not; the others hear of it, once, when it is given up."""
        before = self.record(name)
        after = alerting.failed(before, words, self.rules.circuit, self.now)
        self.put(after)
        if after.circuit is CircuitState.OPEN and before.opened_at is None:
            self._tell(
                DEAD, name, after, f"the alert channel {name} is dead: {after.failures} messages in a row failed "
                f"({words}). Others are told in its place. See: trading-pipeline alerts channels",
            )  # fmt: skip

    def _tell(self, kind: str, name: str, record: ChannelRecord, message: str) -> None:
        opened_at = record.opened_at or self.now
        self.tx.raise_alert(
            alert_kinds.alert(
                kind, name, opened_at.isoformat(), account="", session=opened_at.date(), at=self.now, message=message,
                data={ABOUT_CHANNEL: name},
            )
        )  # fmt: skip

    def turn_away(self, parts: Sequence[Delivery], why: str, *, is_tired: bool = False) -> None:
        """Deliveries a channel does not take now: the next channel is told, or they are tried again, or have failed.

        is_tired: their channel will not be asked again, whatever the number of attempts.
        """
        standing = self.tx.told_channels([part.alert_id for part in parts])
        alerts = self.tx.alerts_named([part.alert_id for part in parts])
        changed, further = list[Delivery](), list[Delivery]()
        for part in parts:
            told = standing.get(part.alert_id, {})
            is_dead = part.channel in self.dead
            tired = is_tired or (part.attempts >= self.rules.retry.attempts and not is_dead)
            is_given_up = tired or is_dead
            next_name = alerting.next_told(alerts[part.alert_id], tuple(told), self.rules, self.dead)
            if is_given_up and next_name is not None:
                changed.append(self._settled(part, DeliveryState.ESCALATED, f"{why}; {next_name} is told"))
                further.append(self._moved(part, next_name, why))
            elif is_given_up and self._may_end(part, told, is_tired=tired):
                changed.append(self._settled(part, DeliveryState.FAILED, f"{why}; no other channel is left"))
            else:
                changed.append(self._again(part, why))
        self.tx.save_deliveries(changed)
        self.tx.add_deliveries(further)

    def _may_end(self, part: Delivery, told: Mapping[str, DeliveryState], *, is_tired: bool) -> bool:
        """A CRITICAL alert ends only when another channel delivered it."""
        if part.is_critical:
            return is_tired and DeliveryState.DELIVERED in told.values()
        return is_tired

    def _settled(self, part: Delivery, state: DeliveryState, reason: str) -> Delivery:
        return replace(part, state=state, reason=reason, settled_at=self.now, handed_at=None)

    def _again(self, part: Delivery, why: str) -> Delivery:
        probe_at = self.record(part.channel).probe_at if part.channel in self.dead else None
        due_at = probe_at or alerting.retry_at(max(1, part.attempts), self.rules.retry, self.now, self.chance)
        return replace(
            part, state=DeliveryState.PENDING, reason=why, due_at=due_at, message_id="", handed_at=None
        )  # fmt: skip

    def _moved(self, part: Delivery, name: str, why: str) -> Delivery:
        return replace(
            part, channel=name, state=DeliveryState.PENDING, reason="", bundle=part.bundle, due_at=self.now,
            created_at=self.now, attempts=0, maybe_sent=False, message_id="", handed_at=None, settled_at=None,
            escalated_from=f"{part.channel} did not take it ({why})",
        )  # fmt: skip
