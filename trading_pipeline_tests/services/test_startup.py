"""Entries wait until everything is good: told once, blocked meanwhile, lifted when right, and repeated by a replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading_pipeline.adapters.clock import FixedClock, SteppedClock
from trading_pipeline.domain.control import AlertLevel, BlockKind, Lease, TradingState
from trading_pipeline.domain.errors import LeaseLost, NotReady, OutcomeUnknown, StopRequested
from trading_pipeline.domain.orders import Leg, OrderType
from trading_pipeline.domain.risk import RiskLimits
from trading_pipeline.domain.trading_session import SessionRecord
from trading_pipeline.ports import Ledger, VenueCapabilities
from trading_pipeline.services.decision_log import decision_log
from trading_pipeline.services.desk import Desk
from trading_pipeline.services.preconditions import Preconditions, measure_skew
from trading_pipeline.services.readiness import SELF_TEST, Check, require, run_checks
from trading_pipeline.services.self_test import SelfTest
from trading_pipeline.services.session_acts import recorded_acts
from trading_pipeline.services.session_loop import SessionLoop
from trading_pipeline.services.startup import StartUp
from trading_pipeline_tests.fakes import Wrapped
from trading_pipeline_tests.services.scripted import OPENS, TIMES, Scene, Stage, flat_bars, minute

Say = Callable[[], str]


def started(scene: Scene, look: Callable[[datetime], str], name: str = "pipes") -> tuple[SessionLoop, StartUp]:
    """The scene's loop on a real clock, with one control that looks at the instant it is asked at."""
    real = FixedClock(OPENS)
    loop = scene.loop(desk=scene.desk(clock=SteppedClock(OPENS, real)))
    loop.real_clock = real
    check = Check(name, lambda: look(real.now()))
    loop.start_up = StartUp(loop.desk, TIMES, (), (check,), _since(real))
    return loop, loop.start_up


def _since(real: FixedClock) -> Callable[[], float]:
    def elapsed() -> float:
        return (real.now() - OPENS).total_seconds()

    return elapsed


def wrong_until(at: datetime) -> Callable[[datetime], str]:
    def look(now: datetime) -> str:
        require(now >= at, f"not before {at:%H:%M}, and it is {now:%H:%M:%S}")
        return "flows"

    return look


def run_to(loop: SessionLoop, at: int = 40) -> SessionRecord:
    """Run it to a minute of the session."""
    loop.stop_requested = lambda: loop.desk.clock.now() >= minute(at)
    return loop.run()


def two_watchlists(stage: Stage) -> Scene:
    scene = stage.scene(bars=[*flat_bars("50.00"), *flat_bars("50.00", symbol="ABC")])
    scene.watchlist("XYZ", at=15)
    scene.watchlist("ABC", at=30)
    return scene


def left(scene: Scene) -> list[str]:
    return [order.symbol for order in scene.orders(Leg.ENTRY) if order.submitted_at]


def log_of(scene: Scene) -> list[str]:
    with scene.ledger.read() as tx:
        return decision_log(tx, "A", TIMES.session)


def test_no_entry_leaves_before_all_is_good_and_a_replay_decides_the_same(stage: Stage) -> None:
    scene, again = two_watchlists(stage), two_watchlists(stage)
    loop, start_up = started(scene, wrong_until(minute(20)))

    record = run_to(loop)

    assert (left(scene), start_up.is_ready) == (["ABC"], True)
    with scene.ledger.read() as tx:
        told = [one for one in tx.risk_events("A", TIMES.session) if one.kind == SELF_TEST]
        alerts = [one for one in tx.alerts("A", TIMES.session) if one.kind == SELF_TEST]
        assert not tx.blocks("A")
    assert [one.severity for one in told] == ["ERROR", "ERROR", "INFO"]
    assert {one.level for one in alerts} == {AlertLevel.ERROR}
    assert all("pipes: FAILED, not before" in one.message for one in alerts)
    repeated = again.loop()
    repeated.acts = recorded_acts(scene.ledger, record)
    run_to(repeated)
    assert log_of(again) == log_of(scene)


