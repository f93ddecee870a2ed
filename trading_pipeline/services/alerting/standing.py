"""How delivery of alerts stands: what waits, which channels live, what nobody has acknowledged, and who delivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trading_pipeline.domain.alerting import ChannelRecord, CircuitState
from trading_pipeline.ports.alerting import AlertLedger

LEASE = "alerts"
COUNTED = 1000
"""Alerts that nobody took up are counted up to that many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStanding:
    """What one look shows. channels: of those that are set up, in the order of escalation. waiting: deliveries by
    channel, held ones included. untaken: alerts nobody took up yet. oldest_at: since when the oldest of all could have
    left, None when nothing does. leader: who delivers now, "" when nobody does.
    """

    channels: Sequence[ChannelRecord] = ()
    waiting: dict[str, int]
    untaken: int = 0
    oldest_at: datetime | None = None
    unacknowledged: int = 0
    leader: str = ""

    @property
    def dead(self) -> list[str]:
        """Channels that take no messages."""
        return [one.name for one in self.channels if one.circuit is not CircuitState.CLOSED]


def read_standing(ledger: AlertLedger, names: Sequence[str], now: datetime) -> AlertStanding:
    """Read it in one transaction; names: of the channels that are enabled. Raises LedgerError."""
    with ledger.read() as tx:
        records, depths, untaken = tx.channel_records(), tx.queue_depths(), tx.unqueued_alerts(COUNTED)
        lease = tx.lease(LEASE)
        due = [depth.oldest_due_at for depth in depths if depth.oldest_due_at and depth.oldest_due_at <= now]
        return AlertStanding(
            channels=[records.get(name) or ChannelRecord(name=name) for name in names],
            waiting={depth.channel: depth.waiting for depth in depths}, untaken=len(untaken),
            oldest_at=min([*due, *(min(alert.occurred_at, now) for _, alert in untaken[:1])], default=None),
            unacknowledged=tx.open_count(), leader=lease.holder if lease and lease.is_live(now) else "",
        )  # fmt: skip
