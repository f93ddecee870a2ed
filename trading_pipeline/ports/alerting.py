"""What delivery of alerts asks of the world: the ledger's queue, and channels that reach people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from trading_pipeline.domain.alerting import (
    Acknowledgement,
    ChannelRecord,
    Delivery,
    DeliveryState,
    Message,
    Outcome,
    QueueDepth,
    Watch,
)
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.ports.ledger import LedgerTransaction


class AlertTransaction(LedgerTransaction, Protocol):
    """One transaction of the ledger that sees the queue of alerts too."""

    # what was raised
    def newest_alert_no(self) -> int:
        """Number of the newest alert on record; 0 where there is none. The cheapest question there is."""

    def unqueued_alerts(self, limit: int) -> Sequence[tuple[int, Alert]]:
        """Alerts that no delivery stands for yet, with their numbers, ascending."""

    def alerts_named(self, alert_ids: Sequence[str]) -> Mapping[str, Alert]:
        """Those of these alerts that are on record, by id."""

    # deliveries
    def add_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Queue them; an alert that is queued for a channel already stays as it is."""

    def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Their new states; a delivery that has its fate already keeps it."""

    def deliveries(self, alert_id: str) -> Sequence[Delivery]:
        """All of one alert, by channel."""

    def told_channels(self, alert_ids: Sequence[str]) -> Mapping[str, Mapping[str, DeliveryState]]:
        """How each of these alerts stands with each channel it was meant for."""

    def due_deliveries(self, channel: str, at: datetime, horizon: datetime, limit: int) -> Sequence[Delivery]:
        """Pending ones due at `at`, the loudest first, then the oldest.

        horizon: a CRITICAL one due only after it is due now: nothing keeps one back so long but a clock set back.
        """

    def of_message(self, message_id: str) -> Sequence[Delivery]:
        """Deliveries that left in one message and are not settled."""

    def sending(self) -> Sequence[Delivery]:
        """Deliveries handed to a channel whose outcome is not on record."""

    def last_told(self, channel: str, same: str) -> datetime | None:
        """When the channel was last given an alert that says the same."""

    def told_since(self, channel: str, rule: str, since: datetime) -> Sequence[datetime]:
        """When the channel was given messages of a rule, ascending."""

    def queue_depths(self) -> Sequence[QueueDepth]:
        """What waits, by channel."""

    # who is waited for
    def add_watches(self, watches: Sequence[Watch]) -> None:
        """Wait for acknowledgement of these; one waited for already stays as it is."""

    def due_watches(self, at: datetime, horizon: datetime, limit: int) -> Sequence[Watch]:
        """Of those that nobody acknowledged yet the ones whose next instant has come, or lies after the horizon."""

    def save_watches(self, watches: Sequence[Watch]) -> None: ...
    def open_watches(self, *, limit: int = 1000) -> Sequence[Watch]:
        """What waits for an acknowledgement, the oldest first."""

    def open_count(self) -> int:
        """How many alerts wait for an acknowledgement."""

    # acknowledgements
    def acknowledgement(self, alert_id: str) -> Acknowledgement | None: ...
    def acknowledged(self, alert_ids: Sequence[str]) -> Mapping[str, Acknowledgement]:
        """Those of these alerts that somebody has taken notice of."""

    def unacknowledged(self, kind: str, limit: int = 1000) -> Sequence[Alert]:
        """Alerts of a kind that nobody has taken notice of, the oldest first."""

    def add_acknowledgement(self, given: Acknowledgement) -> bool:
        """Put it on record, end the watch, and take back what was not sent yet; False when somebody was first."""

    def recent_alerts(
        self, *, level: AlertLevel | None = None, kind: str | None = None, account: str | None = None, limit: int = 50
    ) -> Sequence[tuple[Alert, Acknowledgement | None]]:
        """The newest alerts first, with who took notice."""

    # channels
    def channel_records(self) -> Mapping[str, ChannelRecord]:
        """How each channel that was ever used has done."""

    def save_channel(self, channel: ChannelRecord) -> None: ...


class AlertLedger(Protocol):
    """The ledger, seen by those who deliver alerts."""

    def transaction(self) -> AbstractContextManager[AlertTransaction]:
        """Read and write."""

    def read(self) -> AbstractContextManager[AlertTransaction]:
        """Read one consistent state."""


class AlertChannel(Protocol):
    """One way to reach people."""

    @property
    def name(self) -> str:
        """As the settings call it."""

    def send(self, message: Message) -> None:
        """Hand it over, and return once the other side has taken it.

        Raises ChannelRefused when trying again is of no use, ChannelFailed for anything else, which says whether it may
        have arrived all the same; after any other error it may have. Words never hold the address.
        """


class Line(Protocol):
    """What carries messages to one channel, one at a time, without ever making its user wait."""

    @property
    def name(self) -> str:
        """The channel's."""

    @property
    def is_free(self) -> bool:
        """True when a message may be handed over."""

    @property
    def message_id(self) -> str:
        """Of the message on its way; empty when none is."""

    def hand(self, message: Message) -> None:
        """Hand one over; only where it is free."""

    def outcome(self) -> Outcome | None:
        """What became of the message, once; None while that is open. Never later than the channel's time-out."""