def test_where_all_is_good_nothing_differs_from_a_loop_that_nobody_looks_at(stage: Stage) -> None:
    scene, plain = two_watchlists(stage), two_watchlists(stage)
    loop, _ = started(scene, lambda _: "flows")

    run_to(loop)
    run_to(plain.loop())

    assert log_of(scene) == log_of(plain)
    assert left(scene) == ["XYZ", "ABC"]


def test_a_check_that_fails_stops_no_care_of_what_is_held(stage: Stage) -> None:
    scene = stage.scene(bars=flat_bars("50.00"))
    scene.watchlist("XYZ", at=15)
    run_to(scene.loop(), 25)
    loop, start_up = started(scene, wrong_until(minute(500)))

    loop.run()

    assert not start_up.is_ready
    with scene.ledger.read() as tx:
        assert not tx.positions("A")  # left before the close, as ever
        (trade,) = tx.trades("A")
        (block,) = tx.blocks("A")
    assert trade.exit_at >= minute(105)
    assert (block.kind, block.symbol) == (BlockKind.NOT_READY, "")


def test_a_block_of_a_process_that_died_is_lifted_by_the_next_one(stage: Stage) -> None:
    scene = two_watchlists(stage)
    dead, _ = started(scene, wrong_until(minute(500)))
    run_to(dead, 10)
    loop, _ = started(scene, lambda _: "flows")

    run_to(loop)

    assert left(scene) == ["XYZ", "ABC"]
    with scene.ledger.read() as tx:
        assert not tx.blocks("A")


def test_what_stays_wrong_is_told_once_and_looked_at_less_and_less_often(stage: Stage) -> None:
    scene = stage.scene()
    asked: list[datetime] = []

    def look(now: datetime) -> str:
        asked.append(now)
        raise NotReady(f"still wrong at {now}")

    loop, _ = started(scene, look)
    loop.market = None  # at a venue with a market of its own there is a round every five seconds
    run_to(loop, 10)

    with scene.ledger.read() as tx:
        told = [one for one in tx.risk_events("A", TIMES.session) if one.kind == SELF_TEST]
    assert len(told) == 2  # before the open, and at it
    assert len(asked) < 30


# the rules of checks


def failing(error: Exception) -> Say:
    def look() -> str:
        raise error

    return look


def test_one_failure_hides_no_other_and_what_cannot_be_true_yet_is_left_out() -> None:
    checks = [
        Check("first", failing(OutcomeUnknown("no answer"))), Check("second", lambda: "good"),
        Check("third", failing(NotReady("bad")), from_open=True),
    ]  # fmt: skip

    early, later = run_checks(checks, is_open=False), run_checks(checks, is_open=True)

    assert [(one.name, one.ok) for one in early] == [("first", False), ("second", True)]
    assert [one.line() for one in later][2] == "third: FAILED, bad"


@pytest.mark.parametrize("error", [LeaseLost("gone"), StopRequested("now"), ZeroDivisionError("a mistake")])
def test_that_this_process_is_over_is_no_finding(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_checks([Check("any", failing(error))], is_open=True)


# the self-test


@pytest.fixture
def scene(stage: Stage) -> Scene:
    return stage.scene()


def found(desk: Desk) -> dict[str, str]:
    """What is wrong, by control."""
    return {one.name: one.words for one in run_checks(SelfTest(desk, TIMES).checks(), is_open=True) if not one.ok}


def test_every_control_of_a_sound_desk_is_good(scene: Scene) -> None:
    assert found(scene.desk()) == {}


def test_risk_checks_that_approve_nonsense_are_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_pipeline.domain.risk.CHECKS", ())

    assert "the risk checks approve what makes no sense: a stop above its entry" in found(scene.desk())["risk_checks"]


def test_a_last_look_that_lets_buys_pass_a_halt_is_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TradingState, "allows_entries", property(lambda _: True))

    assert "a buy would leave while trading is HALTED" in found(scene.desk())["last_look"]


