"""What holds whatever happens: no critical alert is lost, each delivery has one fate, a crash costs a repetition."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_pipeline.adapters.ledger import SqlLedger, default_url
from trading_pipeline.domain.alerting import DeliveryState
from trading_pipeline.domain.control import AlertLevel
from trading_pipeline_tests.services.alerting.telling import (
    FAILS,
    HANGS,
    LIES,
    REFUSES,
    TAKES,
    Died,
    Fused,
    Telling,
    an_alert,
    rules_of,
)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NAMES = ("mail", "chat", "sms")
KIND_OF = dict(zip(AlertLevel, ("report_ready", "order_rejected", "data_issue", "kill"), strict=True))

acts = st.one_of(
    st.tuples(st.just("alert"), st.sampled_from(list(AlertLevel)), st.integers(1, 5)),
    st.tuples(st.just("mood"), st.sampled_from(NAMES), st.sampled_from((TAKES, FAILS, REFUSES, HANGS, LIES))),
    st.tuples(st.just("wait"), st.sampled_from((1, 5, 40, 700)), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(acts, min_size=3, max_size=14))
def test_every_alert_has_one_fate_per_channel_and_every_critical_one_reaches_somebody(
    history: list[tuple[str, object, object]], empty_ledger: Path
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(empty_ledger, Path(folder) / "ledger.sqlite3")
        ledger = SqlLedger(default_url(Path(folder)))
        world = Telling(ledger, rules_of(*NAMES))
        raised = live(world, history)
        for phone in world.phones.values():
            phone.mood = TAKES
        world.run(20 * MINUTE, stride=20 * SECOND)
        world.run(26 * HOUR, stride=20 * MINUTE)

        for alert_id, level in raised.items():
            deliveries = world.deliveries(alert_id)
            assert deliveries
            assert all(one.state.is_final and one.reason and one.settled_at for one in deliveries)
            if level is AlertLevel.CRITICAL:
                assert any(phone.heard[alert_id] for phone in world.phones.values())
                assert DeliveryState.DELIVERED in {one.state for one in deliveries}
                assert DeliveryState.SUPPRESSED not in {one.state for one in deliveries}
        ledger.close()


def live(world: Telling, history: list[tuple[str, object, object]]) -> dict[str, AlertLevel]:
    """Do it all; the alerts that were raised."""
    raised = dict[str, AlertLevel]()
    for act, what, how in history:
        if act == "alert":
            level = AlertLevel(str(what))
            for _ in range(int(str(how))):
                alert = an_alert(len(raised), level=level, kind=KIND_OF[level], at=world.clock.now())
                raised[alert.alert_id] = level
                world.raise_alerts(alert)
        elif act == "mood":
            world.phones[str(what)].mood = str(how)
        elif act == "wait":
            world.run(int(str(what)) * SECOND, stride=2 * SECOND)
        else:
            world.restart()
    return raised


@pytest.mark.parametrize("burns_at", range(1, 11))
def test_killed_between_handing_over_and_recording_it_is_sent_again_and_says_so(
    ledger: SqlLedger, burns_at: int
) -> None:
    world = Telling(ledger, rules_of("mail"))
    world.raise_alerts(an_alert(1, level=AlertLevel.ERROR, kind="data_issue"))
    world.deliverer = world.begin(Fused(ledger, burns_at))  # type: ignore[arg-type]
    with suppress(Died):
        world.run(30 * SECOND)

    world.restart()
    world.run(MINUTE)

    texts = world.phones["mail"].texts
    assert 1 <= len(texts) <= 2
    assert all("may be a repetition" in text for text in texts[1:])
    assert world.fates("data_issue-1") == {"mail": DeliveryState.DELIVERED}


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.soak)])
def test_many_alerts_with_each_channel_failing_in_turn_lose_no_critical_one(ledger: SqlLedger, count: int) -> None:
    world = Telling(ledger, rules_of(*NAMES))
    levels, critical, made = list(AlertLevel), list[str](), 0
    for bad in NAMES:
        for name, phone in world.phones.items():
            phone.mood = FAILS if name == bad else TAKES
        for _ in range(0, count // 3, 100):
            batch = [
                an_alert(made + place, level=levels[place % 4], kind=KIND_OF[levels[place % 4]], at=world.clock.now())
                for place in range(100)
            ]
            made += len(batch)
            critical += [alert.alert_id for alert in batch if alert.level is AlertLevel.CRITICAL]
            world.raise_alerts(*batch)
            world.run(5 * SECOND)
    for phone in world.phones.values():
        phone.mood = TAKES
    world.run(3 * MINUTE, stride=5 * SECOND)

    heard = [phone.heard for phone in world.phones.values()]
    assert made >= count
    assert not [alert_id for alert_id in critical if not any(one[alert_id] for one in heard)]
