"""The loop is started again when its lease is dead: soon, never beside one that lives, patiently when it crashes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_pipeline.domain.market import SessionTimes
from trading_pipeline.domain.supervision import (
    HostRun,
    LoopState,
    Start,
    SupervisionRules,
    Wait,
    backoff,
    supervise,
)
from trading_pipeline_tests.builders import CLOSES_AT, OPENS_AT, SESSION

RULES = SupervisionRules()
TIMES = SessionTimes(SESSION, OPENS_AT, CLOSES_AT)
NOON = datetime(2025, 6, 10, 16, 0, tzinfo=UTC)
TICK, LEASE, STARTUP = timedelta(seconds=5), timedelta(seconds=8), timedelta(seconds=10)


def a_run(number: int = 1, *, created: datetime = NOON, lived: timedelta | None = None) -> HostRun:
    ended = created + lived if lived is not None else None
    return HostRun(run_id=f"run-{number}", number=number, created_at=created, ended_at=ended)


def a_state(*runs: HostRun, led_until: datetime | None = None, begun: bool = True, closed: bool = False) -> LoopState:
    return LoopState(
        times=TIMES, runs=runs, leads_until=led_until, holder="host-1", is_begun=begun, is_closed=closed
    )  # fmt: skip


def waits(now: datetime, state: LoopState) -> str:
    found = supervise(now, state, RULES)
    assert isinstance(found, Wait), found
    return found.why


def starts(now: datetime, state: LoopState) -> Start:
    found = supervise(now, state, RULES)
    assert isinstance(found, Start), found
    return found


def test_a_session_that_nobody_hosts_is_started_from_a_quarter_of_an_hour_before_the_open() -> None:
    begins = OPENS_AT - timedelta(minutes=15)

    assert "is started at 13:15 UTC" in waits(begins - TICK, a_state(begun=False))
    assert starts(begins, a_state(begun=False)) == Start(1, "no run hosts the session's loop")


@pytest.mark.parametrize("status", ["alive", "said to be over"])
def test_while_somebody_leads_nothing_is_started_whatever_the_run_looks_like(status: str) -> None:
    run = a_run(lived=None if status == "alive" else timedelta(seconds=30))

    assert "host-1 leads until" in waits(NOON, a_state(run, led_until=NOON + TICK))


def test_a_dead_lease_is_followed_though_the_run_was_never_seen_to_end() -> None:
    run = a_run(created=NOON - timedelta(hours=1))

    found = starts(NOON, a_state(run, led_until=NOON - timedelta(seconds=1)))

    assert (found.number, found.lost) == (2, ("run-1",))


def test_a_run_that_is_starting_gets_time_to_lead() -> None:
    state = a_state(a_run(created=NOON))

    assert "is starting" in waits(NOON + timedelta(seconds=60), state)
    assert starts(NOON + timedelta(seconds=91), state).lost == ("run-1",)


def test_a_number_that_was_asked_for_is_never_used_again() -> None:
    assert starts(NOON, replace(a_state(), last_number=4)).number == 5


def test_a_closed_session_and_one_that_was_missed_are_left_alone() -> None:
    after = CLOSES_AT + timedelta(minutes=1)

    assert "is closed" in waits(NOON, a_state(closed=True))
    assert "was never begun" in waits(after, a_state(begun=False))


def test_an_open_session_is_still_finished_after_the_close_but_not_for_ever() -> None:
    run = a_run(created=CLOSES_AT - timedelta(hours=1), lived=timedelta(minutes=59))

    assert starts(CLOSES_AT + timedelta(minutes=1), a_state(run)).number == 2
    assert "session replay --session 2025-06-10" in waits(CLOSES_AT + timedelta(minutes=31), a_state(run))


def test_a_crash_is_followed_at_once_and_the_next_ones_after_waits_that_double() -> None:
    long, short = timedelta(minutes=10), timedelta(seconds=5)
    lives: list[timedelta] = [long, *[short] * 8]

    found = [backoff([a_run(n, lived=life) for n, life in enumerate(lives[:k], 1)], RULES) for k in range(1, 10)]

    assert [int(one.total_seconds()) for one in found] == [0, 0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff([a_run(1, lived=short), a_run(2, lived=short), a_run(3, lived=long)], RULES) == timedelta(0)


@given(st.integers(min_value=-3600, max_value=8 * 3600), st.integers(min_value=1, max_value=600), st.booleans())
def test_nothing_is_ever_started_beside_a_live_lease(at: int, left: int, begun: bool) -> None:
    now = OPENS_AT + timedelta(seconds=at)

    assert isinstance(
        supervise(now, a_state(a_run(), led_until=now + timedelta(seconds=left), begun=begun), RULES), Wait
    )


@dataclass
class World:
    """Runs, a lease and a process, moved on by 5 seconds at a time. deaths: when the leading process is killed."""

    deaths: Sequence[datetime]
    is_death_seen: bool
    """Whether Dagster ever notes that a killed run is over."""
    lives_for: timedelta = timedelta.max
    state: LoopState = field(default_factory=lambda: a_state(begun=False))
    leading: int = 0
    asked: list[tuple[datetime, Start]] = field(default_factory=list)
    guarded: set[datetime] = field(default_factory=set)
    _dead: set[int] = field(default_factory=set)

    def step(self, now: datetime) -> None:
        newest = max(self.state.runs, key=lambda run: run.number, default=None)
        is_free = self.state.leads_until is None or now >= self.state.leads_until
        if self.leading and self._dies(now):
            self._end(self.leading, now if self.is_death_seen else None)
            self.leading = 0
        elif newest and not self.leading and is_free and newest.number not in self._dead:
            self.leading = newest.number if now >= newest.created_at + STARTUP else 0
        if self.leading:
            self.state = replace(self.state, leads_until=now + LEASE, is_begun=True)
            self.guarded.add(now)
        found = supervise(now, self.state, RULES)
        if isinstance(found, Start):
            assert self.state.leads_until is None or now >= self.state.leads_until
            for run_id in found.lost:
                self._end(int(run_id.removeprefix("run-")), now)
            self.asked.append((now, found))
            self.state = replace(
                self.state, runs=[*self.state.runs, a_run(found.number, created=now)], last_number=found.number
            )

    def _dies(self, now: datetime) -> bool:
        run = next(run for run in self.state.runs if run.number == self.leading)
        return now - run.created_at >= self.lives_for or any(now - TICK < death <= now for death in self.deaths)

    def _end(self, number: int, at: datetime | None) -> None:
        self._dead.add(number)
        runs = [replace(run, ended_at=run.ended_at or at) if run.number == number else run for run in self.state.runs]
        self.state = replace(self.state, runs=runs)


def live_through(world: World, until: datetime = CLOSES_AT) -> World:
    now = OPENS_AT - timedelta(minutes=20)
    while now < until:
        world.step(now)
        now += TICK
    return world


@pytest.mark.parametrize("is_death_seen", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_a_loop_killed_at_any_time_is_back_within_half_a_minute(seed: int, is_death_seen: bool) -> None:
    dice = random.Random(seed)
    deaths = sorted(OPENS_AT + timedelta(seconds=dice.uniform(0, 6 * 3600)) for _ in range(6))
    apart = [at for before, at in zip([OPENS_AT, *deaths], deaths, strict=False) if at - before > timedelta(minutes=6)]

    world = live_through(World(apart, is_death_seen))

    assert [start.number for _, start in world.asked] == list(range(1, len(apart) + 2))
    for death in apart:
        back = min(at for at in world.guarded if at > death + TICK)
        assert back - death <= LEASE + 2 * TICK + STARTUP


def test_a_loop_that_always_dies_is_not_started_in_a_storm() -> None:
    world = live_through(World((), is_death_seen=True, lives_for=timedelta(seconds=20)))

    gaps = [later - sooner for (sooner, _), (later, _) in zip(world.asked, world.asked[1:], strict=False)]
    assert len(world.asked) < 100  # in six and three quarter hours
    assert gaps[-1] >= timedelta(seconds=300)


def test_an_untroubled_session_is_started_once() -> None:
    assert len(live_through(World((), is_death_seen=True)).asked) == 1
