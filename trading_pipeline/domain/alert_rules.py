"""Who hears of which alert, how and how often: the parameters of delivery."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from trading_pipeline.domain.alert_kinds import KINDS
from trading_pipeline.domain.control import AlertLevel

EVERYBODY = "*"
"""In a rule's channels: every channel there is."""

TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=32)]


def severity(level: AlertLevel) -> int:
    """0 for INFO; the louder, the higher."""
    return tuple(AlertLevel).index(level)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; for example America/New_York or UTC") from error
    return name


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ChannelRules(_Frozen):
    """One way to reach people. The address says of which kind it is: e-mail, SMS, Slack, Discord, a webhook."""

    url: SecretStr = Field(
        SecretStr(""),
        description="Apprise URL; only from the environment: TRADING_PIPELINE__ALERTS__CHANNELS__<NAME>__URL",
    )
    enabled: bool = Field(True, description="false: nothing is sent here")
    min_level: AlertLevel = Field(AlertLevel.INFO, description="what is less loud is not sent here")
    escalation_order: int = Field(50, ge=1, le=100, description="whom to turn to next: the lowest first, then by name")
    timeout_seconds: float = Field(10.0, ge=0.1, le=120, description="of one message; then its outcome is unknown")
    messages_per_minute: int = Field(20, ge=1, le=600, description="at most; what waits meanwhile leaves together")
    burst_messages: int = Field(5, ge=1, le=100, description="that may leave at once after a quiet time")
    max_characters: int = Field(1500, ge=100, le=30_000, description="of one message, title included; SMS: 160")


class AlertRule(_Frozen):
    """What happens to the alerts it fits. CRITICAL ones leave at once, whatever else it says."""

    name: Name
    kinds: tuple[str, ...] = Field(("*",), min_length=1, description="names of kinds, * and ? allowed")
    min_level: AlertLevel = Field(AlertLevel.INFO, description="what is less loud it does not fit")
    channels: tuple[str, ...] = Field(("*",), description="names, or * for all; none: nobody is told, but of CRITICAL")
    delivery: Literal["now", "digest"] = Field("now", description="digest: once a day, together")
    max_per_hour: int = Field(60, ge=1, le=3600, description="messages per channel; what is above leaves together")
    same_seconds: int = Field(300, ge=0, le=86_400, description="the same again within that time is only counted")
    quiet_from: TimeOfDay | None = Field(None, description="HH:MM; from then on it waits until quiet_until")
    quiet_until: TimeOfDay | None = None

    @model_validator(mode="after")
    def _kinds_exist(self) -> AlertRule:
        for pattern in self.kinds:
            if not any(fnmatchcase(kind, pattern) for kind in KINDS):
                known = ", ".join(sorted(KINDS))
                raise ValueError(f"rule {self.name}: no alert is of kind {pattern!r}; known: {known}")
        return self

    @model_validator(mode="after")
    def _quiet_hours_are_two_times(self) -> AlertRule:
        if (self.quiet_from is None) != (self.quiet_until is None) or (
            self.quiet_from is not None and self.quiet_from == self.quiet_until
        ):
            raise ValueError(f"rule {self.name}: give quiet_from and quiet_until, two different times, or neither")
        return self

    def fits(self, kind: str, level: AlertLevel) -> bool:
        """True when an alert of that kind and level is its business."""
        return severity(level) >= severity(self.min_level) and any(fnmatchcase(kind, one) for one in self.kinds)


class EscalationRules(_Frozen):
    """What happens while nobody acknowledges a CRITICAL alert."""

    unacknowledged_seconds: float = Field(60.0, ge=1, le=3600, description="then the next channel is told too")
    repeat_minutes: float = Field(5.0, ge=0.1, le=1440, description="between reminders once every channel was told")
    expire_hours: float = Field(4.0, ge=0.1, le=168, description="after so long it is not repeated any more")


