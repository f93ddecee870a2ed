"""CRITICAL alerts that nobody acknowledges: more people are told, and all of them again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from trading_pipeline.domain import alert_kinds
from trading_pipeline.domain.alert_rules import EscalationRules
from trading_pipeline.domain.alerting import REMINDER, Delivery, DeliveryState, Watch, deliveries_of, next_told
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.services.alerting.round import Round

AT_ONCE = 100
"""Watches in one transaction: others want to write too."""


def watch_of(number: int, alert: Alert, rules: EscalationRules, now: datetime) -> Watch | None:
    """What waits for an acknowledgement from now on; None where nobody has to give one.

    The minute begins when the alert is taken up: whoever could not be told yet cannot have acknowledged.
    """
    is_old = now - alert.occurred_at > timedelta(hours=rules.expire_hours)
    if alert.level is not AlertLevel.CRITICAL or alert.kind == REMINDER or is_old:
        return None
    return Watch(
        alert_id=alert.alert_id, alert_no=number, account=alert.account, kind=alert.kind, since=now,
        next_at=now + timedelta(seconds=rules.unacknowledged_seconds),
    )  # fmt: skip


def watch_horizon(rules: EscalationRules, now: datetime) -> datetime:
    """No watch waits for longer than until then; only a clock that was set back makes it seem so."""
    return now + timedelta(seconds=max(rules.unacknowledged_seconds, rules.repeat_minutes * 60))


def escalate(work: Round) -> int:
    """Carry on what nobody acknowledged in time; how many were looked at."""
    due = work.tx.due_watches(work.now, watch_horizon(work.rules.escalation, work.now), AT_ONCE)
    if not due:
        return 0
    ids = [watch.alert_id for watch in due]
    alerts, standing = work.tx.alerts_named(ids), work.tx.told_channels(ids)
    saved, further, left = list[Watch](), list[Delivery](), list[Watch]()
    for watch in due:
        told = standing.get(watch.alert_id, {})
        name = next_told(alerts[watch.alert_id], tuple(told), work.rules, work.dead)
        if work.now - watch.since >= timedelta(hours=work.rules.escalation.expire_hours):
            saved.append(replace(watch, ended_at=work.now, ended_why="expired"))
        elif name is None:
            left.append(watch)
        else:
            further += _told_too(work, watch, alerts[watch.alert_id], name)
            saved.append(replace(watch, told=watch.told + 1, next_at=work.now + _patience(work)))
    work.tx.add_deliveries(further)
    work.tx.save_watches(saved + (_reminded(work, left, alerts[left[0].alert_id]) if left else []))
    return len(due)


def _told_too(work: Round, watch: Watch, alert: Alert, name: str) -> Sequence[Delivery]:
    first = deliveries_of(watch.alert_no, alert, work.rules, work.now)[0]
    seconds = work.rules.escalation.unacknowledged_seconds
    why = f"nobody acknowledged it for {seconds:g} s"
    return [
        replace(
            first, channel=name, state=DeliveryState.PENDING, reason="", bundle="", due_at=work.now, settled_at=None,
            escalated_from=why,
        )
    ]  # fmt: skip


def _patience(work: Round) -> timedelta:
    return timedelta(seconds=work.rules.escalation.unacknowledged_seconds)


def _reminded(work: Round, left: Sequence[Watch], oldest: Alert) -> list[Watch]:
    """Everybody was told of these: remind, of all together and not more often than the settings say."""
    every = timedelta(minutes=work.rules.escalation.repeat_minutes)
    newest = work.tx.recent_alerts(kind=REMINDER, limit=1)
    last = newest[0][0].occurred_at if newest else None
    if last is None or not timedelta(0) <= work.now - last < every:
        work.tx.raise_alert(_reminder(work, oldest))
        last = work.now
    return [replace(watch, told=watch.told + 1, next_at=last + every) for watch in left]


def _reminder(work: Round, oldest: Alert) -> Alert:
    count = work.tx.open_count()
    at = oldest.occurred_at.astimezone(work.rules.zone)
    return alert_kinds.alert(
        REMINDER, work.now.isoformat(), account=oldest.account, session=oldest.session, at=work.now,
        message=f"{count} CRITICAL alert(s) not acknowledged. {oldest.kind} of {at:%d %b %H:%M:%S %Z}: "
        f"{oldest.message}. Acknowledge: trading-pipeline alerts ack {oldest.alert_id}",
        data={"count": str(count), "alert_id": oldest.alert_id},
    )  # fmt: skip
