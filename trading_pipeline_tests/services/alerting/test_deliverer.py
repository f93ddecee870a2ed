"""Alerts reach people: who is told, when, in how many messages, and what becomes of each."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from trading_pipeline.adapters.clock import ReplayClock
from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.alerting import DeliveryState
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline.domain.errors import LeaseLost, LedgerUnavailable
from trading_pipeline_tests.services.alerting.telling import (
    FAILS,
    HANGS,
    LIES,
    NOON,
    REFUSES,
    Telling,
    an_alert,
    rules_of,
)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
INFO, WARNING, ERROR, CRITICAL = AlertLevel


def test_a_critical_alert_is_told_on_every_channel_at_once_and_named(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "sms"))
    world.raise_alerts(an_alert(message="the daily loss is at its limit"))

    world.run(SECOND)

    assert world.fates("kill-1") == {"mail": DeliveryState.DELIVERED, "sms": DeliveryState.DELIVERED}
    for phone in world.phones.values():
        ((at, message),) = phone.rang
        assert at - NOON <= SECOND
        assert message.title == "CRITICAL: kill SIM"
        assert "the daily loss is at its limit" in message.body
        assert "trading-pipeline alerts ack kill-1" in message.body


def test_a_hung_channel_holds_up_no_other(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "sms"))
    world.phones["mail"].mood = HANGS

    for number in range(5):
        world.raise_alerts(an_alert(number, at=world.clock.now()))
        world.run(SECOND)

    assert [(at - NOON) // SECOND for at, _ in world.phones["sms"].rang] == [0, 1, 2, 3, 4]
    assert world.phones["mail"].handed == 1


def test_a_dead_channel_escalates_to_the_next_in_order_and_the_others_hear_of_it_once(ledger: SqlLedger) -> None:
    rules = rules_of("mail", "chat", "sms", rules=[{"name": "all", "channels": ["mail"]}])
    world = Telling(ledger, rules)
    world.phones["mail"].mood = FAILS
    world.phones["chat"].mood = FAILS

    world.raise_alerts(an_alert(level=ERROR, kind="data_issue"))
    world.run(10 * MINUTE, stride=5 * SECOND)
    world.raise_alerts(an_alert(2, level=ERROR, kind="data_issue", at=world.clock.now(), symbol="AAPL"))
    world.run(10 * MINUTE, stride=5 * SECOND)

    escalated, delivered = DeliveryState.ESCALATED, DeliveryState.DELIVERED
    for number in (1, 2):
        fates = world.fates(f"data_issue-{number}")
        assert fates["mail"] == escalated
        assert fates["sms"] == delivered
    told = [text for text in world.phones["sms"].texts if "alert_channel_dead" in text]
    assert len([text for text in told if "channel mail is dead" in text]) == 1
    assert len([text for text in told if "channel chat is dead" in text]) == 1
    assert sum("Told here because" in text for text in world.phones["sms"].texts) >= 2


def test_a_refused_message_is_not_tried_again_but_told_elsewhere(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "sms", rules=[{"name": "all", "channels": ["mail"]}]))
    world.phones["mail"].mood = REFUSES
    world.raise_alerts(an_alert(level=WARNING, kind="order_rejected"))

    world.run(MINUTE)

    assert world.phones["mail"].handed == 1
    assert world.fates("order_rejected-1") == {"mail": DeliveryState.ESCALATED, "sms": DeliveryState.DELIVERED}


def test_without_another_channel_it_is_tried_with_growing_waits_and_then_has_failed(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", circuit={"failures": 100}))
    world.phones["mail"].mood = FAILS
    world.raise_alerts(an_alert(level=WARNING, kind="order_rejected"))

    world.run(10 * MINUTE, stride=5 * SECOND)

    (fate,) = world.deliveries("order_rejected-1")
    assert (fate.state, fate.attempts) == (DeliveryState.FAILED, 6)
    assert "mail fails" in fate.reason


def test_a_critical_alert_outlasts_the_death_of_every_channel(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "sms", escalation={"expire_hours": 1}))
    for phone in world.phones.values():
        phone.mood = FAILS
    world.raise_alerts(an_alert())
    world.run(2 * HOUR, stride=MINUTE)
    assert not any(phone.rang for phone in world.phones.values())

    for phone in world.phones.values():
        phone.mood = "takes"
    world.run(HOUR, stride=MINUTE)

    assert all(phone.heard["kill-1"] >= 1 for phone in world.phones.values())


def test_an_unknown_outcome_is_repeated_with_a_note_that_says_so(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.phones["mail"].mood = LIES
    world.raise_alerts(an_alert(level=ERROR, kind="data_issue"))
    world.run(SECOND)
    world.phones["mail"].mood = "takes"

    world.run(MINUTE)

    first, second = world.phones["mail"].texts
    assert "may be a repetition" not in first
    assert "may be a repetition" in second
    assert world.fates("data_issue-1") == {"mail": DeliveryState.DELIVERED}


def test_the_same_again_is_counted_and_the_count_is_told(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    for number in range(38):
        world.raise_alerts(an_alert(number, level=WARNING, kind="order_rejected", at=world.clock.now()))
        world.run(SECOND)

    world.run(10 * MINUTE, stride=5 * SECOND)

    assert len(world.phones["mail"].rang) == 2
    assert world.phones["mail"].rang[1][1].title == "WARNING: 37 times order_rejected"
    assert world.phones["mail"].heard == {f"order_rejected-{number}": 1 for number in range(38)}
    assert "and" not in world.phones["mail"].texts[0].split("\n")[0]


def test_of_two_symbols_neither_counts_as_the_other(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    for number, symbol in enumerate(("AAPL", "MSFT")):
        world.raise_alerts(an_alert(number, level=WARNING, kind="order_rejected", symbol=symbol))

    world.run(SECOND)

    assert len(world.phones["mail"].rang) == 2


def test_more_messages_than_a_rule_has_in_an_hour_leave_together(ledger: SqlLedger) -> None:
    rules = rules_of("mail", rules=[{"name": "all", "max_per_hour": 3, "same_seconds": 0}])
    world = Telling(ledger, rules)
    for number in range(20):
        world.raise_alerts(an_alert(number, level=WARNING, kind="order_rejected", at=world.clock.now()))
        world.run(MINUTE, stride=10 * SECOND)
    assert len(world.phones["mail"].rang) == 3

    world.run(HOUR, stride=10 * SECOND)

    assert len(world.phones["mail"].rang) == 4
    assert world.phones["mail"].rang[3][1].title == "WARNING: 17 times order_rejected"


def test_a_flood_of_critical_alerts_leaves_in_few_messages_and_none_is_suppressed(ledger: SqlLedger) -> None:
    channel = {"url": "json://sms", "messages_per_minute": 20, "burst_messages": 3, "max_characters": 160}
    world = Telling(ledger, rules_of(channels={"sms": channel}))
    world.raise_alerts(*(an_alert(number) for number in range(400)))

    world.run(5 * SECOND)

    assert len(world.phones["sms"].rang) <= 4
    assert all(world.fates(f"kill-{number}") == {"sms": DeliveryState.DELIVERED} for number in range(400))
    assert "more (" in world.phones["sms"].texts[0]
    assert all(len(text) <= 161 for text in world.phones["sms"].texts)


def test_no_rule_s_limit_holds_a_critical_alert_back(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", rules=[{"name": "all", "max_per_hour": 1, "delivery": "digest"}]))
    for number in range(3):
        world.raise_alerts(an_alert(number, at=world.clock.now()))
        world.run(SECOND)

    assert world.phones["mail"].heard == {"kill-0": 1, "kill-1": 1, "kill-2": 1}


def test_quiet_hours_hold_back_until_they_end_but_never_a_critical_alert(ledger: SqlLedger) -> None:
    rules = rules_of("mail", rules=[{"name": "all", "quiet_from": "22:00", "quiet_until": "07:00"}])
    at = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)  # 23:00 in New York
    world = Telling(ledger, rules, ReplayClock(at))
    world.raise_alerts(
        an_alert(1, level=ERROR, kind="data_issue", at=at), an_alert(2, level=WARNING, kind="order_rejected", at=at),
        an_alert(3, at=at),
    )  # fmt: skip
    world.run(7 * HOUR, stride=MINUTE)
    assert {alert_id for alert_id in world.phones["mail"].heard if "unack" not in alert_id} >= {"kill-3"}
    assert not world.phones["mail"].heard["data_issue-1"]

    world.run(2 * HOUR, stride=MINUTE)

    (told,) = [(at, message) for at, message in world.phones["mail"].rang if "data_issue-1" in message.alert_ids]
    assert told[0] == datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    assert set(told[1].alert_ids) == {"data_issue-1", "order_rejected-2"}
    assert told[1].title == "ERROR: 2 alert(s) of the quiet hours"


def test_what_no_rule_tells_at_once_comes_with_the_daily_digest(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.raise_alerts(*(an_alert(n, level=INFO, kind="report_ready") for n in range(3)))

    world.run(6 * HOUR, stride=30 * SECOND)

    ((at, message),) = world.phones["mail"].rang
    assert at == datetime(2026, 11, 20, 22, 0, tzinfo=UTC)
    assert message.title == "INFO: Digest of 3 alert(s)"


def test_a_relay_that_starts_late_sums_up_old_news_and_names_old_critical_ones(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    old = NOON - timedelta(days=2)
    world.raise_alerts(*(an_alert(n, level=WARNING, kind="order_rejected", at=old, symbol=str(n)) for n in range(50)))
    world.raise_alerts(*(an_alert(n, at=old) for n in range(5)))
    world.raise_alerts(an_alert(1, level=ERROR, kind="data_issue"))

    world.run(MINUTE)

    titles = [message.title for _, message in world.phones["mail"].rang]
    assert titles == [
        "CRITICAL: 5 older alert(s), not told when they were new", "ERROR: data_issue SIM",
        "WARNING: 50 older alert(s), not told when they were new",
    ]  # fmt: skip
    assert world.phones["mail"].texts[2].count("\n") == 1
    assert world.phones["mail"].texts[0].count("alarm number") == 5


def test_what_waited_for_a_dead_channel_until_it_was_old_is_summed_up(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.phones["mail"].mood = FAILS
    for number in range(10):
        world.raise_alerts(
            an_alert(number, level=INFO, kind="position_opened", at=world.clock.now(), symbol=f"S{number}")
        )
    world.run(2 * HOUR, stride=MINUTE)
    world.phones["mail"].mood = "takes"

    world.run(HOUR, stride=30 * SECOND)

    first = world.phones["mail"].rang[0][1]
    assert first.title == "INFO: 10 older alert(s), not told when they were new"


def test_an_alert_for_nobody_says_so(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of())
    world.raise_alerts(an_alert())

    world.run(SECOND)

    (fate,) = world.deliveries("kill-1")
    assert (fate.channel, fate.state, fate.reason) == ("", DeliveryState.SUPPRESSED, "no channel is set up")


def test_a_channel_taken_out_of_the_settings_gives_its_deliveries_to_another(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", rules=[{"name": "all"}]))
    world.phones["mail"].mood = FAILS
    world.raise_alerts(an_alert())
    world.run(SECOND)

    later = Telling(ledger, rules_of("sms"), world.clock)
    later.run(SECOND)

    assert later.phones["sms"].heard["kill-1"] == 1
    assert later.fates("kill-1") == {"mail": DeliveryState.ESCALATED, "sms": DeliveryState.DELIVERED}


def test_e46_a_clock_set_back_holds_no_critical_alert_up(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.phones["mail"].mood = FAILS
    world.raise_alerts(an_alert())
    world.run(MINUTE)

    world.clock.instant = NOON - timedelta(days=1)
    world.phones["mail"].mood = "takes"
    world.restart()
    world.run(15 * MINUTE)

    assert world.phones["mail"].heard["kill-1"] == 1


def test_a_ledger_that_is_away_loses_nothing(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.raise_alerts(an_alert())
    away = Away(ledger)
    world.deliverer = world.begin(away)
    world.deliverer.step()  # the message is on its way, and the ledger goes

    away.is_away = True
    for _ in range(3):
        world.clock.sleep_until(world.clock.now() + SECOND)
        with pytest.raises(LedgerUnavailable):
            world.deliverer.step()
    away.is_away = False
    world.run(30 * SECOND)

    assert world.phones["mail"].heard == {"kill-1": 1}
    assert world.fates("kill-1") == {"mail": DeliveryState.DELIVERED}


def test_a_commit_whose_answer_is_lost_costs_at_most_a_repetition(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.raise_alerts(an_alert(level=ERROR, kind="data_issue"))
    deaf = Deaf(ledger)
    world.deliverer = world.begin(deaf)
    world.deliverer.step()
    world.run(SECOND)
    world.raise_alerts(an_alert(2, level=ERROR, kind="data_issue", symbol="AAPL"))

    deaf.commits_heard = 1
    with pytest.raises(LedgerUnavailable):
        world.deliverer.step()  # on record as leaving, and never handed over
    deaf.commits_heard = 1000
    world.run(10 * SECOND)

    assert world.phones["mail"].heard == {"data_issue-1": 1, "data_issue-2": 1}
    assert "may be a repetition" in world.phones["mail"].texts[1]


def test_of_two_deliverers_only_the_one_with_the_lease_tells_anybody(ledger: SqlLedger) -> None:
    real = datetime.now(UTC)
    with ledger.transaction() as tx:
        first = tx.take_lease("alerts", "one", real - HOUR, 1)
        second = tx.take_lease("alerts", "two", real, 3600)
    assert first is not None
    assert second is not None
    world = Telling(ledger, rules_of("mail"))
    world.raise_alerts(an_alert())

    world.deliverer = world.begin(ledger.fenced(first))
    with pytest.raises(LeaseLost):
        world.deliverer.step()
    assert not world.phones["mail"].rang
    world.deliverer = world.begin(ledger.fenced(second))
    world.run(SECOND)

    assert world.phones["mail"].heard == {"kill-1": 1}


class Away:
    """A ledger that can be away."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger, self.is_away = ledger, False

    def transaction(self):  # type: ignore[no-untyped-def]
        if self.is_away:
            raise LedgerUnavailable("gone")
        return self._ledger.transaction()

    def read(self):  # type: ignore[no-untyped-def]
        if self.is_away:
            raise LedgerUnavailable("gone")
        return self._ledger.read()


class Deaf(Away):
    """A ledger that commits, and whose answer does not arrive after so many that did."""

    commits_heard = 1000

    @contextmanager
    def transaction(self):  # type: ignore[no-untyped-def]
        with self._ledger.transaction() as tx:
            yield tx
        self.commits_heard -= 1
        if self.commits_heard < 0:
            raise LedgerUnavailable("the connection broke")