def test_a_pacer_that_lets_everything_pass_is_found(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_pipeline.services.border.Pacer.entry", lambda _: True)

    assert "6 entries left within one second" in found(scene.desk())["pacer"]


class Limited(Wrapped):
    """A venue without stops that does not answer cancels."""

    @property
    def capabilities(self) -> VenueCapabilities:
        known = self.broker.capabilities
        return replace(known, order_types=known.order_types - {OrderType.STOP})

    def cancel(self, client_order_id: str) -> None:
        raise OutcomeUnknown(f"no answer about {client_order_id}")


def test_a_venue_without_stops_or_cancels_is_found(scene: Scene) -> None:
    desk = scene.desk()
    wrong = found(replace(desk, broker=Limited(desk.broker, lambda _, call: call())))

    assert set(wrong) == {"stops", "cancels"}


class Unfenced:
    """A ledger that lets every leader write. Implements Ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.transaction, self.read = ledger.transaction, ledger.read

    def fenced(self, lease: Lease) -> Ledger:  # noqa: ARG002
        return self


def test_a_ledger_that_lets_an_earlier_leader_write_is_found(scene: Scene) -> None:
    from trading_pipeline.adapters.clock import SystemClock
    from trading_pipeline.domain.cadence import LeaseRules
    from trading_pipeline.services.lease import acquire

    held = acquire(scene.ledger, SystemClock(), LeaseRules(), "A", "me")
    desk = replace(scene.desk(), lease=held)

    assert found(desk) == {}
    assert "a leader of the past write" in found(replace(desk, ledger=Unfenced(scene.ledger)))["fencing"]


@given(
    notional=st.integers(1000, 10**9), fraction=st.floats(0.001, 0.01), positions=st.integers(1, 50),
    reward=st.floats(0.1, 5),
)  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_limits_sound_risk_checks_pass_the_self_test(
    scene: Scene, notional: int, fraction: float, positions: int, reward: float
) -> None:
    limits = RiskLimits.model_validate(
        {
            "max_order_notional_usd": notional, "max_trade_risk_fraction": str(fraction),
            "max_open_risk_fraction": "0.5", "max_position_risk_fraction": "0.5", "max_open_positions": positions,
            "min_reward_risk": str(reward),
        }
    )  # fmt: skip
    desk = scene.desk()
    desk = replace(desk, rules=desk.rules.model_copy(update={"risk": limits}))

    assert "denied" in SelfTest(desk, TIMES).risk_checks()


# the clock


@pytest.mark.parametrize(("seconds", "is_good"), [(0, True), (1.9, True), (-1.9, True), (2.1, False), (-2.1, False)])
def test_a_clock_more_than_two_seconds_from_the_venues_is_told(scene: Scene, seconds: float, is_good: bool) -> None:
    machine = FixedClock(OPENS)
    desk = replace(scene.desk(), venue_now=lambda: OPENS + timedelta(seconds=seconds))
    checks = Preconditions(desk, None, TIMES, machine)  # type: ignore[arg-type]

    if is_good:
        assert f"{seconds:+.2f} s from the venue's" in checks.clock()
    else:
        with pytest.raises(NotReady, match=rf"is \{seconds:+.2f} s from this machine's.*timedatectl"):
            checks.clock()


def test_an_answer_that_took_long_is_not_held_against_the_clock(scene: Scene) -> None:
    machine = FixedClock(OPENS)

    def slow() -> datetime:
        machine.sleep_until(OPENS + timedelta(seconds=3))
        return OPENS + timedelta(seconds=4)

    skew = measure_skew(slow, machine)

    assert (skew.by, skew.within) == (timedelta(seconds=2.5), timedelta(seconds=1.5))
    machine = FixedClock(OPENS)
    assert Preconditions(replace(scene.desk(), venue_now=slow), None, TIMES, machine).clock()  # type: ignore[arg-type]


def test_a_venue_that_does_not_tell_the_time_keeps_entries_back(scene: Scene) -> None:
    desk = replace(scene.desk(), venue_now=failing(OutcomeUnknown("no answer")))  # type: ignore[arg-type]
    check = Check("clock", Preconditions(desk, None, TIMES, FixedClock(OPENS)).clock)  # type: ignore[arg-type]

    (finding,) = run_checks([check], is_open=True)

    assert not finding.ok
