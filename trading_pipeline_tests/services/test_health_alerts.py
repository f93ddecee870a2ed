"""Whether alerts reach anybody, as health tells it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from trading_pipeline.adapters.health_metrics import Reading, metrics_text
from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.alerting import ChannelRecord, CircuitState
from trading_pipeline.domain.health import Level
from trading_pipeline.services.alerting.standing import AlertStanding, read_standing
from trading_pipeline.services.health import judge
from trading_pipeline_tests.services.alerting.telling import FAILS, NOON, Telling, an_alert, rules_of
from trading_pipeline_tests.services.test_health import LIMITS, LOOK, NOW, RULES, with_around

MAIL, SMS = ChannelRecord(name="mail"), ChannelRecord(name="sms")
DEAD = replace(MAIL, circuit=CircuitState.OPEN)
MINUTES_AGO = NOW - timedelta(minutes=3)
WELL = AlertStanding(channels=[MAIL, SMS], waiting={}, leader="us")


def test_without_a_channel_an_account_above_simulation_is_warned_and_told_what_to_do() -> None:
    look = with_around(alerts=AlertStanding(waiting={}))
    assert look.facts is not None
    above = replace(look, facts=replace(look.facts, is_above_simulation=True))

    assert judge(look, RULES, LIMITS).find("alerts").level is Level.OK
    found = judge(above, RULES, LIMITS).find("alerts")
    assert (found.level, found.says) == (Level.WARN, "no channel: nobody hears of trouble; docs/alerts.md")
    assert "trading-pipeline alerts test" in found.advice


@pytest.mark.parametrize(
    ("standing", "level", "words"),
    [
        (WELL, Level.OK, "mail ok, sms ok"),
        (AlertStanding(waiting={}), Level.OK, "no channel: nobody hears of trouble"),
        (None, Level.WARN, "not known"),
        (replace(WELL, channels=[DEAD, SMS], waiting={"mail": 3}), Level.WARN, "mail dead (3 wait), sms ok"),
        (replace(WELL, channels=[DEAD]), Level.FAIL, "mail dead"),
        (replace(WELL, unacknowledged=2), Level.WARN, "2 CRITICAL not acknowledged"),
        (replace(WELL, oldest_at=MINUTES_AGO, waiting={"sms": 1}), Level.WARN, "oldest due 3 min ago"),
        (replace(WELL, oldest_at=MINUTES_AGO, untaken=4, leader=""), Level.FAIL, "4 not taken up"),
    ],
)
def test_delivery_of_alerts_is_part_of_health(standing: AlertStanding | None, level: Level, words: str) -> None:
    found = judge(with_around(alerts=standing), RULES, LIMITS).find("alerts")

    assert found.level is level
    assert words in found.says
    assert bool(found.advice) == (level is not Level.OK)


def test_metrics_tell_what_waits_and_which_channels_are_dead() -> None:
    standing = replace(WELL, channels=[DEAD, SMS], waiting={"mail": 3}, oldest_at=MINUTES_AGO, unacknowledged=2)
    report = judge(with_around(alerts=standing), RULES, LIMITS)

    told = metrics_text(Reading(report=report, age_seconds=0, took_seconds=0, readings=1), {}).decode()

    assert 'trading_pipeline_queue_entries{queue="alerts"} 3.0' in told
    assert "trading_pipeline_alert_channels_dead 1.0" in told
    assert "trading_pipeline_alerts_unacknowledged 2.0" in told
    assert "trading_pipeline_alerts_oldest_age_seconds 180.0" in told


def test_what_stands_is_read_from_the_record(tmp_path: Path) -> None:
    ledger = SqlLedger.open(default_url(tmp_path))
    world = Telling(ledger, rules_of("mail", "sms"))
    world.phones["mail"].mood = FAILS
    world.raise_alerts(an_alert(1), an_alert(2))
    assert read_standing(ledger, ["mail", "sms"], NOON).untaken == 2
    world.run(timedelta(seconds=30))

    found = read_standing(ledger, ["mail", "sms"], world.clock.now())

    assert (found.dead, found.unacknowledged, found.untaken, found.leader) == (["mail"], 2, 0, "")
    assert found.waiting["mail"] == 2
    assert LOOK.around.alerts is not None
    ledger.close()
