"""What becomes of an alert: to whom it goes and when, what each channel made of it, who acknowledged it.

Pure decisions about one alert, one message or one channel; services/alerting carries them out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from trading_pipeline.domain.alert_rules import (
    EVERYBODY,
    AlertRule,
    AlertRules,
    CircuitRules,
    RetryRules,
    severity,
    time_of,
)
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.market import require_aware

DAY = timedelta(days=1)
NOBODY = ""
"""Channel of the delivery that says an alert goes to nobody."""
LATE, QUIET, DIGEST = "late", "quiet", "digest"
"""Bundles: deliveries of a channel that leave in one message."""
REMINDER = "alerts_unacknowledged"
"""Kind of the alert that reminds of others; nobody has to acknowledge it."""
ABOUT_CHANNEL = "channel"
"""In an alert's data: the channel it is about, which is not asked to tell of itself."""


class DeliveryState(StrEnum):
    """Where an alert stands on its way through one channel."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    ESCALATED = "escalated"

    @property
    def is_final(self) -> bool:
        """True for its one fate."""
        return self not in {DeliveryState.PENDING, DeliveryState.SENDING}


class CircuitState(StrEnum):
    """Whether a channel is used: closed is healthy, open is dead, half_open tries one message."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One alert on its way through one channel; identity: alert_id and channel.

    alert_no: the alert's number on record. same: what alerts share that say the same. bundle: empty, or what it leaves
    together with. due_at: not sent before. maybe_sent: an attempt ended with an unknown outcome. handed_at: the last
    time it was given to the channel.
    """

    alert_id: str
    channel: str
    alert_no: int
    account: str
    occurred_at: datetime
    level: AlertLevel
    kind: str
    rule: str
    same: str
    state: DeliveryState
    reason: str
    bundle: str
    due_at: datetime
    created_at: datetime
    attempts: int = 0
    maybe_sent: bool = False
    message_id: str = ""
    handed_at: datetime | None = None
    settled_at: datetime | None = None
    escalated_from: str = ""

    @property
    def is_critical(self) -> bool:
        """True when it must reach somebody."""
        return self.level is AlertLevel.CRITICAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A CRITICAL alert that waits to be acknowledged. next_at: when more people are told. told: how often they were."""

    alert_id: str
    alert_no: int
    account: str
    kind: str
    since: datetime
    next_at: datetime
    told: int = 0
    ended_at: datetime | None = None
    ended_why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A person has taken notice; the first one stays."""

    alert_id: str
    operator: str
    reason: str
    acknowledged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRecord:
    """How one channel has done. free_at: when it has its whole burst again; failures: in a row."""

    name: str
    circuit: CircuitState = CircuitState.CLOSED
    failures: int = 0
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    free_at: datetime | None = None
    last_error: str = ""
    last_delivered_at: datetime | None = None
    delivered: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is handed to a channel: plain text, already cut to its length and safe to show."""

    message_id: str
    channel: str
    level: AlertLevel
    title: str
    body: str
    alert_ids: tuple[str, ...]


