"""What became of messages: each of their deliveries gets its fate, or another try."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from trading_pipeline.domain.alerting import Delivery, DeliveryState, Outcome, OutcomeKind
from trading_pipeline.services.alerting.round import Round

NAMED, COUNTED = "named in a message", "counted in a message"
MOST_LEFT = 10_000
UNKNOWN = "whoever sent it ended before its outcome was known"


def settle(work: Round, outcome: Outcome) -> None:
    """Put one outcome on record; one of a message that is settled already changes nothing but the channel's count."""
    parts = work.tx.of_message(outcome.message_id)
    if outcome.kind is OutcomeKind.DELIVERED:
        work.succeeded(outcome.channel)
        work.tx.save_deliveries([_fate(part, work.now) for part in parts])
        return
    work.failed(outcome.channel, outcome.words)
    if outcome.kind is OutcomeKind.UNKNOWN:
        parts = [replace(part, maybe_sent=True) for part in parts]
    work.turn_away(parts, outcome.words, is_tired=outcome.kind is OutcomeKind.REFUSED)


def _fate(part: Delivery, now: datetime) -> Delivery:
    """Who was named was told; of the others only how many they are, which for a CRITICAL one is being told too."""
    is_told = part.reason == NAMED or part.is_critical
    state = DeliveryState.DELIVERED if is_told else DeliveryState.SUPPRESSED
    return replace(
        part, state=state, reason=f"{part.reason}{f' ({part.bundle})' if part.bundle else ''}", settled_at=now
    )


def recover(work: Round, flying: Collection[str]) -> None:
    """Take over from a predecessor: what it was sending may have arrived, and is sent again with a note that says so.

    flying: messages that this process itself still has in the air.
    """
    lost = [part for part in work.tx.sending() if part.message_id not in flying]
    again = [
        replace(
            part, state=DeliveryState.PENDING, reason=UNKNOWN, maybe_sent=True, due_at=work.now, message_id="",
            handed_at=None,
        )
        for part in lost
    ]  # fmt: skip
    work.tx.save_deliveries(again)


def leave(work: Round, names: Sequence[str]) -> None:
    """Deliveries for channels that the settings have no more go to others, or end."""
    ever = work.now + timedelta(days=3650)
    for depth in work.tx.queue_depths():
        if depth.channel not in names:
            parts = work.tx.due_deliveries(depth.channel, ever, ever, MOST_LEFT)
            work.turn_away(parts, f"the channel {depth.channel} is not set up any more", is_tired=True)