class RetryRules(_Frozen):
    """How patiently one message is tried again, with jitter; CRITICAL ones never give up before they expire."""

    first_seconds: float = Field(2.0, ge=0.1, le=300, description="before the second attempt; each wait doubles")
    longest_seconds: float = Field(120.0, ge=0.1, le=3600)
    attempts: int = Field(6, ge=1, le=100, description="then the next channel is asked, or it has failed")


class CircuitRules(_Frozen):
    """When a channel counts as dead, and how it is tried again."""

    failures: int = Field(3, ge=1, le=100, description="in a row; then others are told in its place")
    open_seconds: float = Field(30.0, ge=0.1, le=3600, description="before one message tries it again; doubles")
    longest_seconds: float = Field(600.0, ge=0.1, le=86_400)


NEWS = (
    "setup_a_plus", "position_*", "stop_hit", "target_hit", "session_*", "connection_restored", "condition_ended",
    "alert_channel_restored", "audit_checkpoint",
)  # fmt: skip
DEFAULT_RULES = (
    AlertRule(name="critical", min_level=AlertLevel.CRITICAL),
    AlertRule(name="trouble", min_level=AlertLevel.WARNING),
    AlertRule(name="news", kinds=NEWS),
    AlertRule(name="rest", delivery="digest"),
)


class AlertRules(_Frozen):
    """Alerts: channels by name, rules in order, and how patiently delivery goes about it."""

    time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        "America/New_York", description="of quiet hours and of the digest"
    )
    digest_at: TimeOfDay = Field("17:00", description="when what waits for the daily digest leaves")
    max_age_minutes: float = Field(60.0, ge=1, le=10_080, description="older news leaves as a summary only")
    channels: dict[Name, ChannelRules] = Field(default_factory=dict, description="by name")
    rules: tuple[AlertRule, ...] = Field(DEFAULT_RULES, description="the first that fits an alert decides")
    escalation: EscalationRules = EscalationRules()
    retry: RetryRules = RetryRules()
    circuit: CircuitRules = CircuitRules()

    @model_validator(mode="after")
    def _channels_have_addresses(self) -> AlertRules:
        for name, channel in self.channels.items():
            address = channel.url.get_secret_value()
            variable = _variable(name)
            if channel.enabled and not address:
                raise ValueError(f"channels.{name} has no address: set {variable}, or channels.{name}.enabled: false")
            if address and "://" not in address:
                raise ValueError(f"channels.{name}.url is no address such as mailtos://...: correct {variable}")
        return self

    @model_validator(mode="after")
    def _rules_name_channels(self) -> AlertRules:
        _require_once([rule.name for rule in self.rules])
        for place, rule in enumerate(self.rules):
            for name in rule.channels:
                if name != EVERYBODY and name not in self.channels:
                    known = ", ".join(sorted(self.channels)) or "none is set up"
                    raise ValueError(
                        f"rules.{place} ({rule.name}): {name!r} is no channel ({known}); correct "
                        f"rules.{place}.channels or set {_variable(name)}"
                    )
        return self

    @property
    def zone(self) -> ZoneInfo:
        """Of quiet hours and the digest."""
        return ZoneInfo(self.time_zone)

    @property
    def max_age(self) -> timedelta:
        """Older news is only summed up."""
        return timedelta(minutes=self.max_age_minutes)

    def in_order(self) -> tuple[str, ...]:
        """Channels that are enabled, in the order of escalation."""
        used = {name: channel for name, channel in self.channels.items() if channel.enabled}
        return tuple(sorted(used, key=lambda name: (used[name].escalation_order, name)))


def _variable(channel: str) -> str:
    return f"TRADING_PIPELINE__ALERTS__CHANNELS__{channel.upper()}__URL"


def time_of(text: str) -> time:
    """The time that HH:MM means."""
    return time.fromisoformat(text)


def _require_once(names: Iterable[str]) -> None:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise ValueError(f"two rules are called {name}: give each a name of its own")
        seen.add(name)
