"""CRITICAL alerts until somebody takes notice."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.alerting import REMINDER, DeliveryState
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import InputError
from trading_pipeline.services.alerting.acknowledging import acknowledge, acknowledge_kind
from trading_pipeline_tests.services.alerting.telling import FAILS, NOON, Telling, an_alert, rules_of

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ONLY_MAIL = [{"name": "all", "channels": ["mail"]}]


def first_ring(world: Telling, name: str) -> timedelta:
    return world.phones[name].rang[0][0] - NOON


def test_unacknowledged_for_60_seconds_it_goes_to_the_next_channel_and_so_on(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "chat", "sms", rules=ONLY_MAIL))
    world.raise_alerts(an_alert())

    world.run(3 * MINUTE)

    assert first_ring(world, "mail") <= SECOND
    assert 60 * SECOND <= first_ring(world, "chat") <= 62 * SECOND
    assert 120 * SECOND <= first_ring(world, "sms") <= 123 * SECOND
    assert "nobody acknowledged it for 60 s" in world.phones["chat"].texts[0]


def test_a_dead_channel_is_passed_over(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "chat", "sms", rules=ONLY_MAIL, circuit={"failures": 1}))
    world.phones["chat"].mood = FAILS
    world.raise_alerts(an_alert(1))
    world.run(2 * MINUTE)
    world.raise_alerts(an_alert(2, at=world.clock.now()))

    world.run(61 * SECOND)

    assert world.phones["sms"].heard["kill-2"] == 1


def test_an_acknowledgement_stops_it_and_is_audited_with_the_name(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "sms", rules=ONLY_MAIL))
    world.raise_alerts(an_alert())
    world.run(30 * SECOND)

    given = acknowledge(ledger, "kill-1", operator="alice", at=world.clock.now(), reason="on it")
    world.run(HOUR, stride=10 * SECOND)

    assert (given.operator, given.reason) == ("alice", "on it")
    assert not world.phones["sms"].rang
    assert len(world.phones["mail"].rang) == 1
    with ledger.read() as tx:
        (entry,) = [entry for _, entry in tx.audit_entries() if entry.kind == "alert_acknowledged"]
    assert (entry.actor, entry.subject, entry.data["reason"]) == ("alice", "kill-1", "on it")


def test_the_first_acknowledgement_stays(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.raise_alerts(an_alert())
    acknowledge(ledger, "kill-1", operator="alice", at=NOON)

    again = acknowledge(ledger, "kill-1", operator="bob", at=NOON + MINUTE)

    assert again.operator == "alice"
    with ledger.read() as tx:
        assert sum(entry.kind == "alert_acknowledged" for _, entry in tx.audit_entries()) == 1


def test_what_was_acknowledged_before_it_was_sent_is_not_sent(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.phones["mail"].mood = FAILS
    world.raise_alerts(an_alert(1), an_alert(2))
    acknowledge(ledger, "kill-2", operator="alice", at=NOON)  # before it was even queued
    world.run(10 * SECOND)
    acknowledge(ledger, "kill-1", operator="alice", at=world.clock.now())
    world.phones["mail"].mood = "takes"

    world.run(10 * MINUTE)

    assert not {"kill-1", "kill-2"} & set(world.phones["mail"].heard)
    for alert_id in ("kill-1", "kill-2"):
        (fate,) = world.deliveries(alert_id)
        assert (fate.state, fate.reason) == (DeliveryState.SUPPRESSED, "acknowledged by alice")


def test_all_of_a_kind_are_acknowledged_together(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.raise_alerts(*(an_alert(n) for n in range(700)), an_alert(1, kind="drawdown"))
    world.run(5 * SECOND)

    made = acknowledge_kind(ledger, "kill", operator="alice", at=world.clock.now())

    assert len(made) == 700
    with ledger.read() as tx:
        assert [watch.alert_id for watch in tx.open_watches()] == ["drawdown-1"]
    assert not acknowledge_kind(ledger, "kill", operator="alice", at=world.clock.now())


def test_nobody_and_nothing_cannot_acknowledge(ledger: SqlLedger) -> None:
    with pytest.raises(InputError, match="--operator NAME"):
        acknowledge(ledger, "kill-1", operator=" ", at=NOON)
    with pytest.raises(InputError, match=r"no alert 'kill-1' is on record.*alerts list"):
        acknowledge(ledger, "kill-1", operator="alice", at=NOON)


def test_once_everybody_was_told_one_reminder_for_all_comes_on_schedule_until_they_expire(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", escalation={"expire_hours": 1}))
    for number in range(4):
        world.raise_alerts(an_alert(number, at=world.clock.now()))
        world.run(20 * SECOND)

    world.run(2 * HOUR, stride=15 * SECOND)

    reminders = [at for at, message in world.phones["mail"].rang if message.title.startswith(f"CRITICAL: {REMINDER}")]
    assert 10 <= len(reminders) <= 12
    assert min(later - earlier for earlier, later in pairwise(reminders)) >= 5 * MINUTE
    assert reminders[-1] - NOON <= HOUR + MINUTE
    with ledger.read() as tx:
        assert tx.open_count() == 0
    assert "\n4 CRITICAL alert(s) not acknowledged" in world.phones["mail"].texts[-1]
    assert world.phones["mail"].texts[-1].count("alerts ack") == 1


def test_less_than_critical_needs_no_acknowledgement(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "sms", rules=ONLY_MAIL))
    world.raise_alerts(an_alert(level=AlertLevel.ERROR, kind="data_issue"))

    world.run(10 * MINUTE)

    assert not world.phones["sms"].rang
    assert len(world.phones["mail"].rang) == 1
