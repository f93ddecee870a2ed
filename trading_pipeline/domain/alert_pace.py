"""How fast one channel is used: so many messages a minute, and some more at once after a quiet time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from trading_pipeline.domain.alert_rules import ChannelRules
from trading_pipeline.domain.alerting import ChannelRecord


def messages_left(channel: ChannelRecord, rules: ChannelRules, now: datetime) -> int:
    """How many messages may leave now, 0 to burst_messages (generic cell rate algorithm; one instant is the state)."""
    return int((_full(rules) - _used(channel, rules, now)) / _spacing(rules))


def one_less(channel: ChannelRecord, rules: ChannelRules, now: datetime) -> ChannelRecord:
    """The channel after a message was handed to it, whether it takes it or not."""
    return replace(channel, free_at=now + _used(channel, rules, now) + _spacing(rules))


def _used(channel: ChannelRecord, rules: ChannelRules, now: datetime) -> timedelta:
    """What is left of it grows back with time. More than a burst cannot be used up: the clock was set back."""
    ahead = timedelta(0) if channel.free_at is None else channel.free_at - now
    return ahead if timedelta(0) < ahead <= _full(rules) else timedelta(0)


def _spacing(rules: ChannelRules) -> timedelta:
    return timedelta(minutes=1) / rules.messages_per_minute


def _full(rules: ChannelRules) -> timedelta:
    return _spacing(rules) * rules.burst_messages
