"""The queue of alerts in the ledger, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from trading_pipeline.adapters.ledger import SqlLedger
from trading_pipeline.domain.alert_rules import AlertRules
from trading_pipeline.domain.alerting import (
    Acknowledgement,
    ChannelRecord,
    CircuitState,
    Delivery,
    DeliveryState,
    QueueDepth,
    Watch,
    deliveries_of,
)
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.errors import LedgerError
from trading_pipeline.services.alerting.acknowledging import acknowledge
from trading_pipeline_tests.services.alerting.telling import FAILS, Telling, rules_of
from trading_pipeline_tests.services.alerting.telling import an_alert as told_of

NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RULES = AlertRules.model_validate({"channels": {"mail": {"url": "json://a"}, "sms": {"url": "json://b"}}})
EVER = NOON + timedelta(days=1)


def an_alert(number: int, level: AlertLevel = AlertLevel.CRITICAL) -> Alert:
    return Alert(
        alert_id=f"a{number}", account="SIM", session=date(2026, 11, 20), occurred_at=NOON, level=level, kind="kill",
        message="m", data={"symbol": "AAPL"},
    )  # fmt: skip


def queued(ledger: SqlLedger, *alerts: Alert) -> list[Delivery]:
    """Raised, and queued for both channels."""
    with ledger.transaction() as tx:
        for alert in alerts:
            tx.add_alert(alert)
        found = [one for no, alert in tx.unqueued_alerts(100) for one in deliveries_of(no, alert, RULES, NOON)]
        tx.add_deliveries(found)
    return found


def test_every_alert_is_queued_once_and_comes_back_as_it_was(ledger: SqlLedger) -> None:
    made = queued(ledger, an_alert(1), an_alert(2))

    with ledger.transaction() as tx:
        assert tx.unqueued_alerts(100) == []
        assert tx.newest_alert_no() == 2
        assert [*tx.deliveries("a1"), *tx.deliveries("a2")] == made
        tx.add_deliveries([replace(made[0], state=DeliveryState.FAILED)])
        assert tx.deliveries("a1")[0] == made[0]
        assert tx.alerts_named(["a2", "nothing"]) == {"a2": an_alert(2)}
        assert tx.told_channels(["a1"]) == {"a1": {"mail": DeliveryState.PENDING, "sms": DeliveryState.PENDING}}


def test_a_fate_never_changes(ledger: SqlLedger) -> None:
    first = queued(ledger, an_alert(1))[0]
    delivered = replace(first, state=DeliveryState.DELIVERED, reason="named", settled_at=NOON)

    with ledger.transaction() as tx:
        tx.save_deliveries([delivered])
        tx.save_deliveries([replace(first, state=DeliveryState.PENDING), replace(first, state=DeliveryState.FAILED)])

        assert tx.deliveries("a1")[0] == delivered


def test_the_loudest_are_due_first_then_the_oldest_and_a_distant_instant_is_a_clock_set_back(ledger: SqlLedger) -> None:
    levels = (AlertLevel.WARNING, AlertLevel.CRITICAL, AlertLevel.ERROR, AlertLevel.CRITICAL, AlertLevel.WARNING)
    made = queued(ledger, *(an_alert(number, level) for number, level in enumerate(levels)))
    late = [replace(one, due_at=EVER) for one in made if one.alert_id in {"a0", "a3"}]

    with ledger.transaction() as tx:
        assert [one.alert_id for one in tx.due_deliveries("mail", NOON, EVER, 9)] == ["a1", "a3", "a2", "a0", "a4"]
        assert len(tx.due_deliveries("mail", NOON, EVER, 2)) == 2
        assert not tx.due_deliveries("mail", NOON - SECOND, EVER, 9)
        tx.save_deliveries(late)
        assert [one.alert_id for one in tx.due_deliveries("sms", NOON, EVER, 9)] == ["a1", "a2", "a4"]
        assert [one.alert_id for one in tx.due_deliveries("sms", NOON, EVER - SECOND, 9)] == ["a1", "a3", "a2", "a4"]
        waiting = [QueueDepth(channel=name, waiting=5, oldest_due_at=NOON) for name in ("mail", "sms")]
        assert tx.queue_depths() == waiting


def test_messages_are_found_by_their_deliveries(ledger: SqlLedger) -> None:
    made = queued(ledger, an_alert(1), an_alert(2))
    left = [
        replace(one, state=DeliveryState.SENDING, message_id=f"m-{one.channel}", handed_at=NOON, attempts=1)
        for one in made
    ]

    with ledger.transaction() as tx:
        tx.save_deliveries(left)
        assert tx.sending() == left
        assert [one.alert_id for one in tx.of_message("m-mail")] == ["a1", "a2"]
        assert tx.last_told("mail", made[0].same) == NOON
        assert tx.last_told("mail", "never said") is None
        assert tx.told_since("mail", "critical", NOON - SECOND) == [NOON]
        assert tx.told_since("mail", "critical", NOON) == []


def test_an_acknowledgement_ends_the_watch_takes_back_what_waits_and_is_never_changed(ledger: SqlLedger) -> None:
    made = queued(ledger, an_alert(1))
    watch = Watch(alert_id="a1", alert_no=1, account="SIM", kind="kill", since=NOON, next_at=NOON + 60 * SECOND)
    given = Acknowledgement(alert_id="a1", operator="alice", reason="", acknowledged_at=NOON)
    sent = replace(made[0], state=DeliveryState.SENDING)
    with ledger.transaction() as tx:
        tx.add_watches([watch, watch])
        tx.save_deliveries([sent])
        assert tx.due_watches(NOON + 60 * SECOND, EVER, 9) == [watch]
        assert tx.due_watches(NOON, EVER, 9) == []
        assert tx.due_watches(NOON, NOON, 9) == [watch]
        assert tx.unacknowledged("kill") == [an_alert(1)]

        assert tx.add_acknowledgement(given)
        assert not tx.add_acknowledgement(replace(given, operator="bob"))
        tx.save_watches([replace(watch, next_at=EVER)])

        assert tx.acknowledgement("a1") == given
        assert (tx.open_watches(), tx.open_count(), tx.unacknowledged("kill")) == ([], 0, [])
        assert [one.state for one in tx.deliveries("a1")] == [DeliveryState.SENDING, DeliveryState.SUPPRESSED]
        assert tx.recent_alerts(kind="kill") == [(an_alert(1), given)]
        assert tx.recent_alerts(level=AlertLevel.INFO) == []
    with ledger._engine.connect() as connection, pytest.raises(LedgerError, match="append-only"):
        connection.execute(text("UPDATE alert_acknowledgements SET operator = 'mallory'"))


def test_channels_come_back_as_they_were(ledger: SqlLedger) -> None:
    dead = ChannelRecord(
        name="mail", circuit=CircuitState.OPEN, failures=3, opened_at=NOON, probe_at=EVER, free_at=NOON,
        last_error="no", last_delivered_at=NOON, delivered=4, failed=3,
    )  # fmt: skip

    with ledger.transaction() as tx:
        tx.save_channel(ChannelRecord(name="mail"))
        tx.save_channel(dead)

        assert tx.channel_records() == {"mail": dead}


def test_alerts_are_delivered_escalated_and_acknowledged_on_either_database(ledger: SqlLedger) -> None:
    world = Telling(ledger, rules_of("mail", "sms", rules=[{"name": "all", "channels": ["mail"]}]))
    world.phones["mail"].mood = FAILS
    world.raise_alerts(*(told_of(number, message=f"alarm {number}") for number in range(5)))
    world.run(20 * SECOND)
    acknowledge(ledger, "kill-0", operator="alice", at=world.clock.now())
    world.run(60 * SECOND)

    assert set(world.phones["sms"].heard) >= {f"kill-{number}" for number in range(5)}
    assert world.fates("kill-0") == {"mail": DeliveryState.ESCALATED, "sms": DeliveryState.DELIVERED}
    with ledger.read() as tx:
        assert tx.channel_records()["mail"].circuit is not CircuitState.CLOSED
        assert [watch.alert_id for watch in tx.open_watches()] == ["kill-1", "kill-2", "kill-3", "kill-4"]
