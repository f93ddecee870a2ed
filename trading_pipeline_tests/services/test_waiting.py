"""Waiting on a running clock: regular rounds keep their rhythm, news is seen at once, a stop within a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_pipeline.adapters.clock import FixedClock, SteppedClock
from trading_pipeline.ports import NewsBell
from trading_pipeline.services.desk import Desk, Provenance
from trading_pipeline.services.waiting import NEWS_PACE, LiveWait
from trading_pipeline_tests.memory_ledger import MemoryLedger
from trading_pipeline_tests.services.scripted import OPENS, rules

SECOND = timedelta(seconds=1)
BAR = OPENS + 60 * SECOND


def after(seconds: float) -> datetime:
    return OPENS + timedelta(seconds=seconds)


@dataclass
class ScriptedBell:
    """Rings at given instants of a clock that it moves itself. Implements NewsBell."""

    clock: FixedClock
    rings: list[datetime]
    waits: int = 0

    def ring(self) -> None:
        self.rings.insert(0, self.clock.instant)

    def wait(self, seconds: float) -> bool:
        self.waits += 1
        assert self.waits < 20_000, "it waits for ever"
        until = self.clock.instant + timedelta(seconds=max(seconds, 0))
        due = [one for one in self.rings if one <= until]
        if due:
            self.rings = [one for one in self.rings if one > max(due[0], self.clock.instant)]
            self.clock.sleep_until(due[0])
            return True
        self.clock.sleep_until(until)
        return False


@dataclass
class Waited:
    """A wait from the open to the bar's end, with rounds every 5 s, and when rounds were."""

    real: FixedClock = field(default_factory=lambda: FixedClock(OPENS))
    rounds: list[datetime] = field(default_factory=list)
    act: Callable[[], None] = lambda: None
    is_over: bool = False

    def run(self, bell: NewsBell | None, stop: Callable[[], bool] = lambda: False) -> list[datetime]:
        clock = SteppedClock(OPENS, self.real)
        desk = Desk(
            ledger=MemoryLedger(), broker=None, clock=clock, rules=rules(),  # type: ignore[arg-type]
            provenance=Provenance(code_version="1", config_hash="c"),
        )  # fmt: skip

        def look() -> None:
            self.rounds.append(clock.now())
            self.act()

        self.is_over = LiveWait(desk, self.real, stop, bell).until(BAR, OPENS, lambda: 5 * SECOND, look)
        return self.rounds


REGULAR = [after(5 * n) for n in range(1, 12)]


def test_without_news_there_is_a_round_every_five_seconds_and_none_at_the_bars_end() -> None:
    waited = Waited()

    assert waited.run(None) == REGULAR
    assert (waited.is_over, waited.real.now()) == (True, BAR)


def test_news_is_looked_at_within_a_quarter_of_a_second_and_the_rhythm_stays() -> None:
    waited = Waited()
    bell = ScriptedBell(waited.real, [after(7.1)])

    assert waited.run(bell) == sorted([*REGULAR, after(7.25)])


def test_news_right_before_the_bars_end_waits_for_it() -> None:
    waited = Waited()

    assert waited.run(ScriptedBell(waited.real, [after(59.9)])) == REGULAR
    assert waited.is_over


def test_a_storm_of_news_gets_a_handful_of_rounds_between_two_regular_ones() -> None:
    waited = Waited()
    bell = ScriptedBell(waited.real, [after(n / 100) for n in range(1, 6000)])

    rounds = waited.run(bell)

    assert set(REGULAR) <= set(rounds)
    assert rounds[:5] == [after(0.25), after(0.75), after(1.75), after(3.75), after(5)]
    assert max(sum(start < at <= start + 5 * SECOND for at in rounds) for start in REGULAR) <= 6


def test_news_that_a_round_itself_brings_is_looked_at_too() -> None:
    waited = Waited()
    bell = ScriptedBell(waited.real, [after(6)])

    def trade() -> None:
        if len(waited.rounds) == 2:
            bell.ring()

    waited.act = trade

    assert waited.run(bell)[:4] == [after(5), after(6), after(6.5), after(10)]


@pytest.mark.parametrize("has_bell", [False, True])
def test_a_stop_is_seen_within_a_second_and_no_round_follows(has_bell: bool) -> None:
    waited = Waited()
    bell = ScriptedBell(waited.real, []) if has_bell else None

    assert waited.run(bell, lambda: waited.real.now() >= after(12.3)) == [after(5), after(10)]
    assert not waited.is_over
    assert waited.real.now() <= after(13.3)


@given(rings=st.lists(st.floats(0, 61), max_size=30))
@settings(max_examples=60, deadline=None)
def test_rounds_ascend_are_known_to_a_replay_and_leave_no_regular_one_out(rings: Sequence[float]) -> None:
    waited = Waited()

    rounds = waited.run(ScriptedBell(waited.real, sorted(after(one) for one in rings)))

    assert rounds == sorted(set(rounds))
    assert all((at - OPENS) % NEWS_PACE == timedelta(0) and at < BAR for at in rounds)
    assert set(REGULAR) <= set(rounds)
    assert waited.real.now() == BAR
