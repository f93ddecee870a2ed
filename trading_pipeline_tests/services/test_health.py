"""Health as judged from one look, and the dead-man's signal: on time, once, and only when somebody had to live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.control import AlertLevel, Lease, TradingState
from trading_pipeline.domain.health import HealthRules, Level, ago, rated, rated_low
from trading_pipeline.domain.processes import ProcessPhase, ProcessState
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.domain.trading_session import SessionPhase, SessionRecord
from trading_pipeline.services.alerting.standing import AlertStanding
from trading_pipeline.services.audit.standing import AuditStanding
from trading_pipeline.services.breaker import ControlView, StandingCause
from trading_pipeline.services.dead_man import dead_man, raise_alarm
from trading_pipeline.services.health import NAMES, judge
from trading_pipeline.services.health_facts import Facts, Look, Stream, Surroundings, read_facts
from trading_pipeline_tests.services.scripted import TIMES, Stage, minute

RULES, LIMITS = HealthRules(), RiskLimits()
NOW = minute(60)
LEASE = Lease(
    name="session-loop-A", holder="host-7", token=3, acquired_at=minute(0), heartbeat_at=NOW - timedelta(seconds=2),
    expires_at=NOW + timedelta(seconds=6),
)  # fmt: skip
RECORD = SessionRecord(
    account="A", session=TIMES.session, phase=SessionPhase.RUNNING, opening_cash_usd=Decimal(1),
    opening_equity_usd=Decimal(1), was_flat=True, cursor_at=minute(55), decision_hash="", code_version="1",
    config_hash="c", started_at=minute(0),
)  # fmt: skip
FACTS = Facts(
    lease=LEASE, record=RECORD, blocks=[], positions=2, open_risk_usd=Decimal(1000), equity_usd=Decimal(100_000),
    reconciled_at=NOW - timedelta(seconds=20), in_doubt=0, unsent=0, unsent_since=None, screened_at=minute(45),
    regime_score=75.0, watchlist_at=minute(45), alarms=0, queues={"audit": 5, "alerts": 1, "unsent": 0},
)  # fmt: skip
AROUND = Surroundings(
    audit=AuditStanding(), alerts=AlertStanding(waiting={}),
    disk_free_bytes=50_000_000_000, bars_until=minute(59), bar_minutes=1, logged_errors=0, clock_skew_seconds=0.1,
    control=ControlView(account="A", state=TradingState.ACTIVE, causes=()),
)  # fmt: skip
LOOK = Look(now=NOW, times=TIMES, facts=FACTS, around=AROUND)


def level(name: str, look: Look = LOOK) -> Level:
    return judge(look, RULES, LIMITS).find(name).level


def with_facts(**changes: Any) -> Look:
    return replace(LOOK, facts=replace(FACTS, **changes))


def with_around(**changes: Any) -> Look:
    return replace(LOOK, around=replace(AROUND, **changes))


def test_a_session_that_goes_well_is_well_in_every_part() -> None:
    report = judge(LOOK, RULES, LIMITS)

    assert {one.name: one.level for one in report.findings} == dict.fromkeys(NAMES, Level.OK)
    assert report.level is Level.OK


def test_while_positions_are_to_be_closed_nobody_is_advised_to_resume() -> None:
    advice = judge(with_around(control=replace(HALTED, flattens=True)), RULES, LIMITS).find("trading").advice

    assert "trading-pipeline positions" in advice
    assert "when it is safe" not in advice


def beat(seconds: float) -> Lease:
    at = NOW - timedelta(seconds=seconds)
    return replace(LEASE, heartbeat_at=at, expires_at=at + timedelta(seconds=8))


def with_process(phase: ProcessPhase) -> Look:
    return with_around(processes=[ProcessState(name="ui", phase=phase)])


DRILL = StandingCause(kind="person", name="Kim", words="fire drill")
HALTED = ControlView(account="A", state=TradingState.HALTED, causes=(DRILL,))
SKEW = StandingCause(kind="condition", name="clock_skew", words="the broker's clock is 3.1 s ahead")
SKEWED = ControlView(account="A", state=TradingState.REDUCING, causes=(SKEW,))
BAD: dict[str, tuple[str, Level, Look]] = {
    "late heartbeat": ("loop", Level.WARN, with_facts(lease=beat(11))),
    "no heartbeat": ("loop", Level.FAIL, with_facts(lease=beat(21))),
    "heartbeat of the future": ("loop", Level.FAIL, with_facts(lease=beat(-21))),
    "nobody trades": ("loop", Level.WARN, with_facts(lease=None, record=None)),
    "loop gone, so broker gone": ("broker", Level.FAIL, with_facts(lease=beat(21))),
    "broker silent": ("broker", Level.FAIL, with_facts(reconciled_at=minute(50))),
    "halted": ("trading", Level.WARN, with_around(control=HALTED)),
    "blocked": ("blocks", Level.WARN, with_facts(blocks=["XYZ (in_doubt)"])),
    "old bars": ("feed", Level.FAIL, with_around(bars_until=minute(50))),
    "no bars": ("feed", Level.FAIL, with_around(bars_until=None)),
    "stream cut": ("feed", Level.WARN, with_around(stream=Stream(
        at=NOW, is_connected=False, is_stale=False, closed_until=minute(59), problem="cut"))),
    "old screening": ("screening", Level.WARN, with_facts(screened_at=minute(15))),
    "old watchlist": ("watchlist", Level.FAIL, with_facts(watchlist_at=minute(15))),
    "too much risk": ("risk", Level.FAIL, with_facts(open_risk_usd=Decimal(3001))),
    "much risk": ("risk", Level.WARN, with_facts(open_risk_usd=Decimal(2500))),
    "reconciled long ago": ("reconcile", Level.WARN, with_facts(reconciled_at=NOW - timedelta(seconds=100))),
    "in doubt": ("queues", Level.WARN, with_facts(in_doubt=1)),
    "order stuck": ("queues", Level.FAIL, with_facts(unsent=1, unsent_since=minute(57))),
    "one alarm": ("errors", Level.WARN, with_facts(alarms=1)),
    "errors in the log": ("errors", Level.FAIL, with_around(logged_errors=10)),
    "disk low": ("disk", Level.WARN, with_around(disk_free_bytes=4_000_000_000)),
    "disk full": ("disk", Level.FAIL, with_around(disk_free_bytes=0)),
    "disk unknown": ("disk", Level.WARN, with_around(disk_free_bytes=None)),
    "clock ahead": ("clock", Level.FAIL, with_around(clock_skew_seconds=-2.1)),
    "loop measured skew": ("clock", Level.WARN, with_around(control=SKEWED)),
    "process gone": ("processes", Level.FAIL, with_process(ProcessPhase.GONE)),
    "process waits": ("processes", Level.WARN, with_process(ProcessPhase.WAITING)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_each_trouble_is_found_and_says_what_to_do(case: str) -> None:
    name, expected, look = BAD[case]

    found = judge(look, RULES, LIMITS).find(name)

    assert found.level is expected, found
    assert found.advice


def test_while_the_database_is_down_the_rest_is_still_known() -> None:
    look = replace(LOOK, facts=None, trouble="the ledger X cannot be reached")

    report = judge(look, RULES, LIMITS)

    assert report.find("database").says == "the ledger X cannot be reached"
    assert report.level is Level.FAIL
    assert {one.name for one in report.findings if one.level is Level.OK} >= {"disk", "feed", "clock", "trading"}
    assert report.find("positions").says.startswith("not known")


@pytest.mark.parametrize("at", [TIMES.opens_at - timedelta(seconds=1), TIMES.closes_at, TIMES.closes_at + timedelta(9)])
def test_outside_the_session_nothing_has_to_be_fresh(at: Any) -> None:
    idle = replace(with_facts(lease=None, record=None, reconciled_at=None, watchlist_at=None), now=at)
    look = replace(idle, around=replace(AROUND, bars_until=None))

    assert {name for name in NAMES if level(name, look) is not Level.OK} == set()


@given(seconds=st.floats(0, 10**7), times=st.floats(0, 10), first=st.floats(0, 10**6), more=st.floats(0, 10**6))
def test_a_worse_value_is_never_rated_better(seconds: float, times: float, first: float, more: float) -> None:
    edges = (first, first + more)

    assert rated(seconds, edges).severity <= rated(seconds + times, edges).severity
    assert rated_low(seconds, edges[::-1]).severity >= rated_low(seconds + times, edges[::-1]).severity


def test_a_threshold_is_met_only_above_it() -> None:
    assert [rated(value, (1.0, 2.0)) for value in (1.0, 1.1, 2.0, 2.1)] == [
        Level.OK, Level.WARN, Level.WARN, Level.FAIL
    ]  # fmt: skip
    assert [rated_low(value, (5.0, 1.0)) for value in (5.0, 4.9, 1.0, 0.9)] == [
        Level.OK, Level.WARN, Level.WARN, Level.FAIL
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s ago"), (119, "119 s ago"), (600, "10 min ago"), (10_800, "3.0 h ago"), (864_000, "10 days ago"),
     (-5, "5 s in the future"), (-0.2, "0 s ago")],
)  # fmt: skip
def test_ages_are_told_in_words(seconds: float, words: str) -> None:
    assert ago(seconds) == words


def test_thresholds_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="a warning comes before a failure"):
        HealthRules(feed_age_seconds=(300, 90))
    with pytest.raises(ValueError, match="a warning comes before a failure"):
        HealthRules(disk_free_gigabytes=(1, 5))


# the dead man


def test_the_signal_comes_when_the_heartbeat_stops_in_session_and_not_before() -> None:
    alarms = [dead_man(with_facts(lease=beat(age)), RULES, "A") for age in (2, 19.9, 20, 20.1, 300)]

    assert [alarm is not None for alarm in alarms] == [False, False, False, True, True]
    assert alarms[3] is not None
    assert alarms[3].level is AlertLevel.CRITICAL
    assert "trading-pipeline session run" in alarms[3].message


def test_nobody_is_missed_who_did_not_have_to_be_there() -> None:
    dead = beat(300)
    closed = replace(RECORD, phase=SessionPhase.CLOSED)
    after_close = replace(with_facts(lease=dead), now=TIMES.closes_at)
    for look in (
        with_facts(lease=dead, record=None), with_facts(lease=dead, record=closed), after_close,
        with_facts(lease=None), replace(LOOK, facts=None),
    ):  # fmt: skip
        assert dead_man(look, RULES, "A") is None


def test_whoever_notices_says_the_same_so_it_is_on_record_once(stage: Stage) -> None:
    scene = stage.scene()
    looks = [replace(with_facts(lease=beat(60), positions=n), now=NOW + timedelta(seconds=n)) for n in range(3)]
    same = [replace(look, facts=replace(FACTS, lease=beat(60))) for look in looks]

    said = [raise_alarm(scene.ledger, alarm) for look in same if (alarm := dead_man(look, RULES, "A"))]

    with scene.ledger.read() as tx:
        told = [alert.kind for alert in tx.alerts("A", TIMES.session)]
    assert said == [True, False, False]
    assert told == ["loop_heartbeat_stopped"]


def test_a_second_death_is_said_again() -> None:
    first, second = (dead_man(with_facts(lease=replace(beat(60), token=token)), RULES, "A") for token in (3, 4))

    assert first is not None
    assert second is not None
    assert first.alert_id != second.alert_id


# what is read


def test_the_record_is_read_as_it_stands(stage: Stage) -> None:
    scene = stage.unknown_regime()
    scene.start(scene.desk())
    scene.regime(at=10, score=55.0)
    scene.regime(at=90, score=1.0)  # of later than now
    scene.watchlist("XYZ", at=15)

    facts = read_facts(scene.ledger, "A", TIMES.session, minute(20))

    assert (facts.regime_score, facts.watchlist_at, facts.positions) == (55.0, minute(15), 0)
    assert facts.record is not None
    assert facts.lease is None
    assert facts.queues["audit"] >= 0
