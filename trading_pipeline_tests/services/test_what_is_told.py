"""What people hear of: each event raises its alert in the transaction of the change, once, whatever is repeated."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from trading_pipeline.adapters.clock import FixedClock
from trading_pipeline.domain.alert_kinds import KINDS, alert
from trading_pipeline.domain.control import Alert, AlertLevel
from trading_pipeline.domain.errors import OrderRefused
from trading_pipeline.domain.modes import ChangeKind
from trading_pipeline.domain.orders import ExecType
from trading_pipeline.services.dispatch import dispatch_due
from trading_pipeline.services.modes.transitions import change_mode
from trading_pipeline.services.reporting import record_daily_performance
from trading_pipeline.services.session_news import tell_stopped
from trading_pipeline_tests.builders import a_report
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, flat_bars, minute
from trading_pipeline_tests.services.test_entries import decide, started
from trading_pipeline_tests.services.test_live_loop import answered
from trading_pipeline_tests.services.test_replay_acts import again, watched
from trading_pipeline_tests.services.test_session_loop import an_eventful_day, interrupted
from trading_pipeline_tests.services.told import hear, working

SESSION = TIMES.session


def told(scene: Scene) -> list[Alert]:
    with scene.ledger.read() as tx:
        return list(tx.alerts("A"))


def kinds(scene: Scene) -> list[str]:
    return [one.kind for one in told(scene)]


def of_kind(scene: Scene, kind: str) -> list[Alert]:
    return [one for one in told(scene) if one.kind == kind]


@pytest.fixture(scope="module")
def eventful(stage: Stage) -> Scene:
    """A day with entries, a stop, exits and a refusal; read only."""
    scene = an_eventful_day(stage)
    scene.loop().run()
    return scene


# the session


def test_a_session_tells_of_its_beginning_its_positions_and_its_end(eventful: Scene) -> None:
    found = told(eventful)

    assert (found[0].kind, found[-1].kind) == ("session_started", "session_closed")
    counted = Counter(one.kind for one in found)
    assert counted["position_opened"] == counted["position_closed"] + 1 == 6  # one is held overnight
    assert counted["stop_hit"] == 2
    assert {one.level for one in found if one.kind.startswith(("position", "session", "stop"))} == {AlertLevel.INFO}
    assert re.search(r"is begun with 100,000\.00 USD", found[0].message)
    assert re.search(
        r"equity [\d,.]+ USD \([+-][\d,.]+\), 5 trade\(s\) closed, 1 position\(s\) held", found[-1].message
    )
    assert all(re.search(r"net [+-][\d,.]+ USD", one.message) for one in found if one.kind == "position_closed")


def test_every_alert_of_a_day_is_of_a_kind_in_the_table_and_as_loud_as_that_may_be(eventful: Scene) -> None:
    assert [one for one in told(eventful) if one.level not in KINDS[one.kind].levels] == []


def test_each_alert_is_audited_once_by_an_entry_of_its_own_or_by_its_risk_event(eventful: Scene) -> None:
    with eventful.ledger.read() as tx:
        entries = Counter(entry.subject for _, entry in tx.audit_entries() if entry.kind in {"alert", "risk_event"})

    assert {one.alert_id: entries[one.alert_id] for one in told(eventful)} == {
        one.alert_id: 1 for one in told(eventful)
    }


def test_a_day_killed_anywhere_and_resumed_tells_the_same_and_nothing_twice(stage: Stage, eventful: Scene) -> None:
    scene = an_eventful_day(stage)

    _, deaths = interrupted(scene, random.Random(7), 45)

    assert deaths > 3
    assert sorted(told(scene), key=_by_id) == sorted(told(eventful), key=_by_id)


def _by_id(one: Alert) -> str:
    return one.alert_id


def test_a_replay_tells_nothing_twice(stage: Stage) -> None:
    scene = watched(stage, flat_bars("49.90"), at=(15, 30))
    scene.loop().run()
    before = told(scene)
    assert {"position_opened", "position_closed"} <= set(kinds(scene))

    assert again(stage, scene).verified
    scene.loop().run()

    assert told(scene) == before


def test_a_report_is_ready_once_and_is_of_the_sessions_close_whenever_it_is_made(stage: Stage) -> None:
    scene = an_eventful_day(stage)
    scene.loop().run()
    for days in (0, 30):
        record_daily_performance(scene.ledger, "A", SESSION, clock=FixedClock(TIMES.closes_at + timedelta(days=days)))

    (ready,) = of_kind(scene, "report_ready")
    assert (ready.occurred_at, ready.level) == (TIMES.closes_at, AlertLevel.INFO)
    assert f"trading-pipeline report --session {SESSION}" in ready.message


def test_a_loop_that_is_stopped_before_the_close_says_so_once_for_each_process(stage: Stage) -> None:
    scene = started(stage)
    for process in ("host-1 3", "host-1 3", "host-2 4"):
        tell_stopped(scene.ledger, "A", SESSION, process=process, at=minute(30))

    assert [one.level for one in of_kind(scene, "session_stopped")] == [AlertLevel.WARNING] * 2


# limits


@pytest.mark.parametrize(
    ("risk", "kind", "code"),
    [
        ({"max_open_positions": 1}, "limit_exceeded", "position_count"),
        ({"max_orders_per_execution": 1}, "limit_exceeded", "orders_per_execution"),
        ({"buying_power_reserve_fraction": "0.95"}, "buying_power_low", "buying_power_reserve"),
    ],
)
def test_an_entry_denied_by_a_limit_is_told_once_a_session_with_its_numbers(
    stage: Stage, risk: dict[str, object], kind: str, code: str
) -> None:
    scene = started(stage, risk=risk)
    decide(scene, "AAA", "BBB", "CCC")
    decide(scene, "DDD", "EEE", at=30)

    (only,) = of_kind(scene, kind)
    assert (only.level, only.data["code"], only.data["symbol"]) == (AlertLevel.WARNING, code, only.message.split()[3])
    assert only.data["limit_name"] in only.message
    assert set(kinds(scene)) <= {kind, "session_started", "start_up"}


def test_an_entry_that_no_limit_denies_tells_nothing(stage: Stage) -> None:
    scene = started(stage)
    before = told(scene)

    assert decide(scene, "XYZ").approved == 1
    assert decide(scene, "BAD", at=30, target=49.0).approved == 0  # a poor setup, no limit

    assert told(scene) == before


# the venue


def test_an_order_the_venue_refuses_is_told_once_at_the_call_and_by_a_report(stage: Stage) -> None:
    scene = started(stage)
    decide(scene, "XYZ")

    def refusing(name: str, call: object) -> object:
        if name == "submit":
            raise OrderRefused("margin call")
        return answered(name, call)  # type: ignore[arg-type]

    for _ in range(2):
        desk = scene.desk(at=16)
        dispatch_due(replace(desk, broker=Wrapped(desk.broker, refusing)))
    (refused,) = of_kind(scene, "order_rejected")
    assert (refused.level, "margin call" in refused.message) == (AlertLevel.WARNING, True)

    other = working(stage.scene())
    report = a_report(ExecType.REJECTED, client_order_id=other.order().client_order_id, text="halted")
    for _ in range(2):
        hear(other, replace(report, occurred_at=minute(20)))
    (heard,) = of_kind(other, "order_rejected")
    assert "BUY 200 XYZ" in heard.message


def test_each_reconnect_is_told_and_the_first_connection_is_none(stage: Stage) -> None:
    scene = stage.scene(bars=flat_bars("50.20"))
    connections = [1, 1, 2, 2, 3]
    cycle = scene.loop(desk=scene.desk(at=20, connections=lambda: connections[0])).cycle
    record = scene.start(cycle.desk)
    for _ in range(len(connections)):
        cycle.look(record)
        cycle.desk.clock.sleep_until(cycle.desk.clock.now() + timedelta(seconds=5))
        connections[:1] = [] if len(connections) > 1 else connections[:1]

    assert [one.data["connections"] for one in of_kind(scene, "connection_restored")] == ["2", "3"]


# the mode


def test_a_change_of_mode_is_told_in_its_transaction_with_who_and_why(stage: Stage) -> None:
    scene = started(stage)
    for _ in range(2):
        with scene.ledger.transaction() as tx:
            change_mode(tx, "A", ChangeKind.STOP, at=minute(20), reason="a drill", actor="Kim")
    with scene.ledger.transaction() as tx:
        change_mode(tx, "A", ChangeKind.RESUME, at=minute(30), reason="over", actor="Robin")

    stopped, resumed = of_kind(scene, "mode_changed")
    assert (stopped.level, resumed.level) == (AlertLevel.ERROR, AlertLevel.WARNING)
    assert "(Kim: a drill)" in stopped.message
    assert "(Robin: over)" in resumed.message


# how long it takes


def test_raising_an_alert_takes_less_than_50_ms(stage: Stage) -> None:
    scene, took = started(stage), list[float]()
    for number in range(200):
        made = alert("kill", str(number), account="A", session=SESSION, at=OPENS, message="a person pulled the switch")
        began = time.perf_counter()
        with scene.ledger.transaction() as tx:
            assert tx.raise_alert(made)
        took.append(time.perf_counter() - began)

    assert sorted(took)[190] < 0.05