class OutcomeKind(StrEnum):
    """How handing a message over ended. UNKNOWN: it may have arrived. REFUSED: trying again is of no use."""

    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a channel made of a message; `words` hold no address."""

    message_id: str
    channel: str
    kind: OutcomeKind
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """What waits for one channel: deliveries not settled, and since when the oldest could have left."""

    channel: str
    waiting: int
    oldest_due_at: datetime | None


def same_as(alert: Alert) -> str:
    """What alerts share that say the same: account, kind, level and symbol; from ERROR on the words too."""
    parts = [alert.account, alert.kind, alert.level.value, alert.data.get("symbol", "")]
    if alert.level in {AlertLevel.ERROR, AlertLevel.CRITICAL}:
        parts.append(alert.message)
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:24]


FALLBACK = AlertRule(name="no_rule")


def rule_for(alert: Alert, rules: AlertRules) -> AlertRule:
    """The first rule that fits; what none fits leaves at once to everybody, and INFO with the digest."""
    found = next((rule for rule in rules.rules if rule.fits(alert.kind, alert.level)), None)
    if found is not None:
        return found
    return FALLBACK.model_copy(update={"delivery": "digest"}) if alert.level is AlertLevel.INFO else FALLBACK


def recipients(alert: Alert, rule: AlertRule, rules: AlertRules) -> tuple[str, ...]:
    """Channels told first, in the order of escalation.

    A CRITICAL alert, and one about a channel that the rule names alone, always has some while others are enabled.
    """
    usable = channels_for(alert, rules)
    named = tuple(name for name in usable if EVERYBODY in rule.channels or name in rule.channels)
    is_needed = alert.level is AlertLevel.CRITICAL or alert.data.get(ABOUT_CHANNEL) in rule.channels
    return named or (usable if is_needed else ())


def channels_for(alert: Alert, rules: AlertRules) -> tuple[str, ...]:
    """Channels that may carry the alert, in the order of escalation: not one it is about, not one for louder ones."""
    about = alert.data.get(ABOUT_CHANNEL)
    usable = (name for name in rules.in_order() if name != about)
    return tuple(name for name in usable if severity(alert.level) >= severity(rules.channels[name].min_level))


def deliveries_of(number: int, alert: Alert, rules: AlertRules, now: datetime) -> tuple[Delivery, ...]:
    """One delivery per channel, with its instant; where nobody is told, one that says why."""
    rule = rule_for(alert, rules)
    first = Delivery(
        alert_id=alert.alert_id, channel=NOBODY, alert_no=number, account=alert.account, occurred_at=alert.occurred_at,
        level=alert.level, kind=alert.kind, rule=rule.name, same=same_as(alert), state=DeliveryState.PENDING,
        reason="", bundle="", due_at=now, created_at=now,
    )  # fmt: skip
    told = recipients(alert, rule, rules)
    if not told:
        nobody = f"rule {rule.name} and the levels of the channels leave nobody"
        why = nobody if rules.in_order() else "no channel is set up"
        return (replace(first, state=DeliveryState.SUPPRESSED, reason=why, settled_at=now),)
    bundle, due_at = planned(alert, rule, rules, now)
    return tuple(replace(first, channel=name, bundle=bundle, due_at=due_at) for name in told)


def planned(alert: Alert, rule: AlertRule, rules: AlertRules, now: datetime) -> tuple[str, datetime]:
    """What the alert leaves together with (empty: alone), and when. Old news, and a CRITICAL alert, leave at once.

    Old CRITICAL ones leave together too, and are named: nobody is woken forty times for one bad weekend.
    """
    age = now - require_aware(alert.occurred_at, "instant of an alert")
    if alert.level is AlertLevel.CRITICAL:
        return (LATE if age > timedelta(hours=rules.escalation.expire_hours) else ""), now
    if age > rules.max_age:
        return LATE, now
    if rule.delivery == "digest":
        return DIGEST, next_digest(rules, now)
    quiet_ends_at = quiet_until(rule, rules, now)
    return ("", now) if quiet_ends_at is None else (QUIET, quiet_ends_at)


def next_digest(rules: AlertRules, now: datetime) -> datetime:
    """The first instant after `now` at which the wall clock of the zone shows the time of the digest."""
    return _next_wall_time(rules, rules.digest_at, now)


def quiet_until(rule: AlertRule, rules: AlertRules, now: datetime) -> datetime | None:
    """When the quiet hours end that `now` lies in; None outside of them. By the wall clock, whatever DST does to it."""
    if rule.quiet_from is None or rule.quiet_until is None:
        return None
    shown, begin, end = now.astimezone(rules.zone).time(), time_of(rule.quiet_from), time_of(rule.quiet_until)
    is_quiet = begin <= shown < end if begin < end else shown >= begin or shown < end
    return _next_wall_time(rules, rule.quiet_until, now) if is_quiet else None


def _next_wall_time(rules: AlertRules, text: str, now: datetime) -> datetime:
    """A time that the clocks skip comes when they have been put forward; of one that comes twice, the first to come."""
    local, wanted = now.astimezone(rules.zone), time_of(text)
    days = (local.date() + DAY * ahead for ahead in (0, 1))
    candidates = (
        datetime.combine(day, wanted, tzinfo=rules.zone).replace(fold=fold).astimezone(now.tzinfo)
        for day in days
        for fold in (0, 1)
    )
    return min(candidate for candidate in candidates if candidate > now)


def retry_at(attempts: int, rules: RetryRules, now: datetime, chance: Random) -> datetime:
    """Exponential with jitter: between half the wait and all of it, so that many do not come back at once."""
    wait = min(rules.longest_seconds, rules.first_seconds * 2 ** min(attempts - 1, 30))
    return now + timedelta(seconds=wait * (0.5 + chance.random() / 2))


def may_send(channel: ChannelRecord, rules: CircuitRules, now: datetime) -> bool:
    """True unless the circuit is open and its next probe lies ahead; further than it can, after a clock set back."""
    if channel.circuit is not CircuitState.OPEN or channel.probe_at is None:
        return True
    return not now < channel.probe_at <= now + timedelta(seconds=rules.longest_seconds)


def probing(channel: ChannelRecord) -> ChannelRecord:
    """The channel while one message tries it; healthy ones stay as they are."""
    return channel if channel.circuit is CircuitState.CLOSED else replace(channel, circuit=CircuitState.HALF_OPEN)


def succeeded(channel: ChannelRecord, now: datetime) -> ChannelRecord:
    """It took a message: the circuit closes."""
    return replace(
        channel, circuit=CircuitState.CLOSED, failures=0, opened_at=None, probe_at=None, last_error="",
        last_delivered_at=now, delivered=channel.delivered + 1,
    )  # fmt: skip


def failed(channel: ChannelRecord, words: str, rules: CircuitRules, now: datetime) -> ChannelRecord:
    """It did not take a message: after enough of them in a row the circuit opens, each time for twice as long."""
    failures = channel.failures + 1
    counted = replace(channel, failures=failures, failed=channel.failed + 1, last_error=words)
    if failures < rules.failures:
        return counted
    wait = min(rules.longest_seconds, rules.open_seconds * 2 ** min(failures - rules.failures, 30))
    probe_at = now + timedelta(seconds=wait)
    return replace(counted, circuit=CircuitState.OPEN, opened_at=channel.opened_at or now, probe_at=probe_at)


def next_told(alert: Alert, told: Sequence[str], rules: AlertRules, dead: Sequence[str] = ()) -> str | None:
    """Whom an alert escalates to: the first in order that was not told and is not dead; None when nobody is left."""
    left = (name for name in channels_for(alert, rules) if name not in told and name not in dead)
    return next(left, None)
