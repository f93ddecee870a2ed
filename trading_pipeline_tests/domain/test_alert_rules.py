"""Rules of alerts: what is refused, who is told, when quiet hours end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trading_pipeline.domain.alert_kinds import KINDS
from trading_pipeline.domain.alert_rules import AlertRule, AlertRules
from trading_pipeline.domain.alerting import deliveries_of, next_digest, quiet_until, recipients, rule_for
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.errors import SettingsError
from trading_pipeline.settings import load_settings

PREFIX = "TRADING_PIPELINE__ALERTS__"
ADDRESS = "mailtos://user:hunter2secret@mail.example.com"
NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")


def an_alert(level: AlertLevel = AlertLevel.CRITICAL, kind: str = "kill", at: datetime = NOON) -> Alert:
    return Alert(
        alert_id="1", account="A", session=date(2026, 11, 20), occurred_at=at, level=level, kind=kind, message="m",
        data={},
    )  # fmt: skip


def test_one_variable_sets_a_channel_up() -> None:
    settings = load_settings(environ={f"{PREFIX}CHANNELS__MAIL__URL": "json://h: x/#?{"})

    assert settings.alerts.in_order() == ("mail",)
    assert settings.alerts.channels["mail"].url.get_secret_value() == "json://h: x/#?{"
    assert settings.digest() == load_settings(environ={}).digest()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [{name: a, kinds: [breker_*]}]", ("rule a: no alert is of kind 'breker_*'", "daily_loss")),
        ("rules: [{name: a, channels: [mial]}]", ("rules.0 (a): 'mial' is no channel", "CHANNELS__MIAL__URL")),
        ("rules: [{name: a}, {name: a}]", ("two rules are called a",)),
        ("rules: [{name: a, quiet_from: '22:00'}]", ("quiet_from and quiet_until",)),
        ("rules: [{name: a, quiet_from: '07:00', quiet_until: '07:00'}]", ("two different times",)),
        ("digest_at: 17:00", ("alerts.digest_at", "(wrong.yaml:2)")),
        ("time_zone: America/New_Yrok", ("no time zone",)),
        ("channels: {mail: {enabled: true}}", ("channels.mail has no address", "CHANNELS__MAIL__URL")),
        ("channels: {Mail: {enabled: false}}", ("alerts.channels.Mail",)),
        (
            f"channels: {{mail: {{url: '{ADDRESS}'}}}}",
            ("alerts.channels.mail.url holds a secret", "CHANNELS__MAIL__URL"),
        ),
    ],
)
def test_what_is_wrong_is_refused_with_file_key_and_fix(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"alerts:\n  {text}\n", encoding="utf-8")

    with pytest.raises(SettingsError) as refused:
        load_settings(profile=file, environ={})

    for word in (*words, "wrong.yaml"):
        assert word in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "key", ["CHANNELS__MAIL__URLL", "CHANNELS__MAIL", "CHANEL__MAIL__URL", "RULES", "CHANNELS__MAIL__URL"]
)
def test_an_address_that_cannot_be_used_is_never_repeated(key: str) -> None:
    address = "hunter2secret" if key.endswith("__URL") and "CHANNELS" in key else ADDRESS

    with pytest.raises(SettingsError) as refused:
        load_settings(environ={f"{PREFIX}{key}": address})

    assert "hunter2" not in str(refused.value)


def rules_of(*names: str, **further: object) -> AlertRules:
    return AlertRules.model_validate({"channels": {name: {"url": f"json://{name}"} for name in names}, **further})


levels = st.sampled_from(list(AlertLevel))
some_rules = st.lists(
    st.tuples(
        levels, st.lists(st.sampled_from(["mail", "sms", "*"]), max_size=2), st.sampled_from(["*", "kill", "d*"])
    ),
    max_size=4,
)


@given(some_rules, levels, st.sampled_from(sorted(KINDS)))
def test_a_critical_alert_goes_to_somebody_under_any_rules(
    made: list[tuple[AlertLevel, list[str], str]], level: AlertLevel, kind: str
) -> None:
    written = [
        {"name": f"r{place}", "min_level": low, "channels": channels, "kinds": [pattern]}
        for place, (low, channels, pattern) in enumerate(made)
    ]
    rules = rules_of("mail", "sms", rules=written)
    alert = an_alert(level, kind)

    deliveries = deliveries_of(1, alert, rules, NOON)

    assert len(deliveries) == len({one.channel for one in deliveries}) >= 1
    if level is AlertLevel.CRITICAL:
        assert all(one.channel and one.due_at == NOON and not one.bundle for one in deliveries)
    if deliveries[0].channel:
        assert tuple(one.channel for one in deliveries) == recipients(alert, rule_for(alert, rules), rules)


def test_the_first_rule_that_fits_decides() -> None:
    rules = rules_of("mail", "sms", rules=[
        {"name": "loss", "kinds": ["daily_loss*"], "channels": ["sms"]}, {"name": "all", "channels": ["mail"]},
    ])  # fmt: skip

    assert rule_for(an_alert(kind="daily_loss_near", level=AlertLevel.WARNING), rules).name == "loss"
    assert rule_for(an_alert(kind="data_issue", level=AlertLevel.ERROR), rules).name == "all"


def test_a_channel_for_louder_alerts_is_spared() -> None:
    rules = AlertRules.model_validate(
        {"channels": {"mail": {"url": "json://a"}, "sms": {"url": "json://b", "min_level": "CRITICAL"}}}
    )

    assert [one.channel for one in deliveries_of(1, an_alert(AlertLevel.WARNING), rules, NOON)] == ["mail"]
    assert [one.channel for one in deliveries_of(1, an_alert(), rules, NOON)] == ["mail", "sms"]


AROUND_CHANGES = (datetime(2026, 3, 8, 0, tzinfo=UTC), datetime(2026, 11, 1, 0, tzinfo=UTC), NOON)
instants = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes), st.sampled_from(AROUND_CHANGES), st.integers(0, 2880)
)
times = st.builds(lambda minute: f"{minute // 60:02d}:{minute % 60:02d}", st.integers(0, 1439))


def shown(at: datetime) -> str:
    return f"{at.astimezone(NEW_YORK):%H:%M}"


@given(instants, times, times)
def test_quiet_hours_follow_the_wall_clock_through_both_changes_of_time(now: datetime, begin: str, end: str) -> None:
    if begin == end:
        return
    rule = AlertRule(name="a", quiet_from=begin, quiet_until=end)

    until = quiet_until(rule, rules_of(), now)

    clock = shown(now)
    is_quiet = begin <= clock < end if begin < end else clock >= begin or clock < end
    assert (until is not None) == is_quiet
    if until is not None:
        assert now < until <= now + timedelta(hours=25)
        assert until == first_minute_showing(end, now)


@given(instants, times)
def test_the_digest_leaves_when_the_wall_clock_shows_its_time(now: datetime, at: str) -> None:
    rules = rules_of(digest_at=at)

    assert next_digest(rules, now) == first_minute_showing(at, now)


def first_minute_showing(text: str, now: datetime) -> datetime:
    """Looked for minute by minute; a time that the clocks skip is found an hour later, as Python counts it."""
    whole = now.replace(second=0, microsecond=0)
    minutes = (whole + timedelta(minutes=ahead) for ahead in range(1, 26 * 60))
    found = next((minute for minute in minutes if shown(minute) == text), None)
    if found is not None and not _skipped_before(found, text, now):
        return found
    return _in_the_gap(text, now)


def _skipped_before(found: datetime, text: str, now: datetime) -> bool:
    return any(now < gap < found for gap in _gaps(text, now))


def _in_the_gap(text: str, now: datetime) -> datetime:
    return min(gap for gap in _gaps(text, now) if gap > now)


def _gaps(text: str, now: datetime) -> list[datetime]:
    """Instants that stand for a skipped time: read with the offset before the change, and with the one after it."""
    hour, minute = map(int, text.split(":"))
    if hour != 2:
        return []
    days = {now.astimezone(NEW_YORK).date() + timedelta(days=ahead) for ahead in (0, 1)}
    return [
        datetime(2026, 3, 8, 2, minute, tzinfo=NEW_YORK, fold=fold).astimezone(UTC)
        for fold in (0, 1)
        if date(2026, 3, 8) in days
    ]


def test_settings_cannot_name_a_rule_twice() -> None:
    with pytest.raises(ValidationError):
        rules_of(rules=[{"name": "Upper"}])
