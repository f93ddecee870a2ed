"""What a channel is told next: which of the alerts that wait for it leave together, and which wait on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trading_pipeline.domain.alert_rules import AlertRule, AlertRules
from trading_pipeline.domain.alerting import DIGEST, FALLBACK, LATE, QUIET, Delivery
from trading_pipeline.ports.alerting import AlertTransaction

SAME, RATE = "same", "rate"
"""Bundles of what waits because it was said a moment ago, or because its rule has had its messages for this hour."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Picked:
    """parts: leave in one message now, the loudest first. held: wait on, with the reason and the instant."""

    parts: tuple[Delivery, ...] = ()
    held: tuple[Delivery, ...] = ()


def pick(tx: AlertTransaction, due: Sequence[Delivery], messages_left: int, rules: AlertRules, now: datetime) -> Picked:
    """The next message of one channel. due: what could leave, the loudest first. messages_left: at least 1."""
    waiting, held = [_aged(one, rules, now) for one in due], list[Delivery]()
    while waiting:
        lead = waiting[0]
        bundle, until = _held_back(tx, lead, rules, now)
        if until is None:
            return Picked(_with(lead, waiting, messages_left), tuple(held))
        back = [one for one in waiting if one is lead or _shares(lead, one, bundle)]
        held += [replace(one, bundle=bundle, due_at=until, reason=_why(bundle, one)) for one in back]
        gone = {one.alert_id for one in back}
        waiting = [one for one in waiting if one.alert_id not in gone]
    return Picked(held=tuple(held))


def _aged(one: Delivery, rules: AlertRules, now: datetime) -> Delivery:
    """What waited too long to be news (its channel was dead) is summed up with what else is old."""
    is_old = not one.is_critical and one.bundle == "" and now - one.occurred_at > rules.max_age
    return replace(one, bundle=LATE) if is_old else one


def _held_back(tx: AlertTransaction, one: Delivery, rules: AlertRules, now: datetime) -> tuple[str, datetime | None]:
    """Why it waits on, and until when; None: it leaves. What waited once, or is tried again, leaves."""
    if one.bundle or one.attempts:
        return "", None
    rule = rule_named(one.rule, rules)
    repeated_until = _repeats_until(tx, one, rule, rules)
    if repeated_until is not None and now < repeated_until <= now + _window(one, rule, rules):
        return SAME, repeated_until
    if not one.is_critical:
        told = [at for at in tx.told_since(one.channel, one.rule, now - HOUR) if at <= now]
        if len(told) >= rule.max_per_hour:
            return RATE, told[-rule.max_per_hour] + HOUR
    return "", None


def _repeats_until(tx: AlertTransaction, one: Delivery, rule: AlertRule, rules: AlertRules) -> datetime | None:
    window = _window(one, rule, rules)
    told_at = tx.last_told(one.channel, one.same) if window else None
    return None if told_at is None else told_at + window


def _window(one: Delivery, rule: AlertRule, rules: AlertRules) -> timedelta:
    """A CRITICAL alert that repeats another waits no longer than one that nobody acknowledges."""
    seconds = float(rule.same_seconds)
    return timedelta(seconds=min(seconds, rules.escalation.unacknowledged_seconds) if one.is_critical else seconds)


def _shares(lead: Delivery, one: Delivery, bundle: str) -> bool:
    if one.bundle or one.attempts or one.is_critical != lead.is_critical:
        return False
    return one.same == lead.same if bundle == SAME else one.rule == lead.rule


def _why(bundle: str, one: Delivery) -> str:
    return "told a moment ago" if bundle == SAME else f"rule {one.rule} has had its messages for this hour"


def _with(lead: Delivery, waiting: Sequence[Delivery], messages_left: int) -> tuple[Delivery, ...]:
    """The lead and what leaves with it. With more to tell than messages left, everything leaves in one."""
    if lead.bundle in {LATE, QUIET, DIGEST}:
        return tuple(one for one in waiting if one.bundle == lead.bundle and one.is_critical == lead.is_critical)
    if lead.bundle == RATE:
        return tuple(one for one in waiting if one.bundle == RATE and one.rule == lead.rule)
    crowd = [one for one in waiting if one.bundle in {"", SAME} and one.is_critical == lead.is_critical]
    if len({one.same for one in crowd}) > messages_left:
        return tuple(crowd)
    return tuple(one for one in crowd if one.same == lead.same)


def rule_named(name: str, rules: AlertRules) -> AlertRule:
    """The rule an alert was queued by; the fallback when the settings have it no more."""
    return next((rule for rule in rules.rules if rule.name == name), FALLBACK)
